"""Narrow parameters that learn as wide ones do, where they stood still before."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax.storage.hash_bits import mixed, random_bits
from adaptive_optax.storage.stochastic_rounding import by_chance, is_narrow, nearest

BYTES = {"stochastic": 0, "kahan": 2, "master": 4}  # a parameter, besides the inner state
MODES = tuple(BYTES)
DTYPES = ("bfloat16", "float16")


def trained(tx, params, steps, target):
    """Parameters after steps down |p - target|^2 / 2, and the share that never moved."""

    def step(carry, _):
        params, state, stood = carry
        grads = (params.astype("float32") - target).astype(params.dtype)
        updates, state = tx.update(grads, state, params)
        new = optax.apply_updates(params, updates)
        return (new, state, stood & (new == params)), None

    first = params, tx.init(params), jnp.ones(params.shape, bool)
    run = jax.jit(lambda carry: jax.lax.scan(step, carry, None, steps)[0])
    params, _, stood = run(first)
    return np.asarray(params, float), float(stood.mean())


def problem(dtype):
    draw = np.random.default_rng(0)
    start = jnp.asarray(3 + draw.standard_normal(4096), dtype)
    return start, jnp.asarray(start, jnp.float32) - 0.3 * np.sign(draw.standard_normal(4096))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_it_goes_where_float32_goes(dtype, mode):
    start, target = problem(dtype)
    wide, _ = trained(optax.adam(1e-3), start.astype("float32"), 300, target)
    narrow, stood = trained(ao.rounded(optax.adam(1e-3), mode), start, 300, target)
    step = np.asarray(jnp.spacing(start), float)
    away = (narrow - wide) / step
    assert abs(away.mean()) < (0.2 if mode == "stochastic" else 0.05)
    share = 1e-3 / step % 1  # of an update that is left to chance
    walk = 1.05 * np.sqrt(300 * np.mean(share * (1 - share)))  # how far 300 throws go apart
    assert np.sqrt(np.mean(away**2)) < {"stochastic": walk, "kahan": 0.6, "master": 0.6}[mode]
    assert stood < 0.01


def test_without_it_bfloat16_stands_still():
    start, target = problem("bfloat16")
    assert trained(optax.adam(1e-3), start, 300, target)[1] > 0.98


@pytest.mark.parametrize("rate", [1e-4, 1e-6])
@pytest.mark.parametrize("mode", MODES)
def test_however_small_the_steps(mode, rate):
    """A step of 1e-6 is a thousandth of the compensation's own, which it must not vanish in."""
    params = jnp.full(2**14, 3.0, jnp.bfloat16)
    tx = ao.rounded(optax.sgd(rate), mode)

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jnp.ones_like(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    run = jax.jit(lambda carry: jax.lax.scan(step, carry, None, 1000)[0])
    params, state = run((params, tx.init(params)))
    kept = 0.0 if state.compensation is None else np.asarray(state.compensation, float)
    mean = np.mean(np.asarray(params, float) + kept if state.master is None else state.master)
    throws = 2**14 * 1000 * rate / 2.0**-6  # that go down, of bf16's steps at 3
    rel = 4 / throws**0.5 if mode == "stochastic" else 0.05  # four standard deviations
    assert 3 - mean == pytest.approx(1000 * rate, rel=rel)


@pytest.mark.parametrize("mode", MODES)
def test_what_it_costs(mode):
    params = jax.ShapeDtypeStruct((64, 64), jnp.bfloat16)
    size = ao.state_bytes(ao.rounded(optax.adam(1e-3), mode), params) / params.size
    assert size == pytest.approx(8 + BYTES[mode], abs=0.01)


@pytest.mark.parametrize("dtype", DTYPES)
def test_chance_has_the_right_mean(dtype):
    x = jnp.linspace(-1.0, 1.0, 50) ** 3 * (1e-4 if dtype == "float16" else 5.0)

    def tried(step):
        return by_chance(x, jnp.dtype(dtype), random_bits(x.shape, mixed(step, jnp.uint32(0))))

    found = np.asarray(jax.vmap(tried)(jnp.arange(4000)))
    step = np.asarray(jnp.spacing(jnp.abs(x).astype(dtype)), float)
    np.testing.assert_array_equal(found, found.astype(jnp.dtype(dtype)))
    assert np.abs((found.mean(0) - x) / step).max() < 4 * 0.5 / 4000**0.5
    assert np.abs((found - x) / step).max() < 1.0001


@pytest.mark.parametrize("dtype", DTYPES)
def test_nearest_is_what_a_cast_gives(dtype):
    words = np.random.default_rng(0).integers(0, 2**32, 2**16, np.uint32)
    x = words.view(np.float32)
    x = np.where(np.abs(x) < float(jnp.finfo(dtype).max), x, 1.0)
    x = np.where(np.abs(x) < 2.0**-126, 0, x).astype(np.float32)
    halfway = (1 + np.arange(4096) / 4096).astype(np.float32) * np.float32(2.0**-14)
    for each in (x, halfway, -halfway, halfway / 64):
        expected = each.astype(jnp.dtype(dtype)).astype(np.float32)
        np.testing.assert_array_equal(nearest(jnp.asarray(each), jnp.dtype(dtype)), expected)
    assert is_narrow(jnp.zeros(1, dtype))
    assert not is_narrow(jnp.zeros(1))
