"""learning_rate_of and set_learning_rate: over ours, injected and monitored optimizers, nested."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import form

import adaptive_optax as ao

PARAMS = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([3.0, 1.0, 0.5])}
LABELS = {"a": "x", "b": "y"}
RAMP = optax.linear_schedule(0.5, 0.1, 4)


def split(x, y):
    return optax.partition({"x": x, "y": y}, LABELS)


def injected(learning_rate):
    return optax.inject_hyperparams(optax.sgd)(learning_rate)


def plateau(patience=0):
    return ao.reduce_on_plateau(0.5, patience=patience)


# Of a descent along the gradient, so that the update tells the rate; for a rate or a schedule.
NESTED = {
    "ours": ao.sgd,
    "ours in a chain": lambda rate: optax.chain(optax.clip(1e9), ao.sgd(rate)),
    "ours in chains": lambda rate: optax.chain(optax.chain(optax.chain(ao.sgd(rate)))),
    "monitored ours": lambda rate: ao.monitored(ao.sgd(rate)),
    "monitored optax": lambda rate: ao.monitored(optax.sgd(rate)),
    "monitored optax chain": lambda rate: ao.monitored(
        optax.chain(optax.zero_nans(), optax.sgd(rate), optax.scale(1.0))
    ),
    "monitored both": lambda rate: ao.monitored(optax.chain(ao.sgd(rate), optax.scale(0.5))),
    "monitored groups": lambda rate: ao.monitored(ao.sgd(rate), groups={"all": "."}),
    "monitored monitored": lambda rate: ao.monitored(ao.monitored(optax.sgd(rate))),
    "lookahead": lambda rate: ao.lookahead(ao.sgd(rate), every=100),
    "lookahead of monitored": lambda rate: ao.lookahead(ao.monitored(optax.sgd(rate)), every=100),
    "pullback": lambda rate: ao.lookahead(ao.sgd(rate), every=100, at_sync="pullback"),
    "averaged": lambda rate: ao.averaged(ao.sgd(rate)),
    "cautious": lambda rate: ao.cautious(ao.sgd(rate)),
    "finite": lambda rate: optax.apply_if_finite(ao.sgd(rate), 3),
    "gathered": lambda rate: optax.MultiSteps(ao.sgd(rate), 1).gradient_transformation(),
    "gathered by ours": lambda rate: ao.multi_steps(ao.sgd(rate), 1),
    "masked": lambda rate: optax.masked(ao.sgd(rate), True),
    "descend": lambda rate: ao.descend(optax.identity(), rate),
}


def steps(tx, state, count=1, **extra):
    """Updates by the gradient: rates of leaf "a", and the last state."""
    update, found = optax.with_extra_args_support(tx).update, []
    for _ in range(count):
        updates, state = update(PARAMS, state, PARAMS, **extra)
        found.append(float(-updates["a"][0]))
    return found, state


@pytest.mark.parametrize("name", NESTED)
def test_set_holds_against_the_schedule_until_it_is_given_back(name):
    tx = NESTED[name](RAMP)
    half = 0.5 if name == "monitored both" else 1.0
    state = start = tx.init(PARAMS)
    np.testing.assert_allclose(ao.learning_rate_of(state), half * 0.5)

    def step(state):
        (moved,), state = steps(tx, state)
        np.testing.assert_allclose(ao.learning_rate_of(state), moved, rtol=1e-6)
        return moved, state

    first, state = step(state)
    second, state = step(state)
    np.testing.assert_allclose([first, second], [half * 0.5, half * 0.4], rtol=1e-6)
    before = state
    state = ao.set_learning_rate(state, 0.25)
    np.testing.assert_allclose(ao.learning_rate_of(before), second, rtol=1e-6)  # left as it was
    third, state = step(state)
    fourth, state = step(state)
    np.testing.assert_allclose([third, fourth], [0.25, 0.25], rtol=1e-6)
    fifth, state = step(ao.set_learning_rate(state, None))
    np.testing.assert_allclose(fifth, half * 0.1, rtol=1e-6)
    assert form(state) == form(start)


@pytest.mark.parametrize("name", [n for n in NESTED if n != "monitored both"])
def test_what_is_set_is_told_at_once(name):
    tx = NESTED[name](0.5)
    for state in (tx.init(PARAMS), steps(tx, tx.init(PARAMS), 2)[1]):
        np.testing.assert_allclose(
            ao.learning_rate_of(ao.set_learning_rate(state, 0.125)), 0.125, rtol=1e-6
        )
        assert steps(tx, ao.set_learning_rate(state, 0.0))[0] == [0.0]


def test_schedule_free_weighs_by_what_is_set():
    tx = ao.schedule_free(ao.sgd(RAMP))
    state = ao.set_learning_rate(tx.init(PARAMS), 2.0)
    _, after = steps(tx, state)
    assert ao.learning_rate_of(after) == 2
    assert after.largest == 2
    np.testing.assert_allclose(after.anchor["a"], PARAMS["a"] - 2 * PARAMS["a"])


@pytest.mark.parametrize("value", [0.25, np.float64(0.25), jnp.float32(0.25), jnp.bfloat16(0.25)])
def test_any_number_will_do_and_nothing_is_compiled_anew(value):
    for tx in (ao.adam(0.1), ao.monitored(optax.adam(0.1)), injected(0.1)):
        state, update = tx.init(PARAMS), jax.jit(tx.update)
        _, state = update(PARAMS, state, PARAMS)
        with jax.numpy_dtype_promotion("strict"):
            new = ao.set_learning_rate(state, value)
        assert form(new) == form(state)
        _, new = update(PARAMS, new, PARAMS)
        assert update._cache_size() == 1
        assert float(ao.learning_rate_of(new)) == 0.25
    assert float(ao.learning_rate_of(ao.set_learning_rate(ao.sgd(0.1).init(PARAMS), 1))) == 1


@pytest.mark.parametrize("tx", [ao.sgd(0.5), ao.monitored(optax.sgd(0.5)), injected(0.5)])
def test_under_jit_scan_and_vmap_the_value_may_be_traced(tx):
    def run(rates):
        def step(state, rate):
            state = ao.set_learning_rate(state, rate)
            updates, state = tx.update(PARAMS, state, PARAMS)
            return state, (-updates["a"][0], ao.learning_rate_of(state))

        return jax.lax.scan(step, tx.init(PARAMS), rates)[1]

    rates = jnp.array([[0.25, 0.125], [1.0, 2.0]])
    moved, told = jax.jit(jax.vmap(run))(rates)
    np.testing.assert_allclose(moved, rates, rtol=1e-6)
    np.testing.assert_allclose(told, rates, rtol=1e-6)


def test_a_held_rate_survives_serialization():
    from flax import serialization

    for tx in (ao.adam(RAMP), ao.monitored(optax.adam(RAMP)), ao.lookahead(ao.lion(RAMP))):
        _, state = steps(tx, tx.init(PARAMS))
        held = ao.set_learning_rate(state, 0.25)
        back = serialization.from_bytes(tx.init(PARAMS), serialization.to_bytes(held))
        jax.tree.map(np.testing.assert_array_equal, back, held)
        _, after = steps(tx, back, 2)
        assert float(ao.learning_rate_of(after)) == pytest.approx(0.25)


def test_labels_name_the_rates():
    tx = split(ao.sgd(0.5), optax.chain(ao.monitored(optax.sgd(0.25)), plateau()))
    _, state = steps(tx, tx.init(PARAMS), value=1.0)
    assert {k: float(v) for k, v in ao.learning_rate_of(state).items()} == {"x": 0.5, "y": 0.25}
    again = ao.set_learning_rate(state, ao.learning_rate_of(state))  # the names agree
    moved, again = steps(tx, ao.set_learning_rate(again, {"x": 0.125}), value=0.5)
    assert moved == [0.125]
    assert {k: float(v) for k, v in ao.learning_rate_of(again).items()} == {"x": 0.125, "y": 0.25}
    _, again = steps(tx, ao.set_learning_rate(again, {"x": None, "y": 2.0}), value=0.5)
    found = {k: float(v) for k, v in ao.learning_rate_of(again).items()}
    assert found == {"x": 0.5, "y": 1.0}  # y: 2 by the plateau's half


def test_factors_are_those_of_the_place_and_of_all_above():
    inside = optax.partition({"u": ao.sgd(0.5), "v": ao.sgd(0.25)}, {"a": "u", "b": "v"})
    within = optax.chain(inside, plateau())
    tx = optax.chain(optax.partition({"x": within, "y": ao.sgd(1.0)}, dict.fromkeys("ab", "x")))
    _, state = steps(tx, tx.init(PARAMS), 3, value=1.0)
    found = {k: float(v) for k, v in ao.learning_rate_of(state).items()}
    assert found == {"x/u": 0.125, "x/v": 0.0625, "y": 1.0}
    outer = optax.chain(split(ao.sgd(0.5), ao.sgd(0.25)), plateau())
    _, state = steps(outer, outer.init(PARAMS), 2, value=1.0)
    assert {k: float(v) for k, v in ao.learning_rate_of(state).items()} == {"x": 0.25, "y": 0.125}


@pytest.mark.parametrize(
    "tx",
    [
        optax.chain(ao.sgd(1.0), plateau()),
        optax.chain(ao.sgd(1.0), optax.contrib.reduce_on_plateau(0.5, patience=1)),
        ao.hypergradient(ao.sgd(1.0), 0.125),
        optax.inject_hyperparams(
            lambda learning_rate: optax.chain(optax.sgd(learning_rate), plateau())
        )(1.0),
        ao.monitored(optax.chain(optax.sgd(1.0), plateau())),
        ao.monitored(
            ao.layerwise_decay(optax.chain(ao.sgd(1.0), plateau()), layers=lambda path: 0)
        ),
        ao.lookahead(optax.chain(ao.sgd(1.0), plateau()), every=100),
    ],
)
def test_factors_are_in_the_rate_and_stay_when_it_is_set(tx):
    moved, state = steps(tx, tx.init(PARAMS), 4, value=1.0)
    assert moved[-1] != 1
    np.testing.assert_allclose(ao.learning_rate_of(state), moved[-1], rtol=1e-6)
    moved, state = steps(tx, ao.set_learning_rate(state, 0.5), value=0.5)
    np.testing.assert_allclose(ao.learning_rate_of(state), moved[-1], rtol=1e-6)
    assert moved[0] != 0.5


def test_groups_are_set_one_by_one():
    tx = ao.monitored(optax.sgd(0.5), groups={"first": "^a", "second": "^b"})
    state = tx.init(PARAMS)
    assert {k: float(v) for k, v in ao.learning_rate_of(state).items()} == {
        "first": 0.5,
        "second": 0.5,
    }
    state = ao.set_learning_rate(state, {"second": 0.25})
    updates, state = tx.update(PARAMS, state, PARAMS)
    np.testing.assert_array_equal(updates["a"], -0.5 * PARAMS["a"])
    np.testing.assert_array_equal(updates["b"], -0.25 * PARAMS["b"])
    found = ao.metrics(state)
    assert float(found["learning_rate/second"]) == 0.25
    np.testing.assert_allclose(found["learning_rate"], (0.5 * 2 + 0.25 * 3) / 5)


def test_an_update_uphill_goes_on_uphill():
    tx = ao.monitored(optax.chain(optax.sgd(0.5), optax.scale(-1.0)))
    moved, state = steps(tx, ao.set_learning_rate(tx.init(PARAMS), 0.25))
    assert moved == [-0.25]
    assert ao.learning_rate_of(state) == -0.25


@pytest.mark.parametrize("tx", [optax.adam(0.1), optax.chain(optax.sgd(RAMP)), optax.identity()])
def test_a_state_without_a_rate_shows_the_ways_out(tx):
    state = tx.init(PARAMS)
    with pytest.raises(ValueError, match=r"^learning_rate_of\(state=\(?.*State.*monitored\(tx\)"):
        ao.learning_rate_of(state)
    with pytest.raises(ValueError, match=r"^set_learning_rate\(state=.*that can be set; wrap"):
        ao.set_learning_rate(state, 0.1)


SGD = ao.sgd(0.1).init(PARAMS)
TWO = split(ao.sgd(0.1), ao.sgd(0.2)).init(PARAMS)


@pytest.mark.parametrize(
    ("state", "value", "error", "words"),
    [
        (SGD, -0.1, ValueError, r"value=-0\.1\): value must be finite and at least 0"),
        (SGD, np.array(-1.0), ValueError, r"value=-1\.0\): value must be finite"),
        (SGD, jnp.array(-1.0), ValueError, r"value=-1\.0\): value must be finite"),
        (SGD, float("nan"), ValueError, r"value=nan\): value must be finite"),
        (SGD, jnp.array(jnp.inf), ValueError, r"value=inf\): value must be finite"),
        (SGD, jnp.ones(2), ValueError, r"value=array of shape \(2,\)\): value must be a scalar"),
        (SGD, "0.1", TypeError, r"value='0\.1'\): value must be a number"),
        (SGD, True, TypeError, r"value=True\): value must be a number"),
        (SGD, jnp.array(1j), TypeError, r"value=1j\): value must be a real number"),
        (SGD, RAMP, TypeError, r"value=a schedule\): value must be a number; build"),
        (SGD, {"x": 0.1}, ValueError, r"value=\{'x': .*but one without a name; give a number"),
        (TWO, {"z": 0.1}, ValueError, r"value=\{'z': .*no rate of that name, but 'x', 'y'"),
        (TWO, {"x": -1.0}, ValueError, r"value=-1\.0\): value must be finite"),
        (injected(RAMP).init(PARAMS), 0.1, ValueError, r"state=.*has a schedule for learning_rate"),
        (injected(0.1).init(PARAMS), None, ValueError, r"value=None\): optax\.inject_hyperparams"),
        (injected(1).init(PARAMS), 0.1, ValueError, r"state=.*an integer for learning_rate"),
        (
            ao.monitored(ao.lookahead(optax.sgd(0.1))).init(PARAMS),
            0.1,
            ValueError,
            r"state=.*wrap the innermost optimizer",
        ),
    ],
)
def test_what_is_refused(state, value, error, words):
    with pytest.raises(error, match=rf"^set_learning_rate\({words}"):
        ao.set_learning_rate(state, value)
