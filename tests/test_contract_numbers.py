"""Contract 2, 3 and 9: precision, range and sense."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import FIRST, OPTIMIZERS, by_id, every
from problems import grads_of, params_of, run

FLOATS = (jnp.float32, jnp.bfloat16, jnp.float16)
# A value rounded to bf16 is off by at most half a step, 2^-9 of it; two such roundings and slack.
BF16 = 2.0**-7


def finite(tree) -> bool:
    return all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(tree))


@functools.cache
def noise():
    """Gradients of 4,000 steps, all of them bf16 numbers.

    Small ones at the end: a second moment that is stuck would show as too small a step.
    """
    keys = jax.random.split(jax.random.key(0), 4000)
    scales = jnp.where(jnp.arange(4000) < 100, 1.0, 1e-3)

    def draw(key, scale):
        return jax.tree.map(
            lambda p: (scale * jax.random.normal(key, p.shape)).astype(jnp.bfloat16), params_of()
        )

    return jax.vmap(draw)(keys, scales)


@pytest.mark.parametrize("row", every(3, OPTIMIZERS), ids=by_id)
def test_bf16_updates_follow_float32_for_thousands_of_steps(row):
    """The same gradients for parameters of either dtype."""
    tx, narrow = row.make(), params_of(jnp.bfloat16)

    @jax.jit
    def follow(params, noise):
        def step(state, grads):
            grads = jax.tree.map(lambda g, p: g.astype(p.dtype), grads, params)
            updates, state = tx.update(grads, state, params)
            return state, updates

        return jax.lax.scan(step, tx.init(params), noise)[1]

    exact = follow(jax.tree.map(lambda p: p.astype(jnp.float32), narrow), noise())
    rounded = follow(narrow, noise())
    for u, v in zip(jax.tree.leaves(exact), jax.tree.leaves(rounded), strict=True):
        assert v.dtype == jnp.bfloat16
        cancelled = 1e-6 * float(jnp.abs(u).max())  # what float32 leaves of sums that cancel
        np.testing.assert_allclose(v.astype(jnp.float32), u, rtol=BF16, atol=cancelled)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_arithmetic_and_slots_are_float32_or_wider(row, dtype):
    state = row.make().init(params_of(dtype))
    widths = [x.dtype for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)]
    assert all(jnp.finfo(width).bits >= 32 for width in widths)


@pytest.mark.parametrize("value", [1e20, -1e20, 1e-30, 0.0, 6e4])
@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.__name__)
@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_finite_gradients_give_finite_updates_and_state(row, dtype, value):
    tx, params = row.make(), params_of(dtype)
    value = float(np.clip(value, float(jnp.finfo(dtype).min), float(jnp.finfo(dtype).max)))
    grads = jax.tree.map(lambda p: jnp.full(p.shape, value, p.dtype), params)
    state = tx.init(params)
    for _ in range(12):
        updates, state = tx.update(grads, state, params)
        assert finite(updates)
        assert finite(state)


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_one_huge_gradient_does_not_freeze(row):
    """After one gradient of 1e20 every coordinate still moves, as second moments stay finite."""
    tx, params = row.make(), {"w": jnp.zeros(4)}
    _, state = tx.update({"w": jnp.full(4, 1e20)}, tx.init(params), params)

    def step(state, _):
        updates, state = tx.update({"w": jnp.ones(4)}, state, params)
        return state, updates["w"]

    state, updates = jax.jit(lambda s: jax.lax.scan(step, s, length=100))(state)
    assert finite(state)
    assert float(jnp.abs(updates[10:]).min()) > 0  # RAdam may skip its first steps


def test_optax_freezes_after_one_huge_gradient():
    """The control of the test above: the same gradient stops optax's Adam for ever."""
    tx, params = optax.adam(0.1), jnp.zeros(4)
    _, state = tx.update(jnp.full(4, 1e20), tx.init(params), params)
    for _ in range(100):
        updates, state = tx.update(jnp.ones(4), state, params)
    assert float(jnp.abs(updates).max()) == 0


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_descends_a_quadratic(row):
    """From a distance of about 1 its loss falls to a fifth or less, and every coordinate nears."""
    tx = row.make()
    start = {"x": jnp.array([1.0, -1.0, 0.5]), "y": jnp.array(-0.75)}
    gradient = jax.grad(lambda p: sum(jnp.sum(x**2) / 2 for x in jax.tree.leaves(p)))

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(gradient(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, length=2000))((start, tx.init(start)))
    for before, after in zip(jax.tree.leaves(start), jax.tree.leaves(params), strict=True):
        assert float(jnp.max(jnp.abs(after) / jnp.abs(before))) < 0.45


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_learning_rate_zero_moves_nothing(row):
    if row.id == "adamw-independent":
        pytest.skip("its decay does not depend on the learning rate, by definition")
    params = params_of()
    gradients = [grads_of(params, seed) for seed in range(6)]
    moved, _, _ = run(row.make(0.0), params, gradients)
    jax.tree.map(np.testing.assert_array_equal, moved, params)


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_zero_gradients_move_nothing_but_decay(row):
    params = params_of()
    zeros = jax.tree.map(jnp.zeros_like, params)
    moved, _, _ = run(row.make(), params, [zeros] * 6)
    decays = {"adam-l2", "adamw", "adamw-independent", "lion-decay", "nadamw", "lamb-decay"}
    decays |= {"adan-decay", "schedule_free(adamw)"}
    for before, after in zip(jax.tree.leaves(params), jax.tree.leaves(moved), strict=True):
        if row.id in decays:
            assert float(jnp.max(jnp.abs(after) - jnp.abs(before))) <= 0
        else:
            np.testing.assert_array_equal(after, before)
