"""Layer-wise decay and gradual unfreezing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx, serialization
from problems import form, grads_of, run

import adaptive_optax as ao
from adaptive_optax.introspection.structure import structure
from adaptive_optax.learning_rate.layerwise import layerwise_decay
from adaptive_optax.learning_rate.unfreezing import gradual_unfreezing

NAMES = ("embed", "layers_0", "layers_10", "head")


def params_of(dtype=jnp.float32):
    draw = np.random.default_rng(3)
    return {name: {"kernel": jnp.asarray(draw.standard_normal((2, 3)), dtype)} for name in NAMES}


def close(found, expected, rtol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol), found, expected)


def same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


PARAMS = params_of()
GRADS = [grads_of(PARAMS, seed) for seed in range(6)]
WRAPPERS = {
    "layerwise_decay": lambda inner, **more: layerwise_decay(inner, 0.5, **more),
    "gradual_unfreezing": lambda inner, **more: gradual_unfreezing(inner, 2, **more),
}


@pytest.mark.parametrize("decay", [0.0, 0.3, 1.0, jnp.float32(0.3), np.float32(0.3), 1])
def test_each_layer_has_its_power_of_the_decay(decay):
    inner = ao.adamw(0.1, weight_decay=0.1)
    expected = run(inner, PARAMS, GRADS[:1])[2][0]
    found = run(layerwise_decay(inner, decay), PARAMS, GRADS[:1])[2][0]
    for power, name in enumerate(reversed(NAMES)):
        factor = float(decay) ** power
        close(found[name]["kernel"], np.asarray(expected[name]["kernel"], float) * factor)


def test_the_rate_of_a_layer_is_inner_at_that_rate():
    """A layer whose update depends on itself alone moves as with a rate of its own."""
    found = run(layerwise_decay(ao.adam(0.1), 0.5), PARAMS, GRADS)[0]
    for power, name in enumerate(reversed(NAMES)):
        alone = {name: PARAMS[name]}
        moved = run(ao.adam(0.1 * 0.5**power), alone, [{name: g[name]} for g in GRADS])[0]
        close(found[name], moved[name], rtol=2e-6)


def test_without_decay_it_is_inner_bit_for_bit():
    tiny = jax.tree.map(lambda g: g * jnp.float32(1e-42), GRADS[0])
    for gradients in (GRADS, [tiny]):
        expected = run(ao.sgd(0.1, momentum=0.9), PARAMS, gradients)
        same(run(layerwise_decay(ao.sgd(0.1, momentum=0.9), 1.0), PARAMS, gradients), expected)


def test_a_decay_that_is_traced_has_its_slope():
    def moved(decay):
        tx = layerwise_decay(ao.sgd(1.0), decay)
        return tx.update(GRADS[0], tx.init(PARAMS))[0]["embed"]["kernel"].sum()

    steps = jax.vmap(moved)(jnp.array([0.0, 0.5, 1.0]))
    total = -float(GRADS[0]["embed"]["kernel"].sum())
    np.testing.assert_allclose(steps, [0.0, total / 8, total], rtol=1e-6)
    np.testing.assert_allclose(jax.grad(moved)(0.5), 3 * 0.25 * total, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(moved)(0.0), 0.0)


def test_narrow_updates_are_rounded_once():
    inner, narrow = optax.sgd(1.0), params_of(jnp.bfloat16)
    grads = grads_of(narrow, 5)
    found = run(layerwise_decay(inner, 0.7), narrow, [grads])[2][0]["embed"]["kernel"]
    exact = -np.asarray(grads["embed"]["kernel"], np.float32) * np.float32(0.7**3)
    assert found.dtype == jnp.bfloat16
    same(found, jnp.asarray(exact).astype(jnp.bfloat16))


@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("every", [1, 2, jnp.int32(2)])
def test_layers_join_one_at_a_time(every, start):
    history = run(gradual_unfreezing(ao.sgd(1.0), every, start=start), PARAMS, GRADS * 2)[2]
    for t, updates in enumerate(history):
        for place, name in enumerate(reversed(NAMES)):
            joined = place == 0 or t >= start + place * int(every)
            expected = -np.asarray(GRADS[t % 6][name]["kernel"]) * joined
            same(np.asarray(updates[name]["kernel"]) + 0.0, expected + 0.0)


def test_frozen_layers_do_not_decay_and_stay_finite():
    tx = gradual_unfreezing(ao.adamw(0.1, weight_decay=0.5), 10)
    bad = jax.tree.map(lambda g: g * jnp.nan, GRADS[0])
    bad["head"] = GRADS[0]["head"]
    moved = run(tx, PARAMS, [bad])[0]
    same({k: moved[k] for k in NAMES[:3]}, {k: PARAMS[k] for k in NAMES[:3]})
    assert np.all(moved["head"]["kernel"] != PARAMS["head"]["kernel"])


def test_moments_are_warm_when_a_layer_joins():
    """The state is that of inner on the same gradients, so that the first step is not too large.

    With gradients hidden until then it would be: the claim of the module's docstring.
    """
    ones = jax.tree.map(jnp.ones_like, PARAMS)
    tx = gradual_unfreezing(ao.adam(1.0), 500, layers=["head|layers", "embed"][::-1])
    _, history = jax.lax.scan(
        lambda state, _: tx.update(ones, state, PARAMS)[::-1], tx.init(PARAMS), length=520
    )
    steps = -np.asarray(history["embed"]["kernel"])[:, 0, 0]
    assert np.all(steps[:500] == 0)
    np.testing.assert_allclose(steps[500:], 1.0, rtol=1e-4)

    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    cold = ao.adam(1.0)
    late = cold.init(PARAMS)._replace(count=jnp.array(20_000, jnp.int32))
    assert float(optax.tree.norm(cold.update(zeros, late, PARAMS)[0])) == 0
    _, cold_history = jax.lax.scan(
        lambda state, _: cold.update(ones, state, PARAMS)[::-1], late, length=40
    )
    steps = -np.asarray(cold_history["embed"]["kernel"])[:, 0, 0]
    np.testing.assert_allclose([steps[0], steps.max()], [3.16, 6.57], rtol=1e-2)
    assert steps.argmax() == 11


def test_a_step_that_is_far_off_never_comes():
    tx = gradual_unfreezing(ao.sgd(1.0), 10**12)
    moved = run(tx, PARAMS, GRADS)[0]
    same(moved["layers_10"], PARAMS["layers_10"])


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("grad_dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_the_state_keeps_its_form(wrap, dtype, grad_dtype):
    params = params_of(dtype)
    tx = wrap(ao.adam(0.1))
    state = tx.init(params)
    grads = grads_of(params, 1, dtype=grad_dtype)
    step = jax.jit(tx.update, donate_argnums=1)
    updates, after = step(grads, jax.tree.map(jnp.copy, state), params)
    assert form(after) == form(state)
    assert all(u.dtype == dtype for u in jax.tree.leaves(updates))


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_scan_cond_and_vmap(wrap):
    tx = wrap(ao.adam(0.1))
    expected = run(tx, PARAMS, GRADS)[0]
    stacked = jax.tree.map(lambda *g: jnp.stack(g), *GRADS)

    def step(carry, grads):
        def move(params, state):
            updates, state = tx.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        return jax.lax.cond(jnp.array(True), move, lambda *same: same, *carry), None

    found = jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), stacked)[0][0]
    close(found, expected, rtol=2e-5)
    twice = jax.tree.map(lambda x: jnp.stack([x, x]), (PARAMS, GRADS[0]))
    both = jax.vmap(lambda p, g: tx.update(g, tx.init(p), p)[0])(*twice)
    close(jax.tree.map(lambda x: x[1], both), tx.update(GRADS[0], tx.init(PARAMS), PARAMS)[0])


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_odd_leaves_and_strictness(wrap):
    params = [
        {"w": jnp.ones(2), "i": jnp.arange(2), "none": None, "on": jnp.array(True)},
        {"scalar": jnp.array(2.0), "empty": jnp.zeros((0, 3)), "c": jnp.ones(2, jnp.complex64)},
    ]
    grads = [
        {
            "w": jnp.ones(2),
            "i": np.zeros(2, jax.dtypes.float0),
            "none": None,
            "on": np.zeros((), jax.dtypes.float0),
        },
        {"scalar": jnp.array(1.0), "empty": jnp.zeros((0, 3)), "c": jnp.ones(2, jnp.complex64)},
    ]
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        tx = wrap(ao.adam(0.1))
        updates, _ = tx.update(grads, tx.init(params), params)
    assert updates[0]["none"] is None
    assert updates[1]["c"].dtype == jnp.complex64
    assert updates[1]["empty"].shape == (0, 3)
    np.testing.assert_allclose(updates[1]["scalar"], -0.1, rtol=1e-5)


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_company(wrap):
    """Masks, chains, placeholders, checkpoints and extra arguments."""
    mask = {name: {"kernel": name != "head"} for name in NAMES}
    tx = optax.chain(optax.masked(wrap(ao.sgd(1.0)), mask))
    updates = tx.update(GRADS[0], tx.init(PARAMS), PARAMS)[0]
    below = float(np.abs(updates["layers_10"]["kernel"]).max())
    full = float(np.abs(GRADS[0]["layers_10"]["kernel"]).max())
    assert below in (0.0, full / 2)  # the head, though masked, is still the last layer

    tx = wrap(ao.adam(0.1))
    state = tx.update(GRADS[0], tx.init(PARAMS), PARAMS)[1]
    doubled = optax.tree_map_params(tx, lambda x: 2 * x, state)
    close(optax.tree.get(doubled, "mu"), jax.tree.map(lambda g: 0.2 * g, GRADS[0]))
    saved = serialization.from_bytes(tx.init(PARAMS), serialization.to_bytes(state))
    same(saved, state)
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), PARAMS)
    assert form(tx.init(shapes)) == form(tx.init(PARAMS))

    def heard(updates, state, params=None, *, value, **extra):
        return jax.tree.map(lambda u: value * u, updates), state

    listening = optax.GradientTransformationExtraArgs(lambda p: (), heard)
    tx = wrap(listening)
    updates = tx.update(GRADS[0], tx.init(PARAMS), PARAMS, value=3.0, other=1)[0]
    close(updates["head"], jax.tree.map(lambda g: 3 * g, GRADS[0]["head"]))


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_what_it_says_of_itself(wrap):
    tx = wrap(ao.sgd(1.0))
    part = structure(tx)
    before = tx.init(PARAMS)
    updates, after = tx.update(GRADS[0], before, PARAMS)
    factors = part.body.factor(before, after, PARAMS)
    assert part.name in WRAPPERS
    assert list(part.members) == ["inner"]
    pairs = zip(jax.tree.leaves(updates), jax.tree.leaves(GRADS[0]), factors, strict=True)
    for u, g, factor in pairs:
        np.testing.assert_allclose(u, -np.asarray(g) * float(factor), rtol=1e-6)


@pytest.mark.parametrize(("name", "below"), [("layerwise_decay", 0.5), ("gradual_unfreezing", 0)])
def test_in_nnx(name, below):
    class Model(nnx.Module):
        def __init__(self):
            self.linear1 = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
            self.linear2 = nnx.Linear(2, 2, rngs=nnx.Rngs(1))

    model = Model()
    optimizer = nnx.Optimizer(model, WRAPPERS[name](ao.sgd(1.0)), wrt=nnx.Param)
    before = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    after = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    moved = jax.tree.map(lambda a, b: float((a - b).mean()), before, after)
    assert moved["linear2"]["kernel"] == pytest.approx(1.0)
    assert moved["linear1"]["kernel"] == pytest.approx(below)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: layerwise_decay(ao.sgd), TypeError, r"^layerwise_decay\(inner=sgd\): inner must"),
        (lambda: layerwise_decay(ao.sgd(1.0), 1.5), ValueError, r"decay=1.5\): .* lie in \[0, 1\]"),
        (lambda: layerwise_decay(ao.sgd(1.0), -0.5), ValueError, r"\(decay=-0.5\): decay must be"),
        (lambda: layerwise_decay(ao.sgd(1.0), "a"), TypeError, r"decay='a'\): decay must be a num"),
        (lambda: layerwise_decay(ao.sgd(1.0), layers="a"), TypeError, r"layers='a'\): layers must"),
        (lambda: gradual_unfreezing(0.1, 5), TypeError, r"^gradual_unfreezing\(inner=0.1\)"),
        (lambda: gradual_unfreezing(ao.sgd(1.0), 0), ValueError, r"\(every=0\): every must be at"),
        (lambda: gradual_unfreezing(ao.sgd(1.0), 1.5), TypeError, r"\(every=1.5\): every must be"),
        (
            lambda: gradual_unfreezing(ao.sgd(1.0), 1, start=-1),
            ValueError,
            r"^gradual_unfreezing\(start=-1\): start must be at least 0",
        ),
        (
            lambda: gradual_unfreezing(ao.sgd(1.0), 1, start=0.5),
            TypeError,
            r"^gradual_unfreezing\(start=0.5\): start must be an integer",
        ),
        (lambda: gradual_unfreezing(ao.sgd(1.0), 1, layers=3), TypeError, r"layers=3\): layers"),
    ],
)
def test_errors(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize("name", WRAPPERS)
def test_names_that_do_not_tell_raise_at_init(name):
    with pytest.raises(ValueError, match=rf"^{name}\(layers=None\): the names do not tell"):
        WRAPPERS[name](ao.sgd(1.0)).init({"a": jnp.ones(2), "b": jnp.ones(2)})
    tx = WRAPPERS[name](ao.sgd(1.0), layers=["a", "b"])
    assert tx.init({"a": jnp.ones(2), "b": jnp.ones(2)}) is not None
