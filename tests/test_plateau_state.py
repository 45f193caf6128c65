"""Reduce on plateau as a transformation: dtypes, leaves, state, company, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import form, grads_of, params_of

import adaptive_optax as ao
from adaptive_optax.introspection.structure import structure
from adaptive_optax.learning_rate.plateau import PlateauState, reduce_on_plateau
from adaptive_optax.testing import assert_contract
from adaptive_optax.wrappers.accumulation import multi_steps


def test_a_slowly_falling_loss_is_no_plateau_for_narrow_parameters():
    """bfloat16 cannot tell these losses apart."""
    tx, params = reduce_on_plateau(patience=5), jnp.ones(3, jnp.bfloat16)
    state = start = tx.init(params)
    for t in range(60):
        updates, state = tx.update(params, state, params, value=jnp.float32(0.9997**t))
    assert updates.dtype == jnp.bfloat16
    assert updates.tolist() == [1.0, 1.0, 1.0]
    assert form(state) == form(start)
    assert {str(x.dtype) for x in state} == {"float32", "int32"}


@pytest.mark.parametrize(
    "value",
    [1, 1.0, np.float64(1.0), np.array(1.0), jnp.bfloat16(1.0), jnp.int32(1), jnp.float16(1.0)],
)
def test_a_value_may_be_any_real_number(value):
    tx = reduce_on_plateau()
    with jax.numpy_dtype_promotion("strict"):
        _, state = tx.update(jnp.ones(2), tx.init(jnp.ones(2)), value=value)
    assert form(state.best_value) == ((), "float32", False)
    assert state.best_value == 1


def test_beyond_float32_is_no_value():
    tx = reduce_on_plateau()
    _, state = tx.update(None, tx.init(None), value=1e300)
    assert not np.isfinite(state.best_value)
    assert state.avg_value == 0


def test_each_leaf_keeps_its_dtype_and_odd_ones_their_value():
    tx = reduce_on_plateau(0.5, patience=0)
    updates = {
        "half": jnp.full(2, 3.0, jnp.float16),
        "complex": jnp.array([1 + 2j]),
        "integer": jnp.array([3]),
        "none": None,
        "masked": optax.MaskedNode(),
        "float0": np.zeros(2, jax.dtypes.float0),
        "empty": jnp.zeros((0, 3)),
        "scalar": jnp.array(3.0),
    }
    state = tx.init(updates)
    for _ in range(2):
        found, state = tx.update(updates, state, updates, value=1.0)
    assert jax.tree.structure(found) == jax.tree.structure(updates)
    assert found["half"].dtype == jnp.float16
    assert found["half"].tolist() == [1.5, 1.5]
    assert found["complex"].tolist() == [0.5 + 1j]
    assert found["integer"].tolist() == [3]
    assert found["float0"].dtype == jax.dtypes.float0
    assert found["scalar"] == 1.5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_in_a_chain_under_jit_scan_cond_and_vmap(dtype):
    params = params_of(dtype)
    grads = grads_of(params)
    tx = optax.chain(ao.adam(0.1), reduce_on_plateau(0.5, patience=0))
    values = jnp.array([[3.0, 2.0, 2.5, 1.0], [1.0, 1.0, 1.0, 0.5]])

    def run(values):
        def step(state, value):
            def yes(state):
                return tx.update(grads, state, params, value=value)[1]

            return jax.lax.cond(value > 0, yes, lambda s: s, state), None

        return jax.lax.scan(step, tx.init(params), values)[0]

    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        state = jax.jit(jax.vmap(run))(values)
        assert form(jax.eval_shape(run, values[0])) == form(tx.init(params))
    np.testing.assert_array_equal(state[1].scale, [0.5, 0.25])


def test_options_may_be_traced():
    def last(patience, factor, floor, least):
        tx = reduce_on_plateau(factor, patience, min_scale=floor, atol=least)
        state = tx.init(None)
        for _ in range(4):
            _, state = tx.update(None, state, value=1.0)
        return state.scale

    found = jax.vmap(last)(
        jnp.array([0, 1, 5]), jnp.full(3, 0.5), jnp.array([0.2, 0.0, 0.0]), jnp.zeros(3)
    )
    np.testing.assert_allclose(found, [0.2, 0.5, 1.0], rtol=1e-6)


def test_the_state_travels():
    from flax import serialization

    tx = optax.chain(ao.adam(0.1), reduce_on_plateau())
    params = params_of()
    state = tx.init(params)
    _, state = tx.update(grads_of(params), state, params, value=2.0)
    back = serialization.from_bytes(tx.init(params), serialization.to_bytes(state))
    jax.tree.map(np.testing.assert_array_equal, back, state)
    marked = optax.tree_map_params(tx, lambda x: x + 1, state)
    jax.tree.map(np.testing.assert_array_equal, marked[1], state[1])
    step = jax.jit(lambda g, s: tx.update(g, s, value=1.0), donate_argnums=1)
    assert step(grads_of(params), state)[1][1].best_value == 1
    assert optax.tree.get(back, "best_value") == 2


def test_it_says_what_it_is():
    part = structure(reduce_on_plateau(0.5, patience=3))
    assert (part.name, part.options["patience"], part.options["factor"]) == (
        "reduce_on_plateau",
        3,
        0.5,
    )
    state = reduce_on_plateau().init(None)._replace(scale=jnp.float32(0.25))
    assert part.body.factor(None, state, None) == 0.25
    assert isinstance(state, PlateauState)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"factor": 1.0}, r"factor=1\.0\): factor must lie in \(0, 1\)"),
        ({"factor": 0.0}, r"factor=0\.0\): factor must be finite and above 0"),
        ({"rtol": 1.0}, r"rtol=1\.0\): rtol must lie in \[0, 1\)"),
        ({"atol": -1.0}, r"atol=-1\.0\): atol must be finite and at least 0"),
        ({"patience": -1}, r"patience=-1\): patience must be at least 0"),
        ({"cooldown": -1}, r"cooldown=-1\): cooldown must be at least 0"),
        ({"grace": -1}, r"grace=-1\): grace must be at least 0"),
        ({"increase_patience": -1}, r"increase_patience=-1\): increase_patience must be at "),
        ({"accumulation_size": 0}, r"accumulation_size=0\): accumulation_size must be at least 1"),
        ({"min_scale": 1.5}, r"min_scale=1\.5\): min_scale must lie in \[0, 1\]"),
        ({"max_scale": 0.5}, r"max_scale=0\.5\): max_scale must be at least 1"),
        ({"increase": 0.9}, r"increase=0\.9\): increase must be at least 1"),
        ({"mode": "mim"}, r"mode='mim'\): mode must be one of 'min', 'max'; did you mean 'min'"),
        ({"on_nan": "raise"}, r"on_nan='raise'\): on_nan must be one of 'skip', 'bad'"),
    ],
)
def test_options_that_are_refused(options, words):
    with pytest.raises(ValueError, match=rf"^reduce_on_plateau\({words}"):
        reduce_on_plateau(**options)


@pytest.mark.parametrize("options", [{"patience": 2.5}, {"cooldown": True}, {"grace": "1"}])
def test_counts_are_integers(options):
    with pytest.raises(TypeError, match=r"^reduce_on_plateau\(.*must be an integer"):
        reduce_on_plateau(**options)


@pytest.mark.parametrize("make", [reduce_on_plateau, lambda: multi_steps(reduce_on_plateau(), 1)])
def test_without_a_value_the_error_shows_the_ways_out(make):
    tx = make()
    state = tx.init(jnp.ones(2))
    words = r"^reduce_on_plateau\.update needs value=.*params, value=loss\).*training\.TrainState"
    for given in ({}, {"value": None}):
        with pytest.raises(ValueError, match=words):
            tx.update(jnp.ones(2), state, jnp.ones(2), **given)


@pytest.mark.parametrize("name", ["reduce_on_plateau", "multi_steps"])
def test_values_that_are_refused(name):
    tx = reduce_on_plateau() if name == "reduce_on_plateau" else multi_steps(ao.sgd(0.1), 2)
    state, g = tx.init(jnp.ones(2)), jnp.ones(2)
    with pytest.raises(
        ValueError, match=rf"^{name}\.update\(value=array of shape \(2,\)\): value "
    ):
        tx.update(g, state, value=jnp.ones(2))
    for value in ("low", [1.0], 1j, jnp.array(1j)):
        with pytest.raises(TypeError, match=rf"^{name}\.update\(value=.*must be a real number"):
            tx.update(g, state, value=value)


@pytest.mark.slow
def test_the_contract_holds():
    def make(rate):
        tx = optax.chain(ao.adam(rate), reduce_on_plateau(0.5, patience=0))

        def update(grads, state, params=None, **extra_args):
            return tx.update(grads, state, params, **{"value": 1.0, **extra_args})

        return optax.GradientTransformationExtraArgs(tx.init, update)

    assert_contract(make, without=("descends",))  # the value given here never falls
