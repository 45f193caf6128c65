"""Blend: its oracle, what it must be exactly, and what its weights must learn."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import every
from oracles import blend as oracle

import adaptive_optax as ao
from adaptive_optax.wrappers.blend_weights import LEARNING

RATES = {"a": 0.1, "b": 0.3, "c": 0.02}
INNERS = {
    "optax.adam": lambda: optax.adam(0.01),
    "optax.lion": lambda: optax.lion(0.01),
    "optax.momentum": lambda: optax.sgd(0.01, momentum=0.9),
    "ao.adamw": lambda: ao.adamw(0.01),
    "ao.rmsprop": lambda: ao.rmsprop(0.01),
}
ADAPT = (None, "hedge", "hypergradient")


def gradients(steps=30, seed=0):
    """Rows of five, of changing size."""
    rows = np.random.default_rng(seed).normal(size=(steps, 5))
    return rows * np.geomspace(1e-2, 1e2, steps)[:, None]


def tree(row):
    return {"x": jnp.asarray(row[:2]), "y": jnp.asarray(row[2:]).reshape(3, 1)}


def flat(updates):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(updates)])


def steps_of(tx, rows, jit=True):
    """The update of each step, and the states."""
    params = tree(np.zeros(5))
    state, update = tx.init(params), jax.jit(tx.update) if jit else tx.update
    found, states = [], []
    for row in rows:
        updates, state = update(tree(row), state, params)
        found.append(flat(updates))
        states.append(state)
    return np.stack(found), states


def expected(rows, adapt, normalize, prior, step_size=0.2):
    """The oracle of a blend of SGD with momentum 0, 0.5 and 0.9."""
    weights, moments, losses = np.array(prior), np.zeros((3, 5)), []
    steps, found, rounds = np.zeros((3, 5)), [], 0
    for g in rows:
        if adapt:
            losses.append(oracle.judged(g, steps))
            if adapt == "hedge":
                weights = oracle.adahedge(losses, prior)[-1]
            elif any(losses[-1] != 0):
                rounds += 1
                weights = oracle.projected(weights - step_size / rounds**0.5 * losses[-1])
        moments = np.array([[0.0], [0.5], [0.9]]) * moments + g
        updates = [-rate * m for rate, m in zip(RATES.values(), moments, strict=True)]
        mixture, steps = oracle.mixed(updates, weights, normalize)
        found.append(mixture)
    return np.array(found)


def check(library, steps=10):
    """A blend of SGD with momentum 0, 0.5 and 0.9 follows the oracle, however it is built."""
    prior = np.array([0.5, 0.3, 0.2])
    with jax.enable_x64(True):
        members = {
            "a": library.sgd(RATES["a"]),
            "b": library.sgd(RATES["b"], momentum=0.5),
            "c": library.sgd(RATES["c"], momentum=0.9),
        }
        for adapt in ADAPT:
            for normalize in (True, False):
                tx = library.blend(members, list(prior), adapt=adapt, normalize=normalize)
                found = steps_of(tx, gradients(steps))[0]
                wanted = expected(gradients(steps), adapt, normalize, prior)
                np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


def test_it_follows_the_oracle():
    check(ao, steps=30)


@pytest.mark.parametrize("adapt", ADAPT)
def test_strict_settings(adapt):
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        tx = ao.blend({"a": ao.sgd(0.1), "b": ao.adam(0.1)}, adapt=adapt)
        steps_of(tx, gradients(3).astype(np.float32))


@pytest.mark.parametrize("prior", [(1 / 3, 1 / 3, 1 / 3), (0.7, 0.3, 0.0)])
def test_hedge_follows_its_paper(prior):
    losses = np.random.default_rng(1).uniform(-1, 1, (60, 3)) + np.array([0.1, 0.0, -0.1])
    losses[:3] = 0.25  # equal losses leave the gap at 0
    with jax.enable_x64(True):
        rule, weights = LEARNING["hedge"], jnp.asarray(prior)
        learned, found = rule.start(weights), []
        for loss in losses:
            weights, learned = rule.learn(weights, learned, jnp.asarray(loss), 0.2)
            found.append(weights)
    np.testing.assert_allclose(found, oracle.adahedge(losses, prior), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
@pytest.mark.parametrize("adapt", ADAPT)
@pytest.mark.parametrize("inner", every(2, [*INNERS]))
def test_equal_members_are_one_member_bit_for_bit(inner, adapt, jit):
    rows = gradients(6).astype(np.float32)
    alone = steps_of(INNERS[inner](), rows, jit)[0]
    for members in (1, 3):
        tx = ao.blend({f"m{i}": INNERS[inner]() for i in range(members)}, adapt=adapt)
        together = steps_of(tx, rows, jit)[0]
        np.testing.assert_array_equal(alone.view(np.int32), together.view(np.int32))


@pytest.mark.parametrize("adapt", ADAPT)
def test_the_order_of_members_is_nothing_to_it(adapt):
    rows, pair = gradients().astype(np.float32), {"a": ao.adam(0.01), "b": ao.sgd(0.1)}
    one = steps_of(ao.blend(pair, {"a": 3, "b": 1}, adapt=adapt), rows)[0]
    turned = {"b": pair["b"], "a": pair["a"]}
    np.testing.assert_array_equal(one, steps_of(ao.blend(turned, [1, 3], adapt=adapt), rows)[0])
    renamed = {"z": pair["a"], "b": pair["b"]}
    other = steps_of(ao.blend(renamed, [3, 1], adapt=adapt), rows)[0]
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)  # sums in another order


def trained(tx, steps=400, noise=0.3, scale=1.0, rows=20):
    """The states of a noisy quadratic of condition 30, in one scan."""
    curves = jnp.logspace(0, 1.5, rows)

    def step(carry, key):
        params, state = carry
        grads = scale * (curves * params + noise * jax.random.normal(key, (rows,)))
        updates, state = tx.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), state.weights

    params = jnp.ones(rows)
    keys = jax.random.split(jax.random.key(0), steps)
    start = (params, tx.init(params))
    return jax.jit(lambda start: jax.lax.scan(step, start, keys))(start)


@pytest.mark.parametrize("adapt", ["hedge", "hypergradient"])
def test_the_weight_of_a_null_member_goes_to_zero(adapt):
    pair = {"adam": optax.adam(0.01), "null": optax.set_to_zero()}
    weights = trained(ao.blend(pair, adapt=adapt), steps=2000)[1]  # most of them in the noise
    assert float(weights["null"][0]) == 0.5
    assert float(jnp.max(weights["null"][100:])) < 0.01


@pytest.mark.parametrize("adapt", ["hedge", "hypergradient"])
def test_a_member_that_climbs_loses(adapt):
    three = {"adam": optax.adam(0.01), "sgd": optax.sgd(0.01), "up": optax.sgd(-0.01)}
    weights = trained(ao.blend(three, adapt=adapt), steps=60)[1]
    assert float(weights["up"][-1]) < 0.05
    whole = sum(np.asarray(weight) for weight in weights.values())
    np.testing.assert_allclose(whole, 1.0, atol=1e-5)
    assert min(float(jnp.min(weight)) for weight in weights.values()) >= 0


@pytest.mark.parametrize("adapt", ["hedge", "hypergradient"])
def test_weights_do_not_depend_on_the_scale_of_the_loss(adapt):
    pair = {"momentum": ao.sgd(1e-3, momentum=0.9), "sgd": ao.sgd(1e-2)}
    large = {"momentum": ao.sgd(1e-9, momentum=0.9), "sgd": ao.sgd(1e-8)}
    one = trained(ao.blend(pair, adapt=adapt), steps=100)[1]["sgd"]
    other = trained(ao.blend(large, adapt=adapt), steps=100, scale=1e6)[1]["sgd"]
    np.testing.assert_allclose(one, other, atol=2e-3)  # roundings of another scale, summed


def test_normalised_members_mix_whatever_their_rates():
    rows = gradients().astype(np.float32)
    pair = {"a": ao.sgd(1.0), "b": ao.sgd(1e-6, momentum=0.9)}
    mixture = steps_of(ao.blend(pair), rows)[0]
    heavy = steps_of(pair["b"], rows)[0]
    for step, b in zip(mixture[5:], heavy[5:], strict=True):
        assert abs(float(np.dot(step, b))) / np.linalg.norm(step) / np.linalg.norm(b) > 0.5


def test_weights_may_follow_a_schedule():
    fading = ao.schedules.linear(1.0, 4)
    tx = ao.blend({"a": ao.sgd(1.0), "b": ao.sgd(1.0)}, {"a": fading, "b": 1.0})
    weights = [float(state.weights["a"]) for state in steps_of(tx, gradients(6))[1]]
    np.testing.assert_allclose(weights, [0.5, 3 / 7, 1 / 3, 0.2, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("adapt", ["hedge", "hypergradient"])
def test_what_is_not_finite_teaches_nothing(adapt):
    tx = ao.blend({"a": ao.sgd(0.1), "b": ao.sgd(0.1, momentum=0.9)}, adapt=adapt)
    params = jnp.zeros(2)
    state = tx.init(params)
    for g in ([1.0, 2.0], [2.0, 1.0], [1.0, 1.0]):
        _, state = tx.update(jnp.array(g), state, params)
    _, after = tx.update(jnp.array([jnp.nan, 1.0]), state, params)
    assert after.weights == state.weights


def test_a_member_is_told_extra_arguments():
    tx = ao.blend({"a": optax.chain(ao.sgd(1.0), ao.reduce_on_plateau(0.5, 0)), "b": ao.sgd(1.0)})
    params = jnp.zeros(1)
    state = tx.init(params)
    for _ in range(2):
        updates, state = tx.update(jnp.ones(1), state, params, value=1.0)
    assert float(state.inner_states["a"][1].scale) == 0.5
    assert float(updates[0]) == pytest.approx(-0.75)


def test_a_members_slow_weights_are_not_evaluated():
    inside = ao.blend({"slow": ao.lookahead(ao.sgd(1.0), every=5), "sgd": ao.sgd(1.0)})
    for tx, wanted in ((inside, -3.0), (ao.lookahead(inside, every=5), 0.0)):
        params = jnp.zeros(1)
        state = tx.init(params)
        for _ in range(3):
            updates, state = tx.update(jnp.ones(1), state, params)
            params = params + updates
        assert float(ao.eval_params(state, params)[0]) == wanted


def test_its_rate_and_weights_are_seen():
    tx = ao.blend({"a": ao.adam(0.1), "b": optax.sgd(0.3)}, {"a": 3, "b": 1})
    params = jnp.ones(3)
    state = tx.init(params)
    assert float(ao.metrics(state)["weight/a"]) == 0.75
    assert float(ao.learning_rate_of(state)) == pytest.approx(0.1)  # the one that is kept
    both = ao.monitored(tx)
    _, state = both.update(params, both.init(params), params)
    seen = ao.metrics(state)
    assert float(seen["learning_rate"]) == pytest.approx(0.75 * 0.1 + 0.25 * 0.3)
    assert float(seen["weight/b"]) == 0.25
    assert "blend(" in str(ao.explain(both))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: ao.blend([ao.sgd(1.0)]),
            TypeError,
            r"blend\(members=\[.*\): members must be a dict",
        ),
        (lambda: ao.blend({}), ValueError, r"blend\(members=\{\}\): give at least one member"),
        (lambda: ao.blend({1: ao.sgd(1.0)}), TypeError, r"the name of a member must be a word"),
        (lambda: ao.blend({"a": ao.sgd}), TypeError, r"blend\(a=sgd\): .* has to be called"),
        (lambda: two(weights=[1]), ValueError, r"weights must be one number a member"),
        (lambda: two(weights={"a": 1}), ValueError, r"must have the members' names, 'a', 'b'"),
        (lambda: two(weights=[1, -1]), ValueError, r"weights\['b'\]=-1\): .* at least 0"),
        (lambda: two(weights=[0, 0]), ValueError, r"at least one weight must be above 0"),
        (lambda: two(adapt="hegde"), ValueError, r"adapt must be one of .* did you mean 'hedge'"),
        (lambda: two(adapt="hypergradient", step_size=0), ValueError, r"step_size must be finite"),
        (
            lambda: two(weights=[1, optax.constant_schedule(1.0)], adapt="hedge"),
            ValueError,
            r"weights that learn start from numbers",
        ),
    ],
)
def test_errors_say_what_to_do(build, error, message):
    with pytest.raises(error, match=message):
        build()


def two(**options):
    return ao.blend({"a": ao.sgd(1.0), "b": ao.sgd(1.0)}, **options)
