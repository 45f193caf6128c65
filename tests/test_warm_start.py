"""Moments of a pre-training run in a fine-tuning state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx, serialization
from problems import form

import adaptive_optax as ao
from adaptive_optax.learning_rate.layerwise import layerwise_decay
from adaptive_optax.learning_rate.unfreezing import gradual_unfreezing
from adaptive_optax.learning_rate.warm_start import warm_start

B1, B2, T = 0.9, 0.999, 400
SIZES = np.geomspace(1e-4, 10.0, 64).astype(np.float32)  # of the gradients of each coordinate


def tree(head=5):
    return {"params": {"body": {"kernel": jnp.ones(64)}, "head": {"kernel": jnp.ones(head)}}}


def noise(count, seed=0, head=5):
    """Gradients, one a step, of coordinates of very different sizes."""
    draw = np.random.default_rng(seed)
    body = (draw.standard_normal((count, 64)) * SIZES).astype(np.float32)
    top = draw.standard_normal((count, head)).astype(np.float32)
    return {"params": {"body": {"kernel": body}, "head": {"kernel": top}}}


def after(tx, params, gradients, state=None):
    """State after these gradients, and the updates."""

    def step(state, grads):
        updates, state = tx.update(grads, state, params)
        return state, updates

    return jax.jit(lambda start: jax.lax.scan(step, start, gradients))(state or tx.init(params))


OLD = after(ao.adam(1.0), tree(), noise(T))[0]
BODY = noise(T)["params"]["body"]["kernel"].astype(float)


def average(gradients, decay, power):
    """The corrected average of the powers of gradients, in double, with plain weights."""
    weights = decay ** np.arange(len(gradients))[::-1]
    return (weights[:, None] * gradients**power).sum(0) / weights.sum()


def body(x):
    return np.asarray(x["params"]["body"]["kernel"], float)


def hats(state):
    """Corrected moments of the body, as the optimizer has them."""
    count = int(state.count)
    mu, nu = (body(optax.tree.get(state, name)) for name in ("mu", "nu"))
    return mu / (1 - B1**count), nu / (1 - B2**count)


@pytest.mark.parametrize("steps", [1, 10, 100, 5000])
def test_the_corrected_moments_are_those_of_before(steps):
    warm = warm_start(ao.adam(1.0).init(tree(7)), OLD, steps=steps)
    mu, nu = hats(warm)
    np.testing.assert_allclose(mu / SIZES, average(BODY, B1, 1) / SIZES, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(nu, average(BODY, B2, 2), rtol=2e-4)
    assert int(warm.count) == steps


@pytest.mark.parametrize(("steps", "most"), [(10, 0.15), (100, 0.02), (1000, 0.003)])
def test_the_first_steps_keep_the_pretrained_denominator(steps, most):
    """Over five steps of the same kind the root of nu stays near; a fresh count is 30 times off."""
    tx, new = ao.adam(1.0), noise(5, seed=1, head=7)
    before = np.sqrt(average(BODY, B2, 2))
    state = warm_start(tx.init(tree(7)), OLD, steps=steps)
    off = []
    for i in range(5):
        state, _ = after(tx, tree(7), jax.tree.map(lambda g, i=i: g[i : i + 1], new), state)
        off.append(np.sqrt(hats(state)[1]) / before)
    assert np.median(np.abs(np.array(off) - 1)) < most

    naive = tx.init(tree(7))
    nu = {"params": {**naive.slots.nu["params"], "body": OLD.slots.nu["params"]["body"]}}
    naive = naive._replace(slots=naive.slots._replace(nu=nu))
    naive, _ = after(tx, tree(7), jax.tree.map(lambda g: g[:1], new), naive)
    weight = 1 - B2**T  # what 400 steps had put in
    np.testing.assert_allclose(
        np.median(np.sqrt(hats(naive)[1]) / before), np.sqrt(1000 * weight), rtol=0.05
    )


def test_later_moments_are_means_with_pretraining_as_that_many_steps():
    """Against weights written out in double: b^(s + k - i) for each step, sum one."""
    steps, k = 30, 20
    new = noise(k, seed=2, head=7)
    tx = ao.adam(1.0)
    state = after(tx, tree(7), new, warm_start(tx.init(tree(7)), OLD, steps=steps))[0]
    fresh = body(jax.tree.map(lambda g: g.astype(float), new))
    for found, decay, power in zip(hats(state), (B1, B2), (1, 2), strict=True):
        recent = decay ** np.arange(k)[::-1]
        old = decay**k * (1 - decay**steps) / (1 - decay)
        total = recent.sum() + old
        mean = (recent[:, None] * fresh**power).sum(0) / total
        mean += old / total * average(BODY, decay, power)
        unit = SIZES.astype(float) ** power
        np.testing.assert_allclose(found / unit, mean / unit, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "first", "most"), [(10, 0.48, 1.12), (30, 0.57, 1.39), (100, 0.98, 2.15)]
)
def test_steps_of_a_new_head_under_the_shared_count(steps, first, most):
    tx = ao.adam(1.0)
    ones = jax.tree.map(lambda g: jnp.ones((60, *g.shape)), tree(7))
    _, updates = after(tx, tree(7), ones, warm_start(tx.init(tree(7)), OLD, steps=steps))
    sizes = -np.asarray(updates["params"]["head"]["kernel"])[:, 0]
    np.testing.assert_allclose([sizes[0], sizes.max()], [first, most], atol=6e-3)


def test_a_true_resume_goes_on_as_if_nothing_had_been():
    tx, more = ao.adam(1.0), noise(7, seed=3)
    whole = jax.tree.map(lambda a, b: np.concatenate([a, b]), noise(T), more)
    resumed = warm_start(tx.init(tree()), OLD, steps=None)
    jax.tree.map(np.testing.assert_array_equal, resumed, OLD._replace(rate=resumed.rate))
    found = after(tx, tree(), more, resumed)[0]
    jax.tree.map(np.testing.assert_array_equal, found.slots, after(tx, tree(), whole)[0].slots)


def test_new_heads_stay_fresh():
    warm = warm_start(ao.adam(1.0).init(tree(7)), OLD)
    for slot in warm.slots:
        assert not np.any(slot["params"]["head"]["kernel"])
        assert np.all(slot["params"]["body"]["kernel"] != 0)
    same_shape = warm_start(ao.adam(1.0).init(tree()), OLD, where=lambda path: "head" not in path)
    assert not np.any(same_shape.slots.nu["params"]["head"]["kernel"])
    assert np.all(same_shape.slots.nu["params"]["body"]["kernel"] != 0)


def test_without_the_first_moment_steps_grow():
    tx = ao.adam(1.0)
    warm = warm_start(tx.init(tree(7)), OLD, fields=("nu",))
    assert not np.any(body(warm.slots.mu))
    root = np.sqrt(average(BODY, B2, 2)).astype(np.float32)
    ones = {"params": {"body": {"kernel": root}, "head": {"kernel": np.ones(7, np.float32)}}}
    many = jax.tree.map(lambda g: np.broadcast_to(g, (20, *g.shape)), ones)
    sizes = -np.asarray(after(tx, tree(7), many, warm)[1]["params"]["body"]["kernel"])
    np.testing.assert_allclose(sizes[0], 0.146, rtol=0.02)
    np.testing.assert_allclose(sizes[-1], 0.917, rtol=0.02)


def variables():
    """The state of an nnx optimizer."""

    class Model(nnx.Module):
        def __init__(self):
            self.body = nnx.Linear(2, 2, rngs=nnx.Rngs(0))

    model = Model()
    optimizer = nnx.Optimizer(model, optax.adam(1.0), wrt=nnx.Param)
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    return optimizer.opt_state


def plain(params):
    """optax's Adam after one step of ones."""
    return optax.adam(1.0).update(
        jax.tree.map(jnp.ones_like, params), optax.adam(1.0).init(params)
    )[1]


