"""Multi-steps against optax.MultiSteps, and what it passes on besides."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import form, grads_of, params_of, run

import adaptive_optax as ao
from adaptive_optax.introspection.structure import structure
from adaptive_optax.learning_rate.plateau import reduce_on_plateau
from adaptive_optax.wrappers.accumulation import multi_steps


def jitted(tx, params, gradients):
    return run(tx._replace(update=jax.jit(tx.update)), params, gradients)


def near(one, other, rtol=1e-5):
    def close(a, b):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=rtol)

    jax.tree.map(close, one, other)


def test_it_gives_optax_s_updates():
    params = params_of()
    gradients = [grads_of(params, seed) for seed in range(7)]
    tx = multi_steps(ao.adam(0.1), 3)
    theirs = optax.MultiSteps(ao.adam(0.1), 3).gradient_transformation()
    found = jitted(tx, params, gradients)[2]
    near(found, jitted(theirs, params, gradients)[2])
    near(found, run(tx, params, gradients)[2])


@pytest.mark.parametrize("of_grads", ["float32", "bfloat16"])
def test_narrow_parameters_get_the_updates_of_wide_ones(of_grads):
    params = params_of("bfloat16")
    gradients = [grads_of(params, seed, dtype=of_grads) for seed in range(7)]
    tx = multi_steps(ao.adam(0.1), 3)
    _, state, found = jitted(tx, params, gradients)
    wide = jax.tree.map(lambda x: x.astype("float32"), (params, gradients))
    near(found, jitted(tx, *wide)[2], rtol=2**-8)  # one rounding
    assert form(found) == form([params] * 7)
    assert form(state) == form(tx.init(params))
    assert (state.mini_step, state.gradient_step) == (1, 2)
    assert {str(x.dtype) for x in jax.tree.leaves(state.acc_grads)} == {"float32"}


def test_of_one_micro_batch_it_is_the_inner_optimizer():
    params = params_of()
    gradients = [grads_of(params, seed) for seed in range(3)]
    found = run(multi_steps(ao.adam(0.1), 1), params, gradients)[2]
    jax.tree.map(np.testing.assert_array_equal, found, run(ao.adam(0.1), params, gradients)[2])


def seen(values, every):
    """The values that a transformation inside multi_steps saw."""

    def start(params):
        return jnp.zeros(3), jnp.zeros((), jnp.int32)

    def update(g, state, params=None, *, value, **extra):
        history, count = state
        return g, (history.at[count].set(value), count + 1)

    tx = multi_steps(optax.GradientTransformationExtraArgs(start, update), every)
    state = tx.init(jnp.zeros(1))
    step = jax.jit(tx.update)
    for value in values:
        _, state = step(jnp.ones(1), state, jnp.zeros(1), value=jnp.float32(value))
    return np.array(state.inner_state[0])


def test_inside_multi_steps_a_value_is_the_mean_of_the_window():
    nan = np.nan
    np.testing.assert_allclose(seen([1.0, 3.0, 5.0, 6.0], 2), [2.0, 5.5, 0.0])
    np.testing.assert_allclose(seen([1.0, nan, 3.0, np.inf, nan, nan], 3), [2.0, nan, 0.0])


def test_a_plateau_inside_multi_steps_judges_whole_batches():
    inner = optax.chain(ao.sgd(1.0), reduce_on_plateau(0.5, patience=0))
    values = [4.0, 2.0, 5.0, 0.0, 1.0, 1.0]  # the last of each window rises, the means fall
    tx, optaxs = multi_steps(inner, 2), optax.MultiSteps(inner, 2)
    state, theirs = tx.init(jnp.zeros(1)), optaxs.init(jnp.zeros(1))
    step, other = jax.jit(tx.update), jax.jit(optaxs.update)
    for value in values:
        _, state = step(jnp.ones(1), state, jnp.zeros(1), value=value)
        _, theirs = other(jnp.ones(1), theirs, jnp.zeros(1), value=value)
    assert state.inner_state[1].scale == 1
    assert theirs.inner_opt_state[1].scale == 0.5


def test_it_passes_over_odd_leaves():
    params = {"w": jnp.ones(2), "n": jnp.array([1]), "none": None, "m": optax.MaskedNode()}
    grads = {**params, "n": np.zeros(1, jax.dtypes.float0)}
    tx = multi_steps(ao.adam(0.1), 2)
    state = tx.init(params)
    assert state.acc_grads["n"] is None
    frozen = {**grads, "w": None}
    for given in (grads, grads, frozen, frozen):
        with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
            updates, state = jax.jit(tx.update)(given, state, params)
    assert updates["w"].tolist() == [0.0, 0.0]
    assert state.gradient_step == 2


def test_it_says_what_it_is():
    part = structure(multi_steps(ao.sgd(0.5), 3))
    assert (part.name, part.options) == ("multi_steps", {"every": 3})
    assert part.members["inner"].name == "sgd"


def test_what_is_refused():
    with pytest.raises(TypeError, match=r"^multi_steps\(inner=sgd\): inner must be an optax "):
        multi_steps(ao.sgd, 2)
    with pytest.raises(ValueError, match=r"^multi_steps\(every=0\): every must be at least 1"):
        multi_steps(ao.sgd(0.1), 0)
    with pytest.raises(TypeError, match=r"^multi_steps\(every=2\.5\): every must be an integer"):
        multi_steps(ao.sgd(0.1), 2.5)


@pytest.mark.slow
def test_the_contract_holds():
    from adaptive_optax.testing import assert_contract

    assert_contract(lambda rate: multi_steps(ao.adam(rate), 2))
