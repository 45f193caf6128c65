"""Rounded parameters: where each update ends, bit for bit, and the numbers of the oracle."""

import flax.training.train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from oracles import rounded as oracle
from problems import form

import adaptive_optax as ao
from adaptive_optax.storage.hash_bits import mixed, random_bits
from adaptive_optax.storage.rounded_update import APART

MODES = ("stochastic", "kahan", "master")
DTYPES = ("bfloat16", "float16")
TINY = 2.0**-126
given = optax.scale(1.0)  # gradients are the updates


def numbers(dtype, count):
    """Numbers of every kind that dtype has, finite, and ends of its range among them."""
    draw = np.random.default_rng(0)
    words = draw.integers(0, 2**16, count, np.uint16)
    ends = np.array([0, -0.0, 1, -1, TINY, -TINY, 1.5 * TINY, 3e-5, 2.0**-24, -(2.0**-14)])
    largest = float(jnp.finfo(dtype).max)
    found = jax.lax.bitcast_convert_type(jnp.asarray(words), dtype)
    found = jnp.where(jnp.isfinite(found), found, jnp.ones_like(found))
    found = jnp.where(jnp.abs(found.astype("float32")) < 2 * TINY, jnp.ones_like(found), found)
    return found.at[:12].set(jnp.asarray([*ends, largest, -largest], dtype))


def moves(p):
    """Updates of every size beside p, float32."""
    draw = np.random.default_rng(1)
    wide = np.asarray(p, np.float32)
    words = draw.integers(0, 2**32, p.shape, np.uint32).view(np.float32)
    near = -wide * (1 + draw.standard_normal(p.shape) * 2.0 ** draw.integers(-24, 0, p.shape))
    kinds = [
        np.where(np.isfinite(words), words, 1.0),  # any ratio
        near,  # to the other side of 0, or just not
        -wide,
        wide * draw.standard_normal(p.shape) * 2.0 ** draw.integers(-26, 4, p.shape),
        wide * 0,
        np.full(p.shape, 3.3e38),
        np.full(p.shape, -3.3e38),
        draw.standard_normal(p.shape) * 2.0**-24,
    ]
    limit = 3.3e38  # beyond, the way to the target is no float32
    with np.errstate(over="ignore"):
        found = [np.clip(each, -limit, limit).astype(np.float32) for each in kinds]
    # A device may take what is below 2^-126 for 0: none of it here, nor in the sums.
    sums = [np.abs(wide + u.astype(np.float64)) for u in found]
    small = [(np.abs(u) < TINY) | ((x < TINY) & (x > 0)) for u, x in zip(found, sums, strict=True)]
    return [np.where(each, np.float32(0), u) for each, u in zip(small, found, strict=True)]


def reached(p, target):
    """The target, but 0 or p where it, or the way there, is below what a device may know."""
    wide, target = np.asarray(p, np.float64), np.where(np.abs(target) < TINY, 0.0, target)
    found = np.where(np.abs(target - wide) < TINY, wide, target)
    return jnp.asarray(found, p.dtype)


def same_bits(one, other):
    word = {2: jnp.uint16, 4: jnp.uint32}[one.dtype.itemsize]
    one, other = (np.asarray(jax.lax.bitcast_convert_type(x, word)) for x in (one, other))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_update_ends_on_the_rounded_parameter(dtype, mode):
    p = numbers(dtype, 4096)
    tx = ao.rounded(given, mode)
    state = tx.init(p)
    bits = np.asarray(random_bits(p.shape, mixed(jnp.int32(1), jnp.uint32(APART))))
    step = jax.jit(tx.update)
    at_once = jax.jit(lambda u, p: optax.apply_updates(p, tx.update(u, state, p)[0]))
    for u in moves(p):
        rows = np.asarray(u)[None], np.asarray(p, np.float32), bits[None]
        path, _ = oracle.rounded(mode, *rows, dtype=dtype)
        updates, _ = step(u, state, p)
        assert updates.dtype == jnp.float32
        new = optax.apply_updates(p, updates)
        expected = reached(p, path[0])
        same = jnp.where(expected == 0, jnp.where(p == 0, p, jnp.zeros_like(p)), expected)
        same_bits(new, same)
        same_bits(at_once(u, p), same)
        same_bits((p + updates).astype(p.dtype), same)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_follows_its_oracle(dtype, mode):
    draw = np.random.default_rng(2)
    start = jnp.asarray(draw.standard_normal(64) * 2.0 ** draw.integers(-12, 6, 64), dtype)
    wide = np.asarray(start, np.float32)
    steps = wide * draw.standard_normal((200, 64)) * 2.0 ** draw.integers(-16, -5, (200, 64))
    steps = steps.astype(np.float32)
    bits = jax.vmap(lambda t: random_bits(start.shape, mixed(t, jnp.uint32(APART))))(
        jnp.arange(1, 201)
    )
    path, kept = oracle.rounded(mode, steps, wide, np.asarray(bits), dtype=dtype)
    tx = ao.rounded(given, mode)

    @jax.jit
    def step(carry, u):
        p, state = carry
        updates, state = tx.update(u, state, p)
        p = optax.apply_updates(p, updates)
        return (p, state), (p, state)

    ran = jax.jit(lambda carry, us: jax.lax.scan(step, carry, us))
    (_, last), (found, states) = ran((start, tx.init(start)), jnp.asarray(steps))
    np.testing.assert_array_equal(np.asarray(found, float), path)
    slot = {"stochastic": None, "kahan": states.compensation, "master": states.master}[mode]
    if slot is not None:
        np.testing.assert_array_equal(np.asarray(slot, float), kept)
    assert form(last) == form(tx.init(start))