SMALL = {"body": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
INNERS = {
    "adam": lambda: ao.adam(1.0),
    "optax": lambda: optax.adam(1.0),
    "chain": lambda: optax.chain(optax.clip_by_global_norm(1.0), ao.adamw(1.0), optax.scale(2.0)),
    "wrapped": lambda: ao.lookahead(layerwise_decay(ao.yogi(1.0), layers=["bias", "kernel"])),
    "gradual": lambda: gradual_unfreezing(ao.nadam(1.0), 3, layers=["bias", "kernel"]),
    "steps": lambda: optax.MultiSteps(optax.adam(1.0), 2).gradient_transformation(),
    "injected": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=1.0),
    "schedule": lambda: optax.adam(lambda count: 1.0),
}


@pytest.mark.parametrize("name", INNERS)
def test_any_nesting_on_either_side(name):
    tx = INNERS[name]()
    state = tx.init(SMALL)
    warm = warm_start(state, plain(SMALL))
    assert form(warm) == form(state)
    for field, decay in (("mu", B1), ("nu", B2)):
        found = optax.tree.get(warm, field)["body"]["kernel"]
        np.testing.assert_allclose(found, 1 - decay**10, rtol=1e-5)
    changed = jax.tree_util.tree_map_with_path(
        lambda path, a, b: "" if np.array_equal(a, b) else jax.tree_util.keystr(path), state, warm
    )
    changed = [path for path in jax.tree.leaves(changed) if path]
    slots = [path for path in changed if ".mu[" in path or ".nu[" in path]
    assert len(slots) == 4
    assert len(changed) == 5  # and the count of the rule, of no wrapper or schedule
    jax.jit(tx.update)(SMALL, warm, SMALL)
    back = warm_start(optax.adam(1.0).init(SMALL), warm, steps=3)
    np.testing.assert_allclose(back[0].nu["body"]["bias"], 1 - B2**3, rtol=1e-4)


