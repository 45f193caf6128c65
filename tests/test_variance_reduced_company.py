"""Variance reduction in company: masks, odd leaves, narrow dtypes, other wrappers, the contract."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import form, grads_of, params_of

import adaptive_optax as ao
from adaptive_optax.introspection.effective_rate import rates
from adaptive_optax.introspection.structure import structure


@pytest.mark.parametrize("mode", ["storm", "mars"])
def test_narrow_parameters_keep_a_wide_state(mode):
    params = params_of("bfloat16")
    tx = ao.variance_reduced(optax.sgd(0.1), mode)
    state, step = tx.init(params), jax.jit(tx.update)
    for seed in range(3):
        for of_grads in ("bfloat16", "float32"):
            g = grads_of(params, seed, dtype=of_grads)
            updates, new = step(g, state, params, previous_grads=grads_of(params, seed + 1))
            assert form(new) == form(state)
            assert form(updates) == form(params)
            state = new
    assert {str(x.dtype) for x in jax.tree.leaves(state.estimate)} <= {"float32"}
    assert bool(jax.tree.leaves(state.estimate)) == (mode == "storm")


@pytest.mark.parametrize("mode", ["storm", "mars"])
def test_odd_leaves_reach_the_optimizer_as_they_are(mode):
    params = {"w": jnp.ones(2), "n": jnp.array([1]), "none": None, "empty": jnp.zeros((0, 2))}
    params |= {"m": optax.MaskedNode(), "frozen": jnp.ones(2), "number": 1.0}
    grads = {**params, "n": np.zeros(1, jax.dtypes.float0), "frozen": None}
    previous = {**grads, "m": jnp.ones(5), "frozen": jnp.ones(2)}  # what a mask hides is not read
    tx = ao.variance_reduced(ao.adamw(0.1, weight_decay=0.1), mode)
    state = tx.init(params)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for _ in range(2):
            updates, new = jax.jit(tx.update)(grads, state, params, previous_grads=previous)
            assert form(new) == form(state)
            state = new
    assert updates["frozen"].tolist() == [0.0, 0.0]  # not decayed
    assert updates["n"].tolist() == [0]
    assert bool(jnp.all(updates["w"] < 0))


def test_extra_arguments_reach_the_inner_transformation():
    seen = {}

    def update(grads, state, params=None, **extra):
        seen.update(extra)
        return grads, state

    inner = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    tx = ao.variance_reduced(inner)
    tx.update(jnp.ones(2), tx.init(jnp.ones(2)), previous_grads=jnp.zeros(2), value=3.0)
    assert set(seen) == {"previous_grads", "value"}


@pytest.mark.parametrize("hidden", [False, True])
def test_inside_a_mask_whether_it_masks_extra_arguments_or_not(hidden):
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    tx = optax.masked(
        ao.variance_reduced(ao.sgd(1.0), a=0.5),
        {"a": True, "b": False},
        mask_compatible_extra_args=hidden,
    )
    state, before = tx.init(params), jax.tree.map(jnp.zeros_like, params)
    for _ in range(2):
        updates, state = tx.update(params, state, params, previous_grads=before)
    assert updates["a"].tolist() == [-1.5, -1.5]
    assert updates["b"].tolist() == [1.0, 1.0, 1.0]


def test_around_multi_steps_parameters_that_wait_are_no_trouble():
    tx = ao.variance_reduced(ao.multi_steps(ao.sgd(1.0), 2), a=0.5)
    params = jnp.array(0.0)
    state, steps = tx.init(params), []
    for g in (1.0, 2.0, 4.0, 4.0):
        updates, state = tx.update(jnp.array(g), state, params, previous_grads=jnp.array(g))
        steps.append(float(updates))
    assert steps == [0.0, -1.25, 0.0, -(2.75 + 3.375) / 2]


def test_vmap_over_shares_and_runs():
    g, before = jnp.array([0.5, 1.0]), jnp.array([0.25, 2.0])

    def last(a):
        tx = ao.variance_reduced(ao.sgd(0.1), a=a)
        state = tx.init(g)
        for _ in range(3):
            updates, state = tx.update(g, state, g, previous_grads=before)
        return updates

    together = jax.vmap(last)(jnp.array([0.5, 0.9]))
    np.testing.assert_allclose(together, [last(0.5), last(0.9)], rtol=1e-5)


@pytest.mark.parametrize("mode", ["storm", "mars"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_largest_gradients_stay_finite_and_infinite_ones_show(mode, dtype):
    params = jnp.ones(2, dtype)
    largest = jnp.full(2, jnp.finfo(dtype).max)
    tx = optax.apply_if_finite(ao.variance_reduced(optax.identity(), mode, gamma=20.0), 5)
    state = tx.init(params)
    for sign in (1, -1, 1, 1):
        updates, state = tx.update(sign * largest, state, params, previous_grads=-sign * largest)
        assert bool(jnp.all(jnp.isfinite(updates)))
        assert bool(state.last_finite)
    _, after = tx.update(jnp.full(2, jnp.inf, dtype), state, params, previous_grads=largest)
    assert not bool(after.last_finite)
    jax.tree.map(np.testing.assert_array_equal, after.inner_state, state.inner_state)


def test_it_says_what_it_is_and_leaves_the_rate():
    tx = ao.variance_reduced(ao.sgd(0.3), a=0.5)
    part = structure(tx)
    assert part.name == "variance_reduced"
    assert (part.options["mode"], part.options["a"]) == ("storm", 0.5)
    assert part.members["inner"].name == "sgd"
    found = structure(ao.variance_reduced(ao.sgd(0.3), "mars")).options
    assert (found["mode"], found["gamma"], found["b1"]) == ("mars", 0.025, 0.95)
    state = tx.init(jnp.ones(2))
    np.testing.assert_allclose(rates(tx, state, state, jnp.ones(2)), [0.3])
    np.testing.assert_allclose(ao.learning_rate_of(state), 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["storm", "mars"])
def test_the_contract_holds(mode):
    from adaptive_optax.testing import assert_contract

    def make(rate):
        """With the gradients themselves for the previous ones, since the contract gives none."""
        tx = ao.variance_reduced(ao.adam(rate), mode)

        def update(grads, state, params=None, **extra):
            return tx.update(grads, state, params, **{"previous_grads": grads, **extra})

        return optax.GradientTransformationExtraArgs(tx.init, update)

    assert_contract(make)