@pytest.mark.parametrize("mode", MODES)
def test_zeros_move_no_bit(mode):
    p = numbers("bfloat16", 1024)
    tx = ao.rounded(given, mode)
    state = tx.init(p)
    for _ in range(3):
        updates, state = tx.update(jnp.zeros(p.shape), state, p)
        normal = jnp.abs(p.astype("float32")) >= TINY
        same_bits(jnp.where(normal, optax.apply_updates(p, updates), p), p)


@pytest.mark.parametrize("mode", MODES)
def test_flax_ends_there_too(mode):
    tx = ao.rounded(ao.adam(1e-3), mode)
    params = {"w": numbers("bfloat16", 256) / 64}
    grads = {"w": jnp.sin(jnp.arange(256.0)).astype(jnp.bfloat16)}
    linen = flax.training.train_state.TrainState.create(apply_fn=None, params=params, tx=tx)
    model = nnx.Linear(16, 16, use_bias=False, rngs=nnx.Rngs(0), param_dtype=jnp.bfloat16)
    model.kernel[...] = params["w"].reshape(16, 16)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    of_model = nnx.State({"kernel": nnx.Param(grads["w"].reshape(16, 16))})
    state = tx.init(params)
    for _ in range(3):
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        linen = jax.jit(lambda linen: linen.apply_gradients(grads=grads))(linen)
        optimizer.update(model, of_model)
    same_bits(linen.params["w"], params["w"])
    if mode != "stochastic":  # whose bits go by the element's place in the array
        same_bits(model.kernel[...].reshape(-1), params["w"])
    assert model.kernel[...].dtype == jnp.bfloat16


def test_a_parameter_that_was_set_is_taken_over():
    tx = ao.rounded(given, "master")
    p = jnp.full(3, 3.0, jnp.bfloat16)
    u = jnp.full(3, 1e-3)
    updates, state = tx.update(u, tx.init(p), p)
    p = optax.apply_updates(p, updates).at[1].set(1.0).at[2].set(-jnp.inf)
    _, state = tx.update(u, state, p)
    np.testing.assert_allclose(state.master, [3.002, 1.001, -np.inf], rtol=1e-7)
    p = p.at[2].set(2.0)
    np.testing.assert_allclose(tx.update(u, state, p)[1].master, [3.003, 1.002, 2.001], rtol=3e-7)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_not_finite_shows_and_what_is_too_large_does_not_stay(mode):
    tx = ao.rounded(given, mode)
    p = jnp.asarray([1.0, 1.0, 60000.0], jnp.float16)
    updates, state = tx.update(jnp.asarray([jnp.nan, jnp.inf, 1e30]), tx.init(p), p)
    p = optax.apply_updates(p, updates)
    np.testing.assert_array_equal(np.asarray(p, float), [np.nan, np.inf, 65504])
    p = p.at[:2].set(1.0)  # as somebody would who goes back to a checkpoint
    updates, state = tx.update(jnp.full(3, -64.0), state, p)
    np.testing.assert_array_equal(
        np.asarray(optax.apply_updates(p, updates), float), [-63, -63, 65440]
    )


def test_chance_goes_by_step_and_place_alone():
    params = {name: jnp.full((4, 8), 3.0, jnp.bfloat16) for name in "ab"}
    moved = {name: jnp.full((4, 8), 5e-3) for name in "ab"}
    tx = ao.rounded(given, "stochastic")
    first, state = tx.update(moved, tx.init(params), params)
    again, _ = tx.update(moved, tx.init(params), params)
    later, _ = tx.update(moved, state, params)
    np.testing.assert_array_equal(first["a"], again["a"])
    assert not np.array_equal(first["a"], later["a"])
    assert not np.array_equal(first["a"], first["b"])