def test_checkpoints_nnx_jit_vmap_and_donation():
    fresh = ao.adam(1.0).init(SMALL)
    saved = serialization.msgpack_restore(serialization.to_bytes(plain(SMALL)))
    expected = warm_start(fresh, plain(SMALL))
    check = lambda found: jax.tree.map(  # noqa: E731
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected
    )
    check(warm_start(fresh, saved))
    check(warm_start(fresh, variables()))
    check(jax.jit(warm_start)(fresh, plain(SMALL)))
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), plain(SMALL))
    both = jax.vmap(warm_start, (None, 0))(fresh, stacked)
    check(jax.tree.map(lambda x: x[1], both))
    old = plain(SMALL)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        check(warm_start(fresh, old))

    old = after(ao.adam(1.0), SMALL, jax.tree.map(lambda p: p[None], SMALL))[0]
    resumed = warm_start(fresh, old, steps=None)
    jax.jit(ao.adam(1.0).update, donate_argnums=1)(SMALL, resumed, SMALL)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(old))


def test_groups_with_counts_of_their_own():
    """A new head with its own optimizer keeps its count, while the body resumes."""
    tx = optax.partition(
        {"body": ao.adam(1.0), "head": ao.adam(1.0)},
        lambda params: {"params": {"body": "body", "head": "head"}},
    )
    warm = warm_start(tx.init(tree(7)), OLD, steps=None)
    groups = {name: state.inner_state for name, state in warm.inner_states.items()}
    assert int(groups["body"].count) == T
    assert int(groups["head"].count) == 0
    np.testing.assert_array_equal(body(groups["body"].slots.nu), body(OLD.slots.nu))


def test_rules_without_correction():
    sums = after(ao.adagrad(1.0), SMALL, jax.tree.map(lambda p: 2 * p[None], SMALL))[0]
    warm = warm_start(ao.adagrad(1.0).init(SMALL), sums, fields={"nu": None})
    jax.tree.map(np.testing.assert_array_equal, warm.slots, sums.slots)
    assert int(warm.count) == 0
    for tx in (ao.adagrad(1.0), ao.rmsprop(1.0), ao.lion(1.0)):
        old = after(tx, SMALL, jax.tree.map(lambda p: p[None], SMALL))[0]
        with pytest.raises(ValueError, match=r"^warm_start\(fields=.*give fields={'\w\w': None}"):
            warm_start(tx.init(SMALL), old)
    # Adam's nu in a rule that does not correct, and back.
    rms = warm_start(optax.rmsprop(1.0).init(SMALL), plain(SMALL), fields=("nu",))
    np.testing.assert_allclose(rms[0].nu["body"]["bias"], 1.0, rtol=1e-5)
    back = warm_start(optax.adam(1.0).init(SMALL), rms, fields={"nu": 0.99}, steps=4)
    np.testing.assert_allclose(back[0].nu["body"]["bias"], 1 - 0.99**4, rtol=1e-5)


TWO = (plain(SMALL), plain(SMALL))
FRESH = ao.adam(1.0).init(SMALL)


def test_of_two_sources_the_one_in_the_same_place_counts():
    tx = optax.chain(optax.adam(1.0), optax.adam(1.0))
    warm = warm_start(tx.init(SMALL), TWO)
    np.testing.assert_allclose(warm[1][0].nu["body"]["bias"], 1 - B2**10, rtol=1e-5)
    with pytest.raises(
        ValueError, match=r"mu of body/bias is there at 0/0/mu/body/bias and 1/0/mu"
    ):
        warm_start(FRESH, TWO)
