"""What rounding does to a state over many steps: it follows, and it stays in range."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao

FORMATS = {
    "bfloat16": ao.bfloat16,
    "minifloat8": ao.minifloat8,
    "int8": ao.int8,
    "factored": ao.factored,
}
SHAPE = (128, 128)


def second_moment(tx, state):
    return np.asarray(optax.tree.get(state.decoded(), "nu"))


def after(tx, grads, steps, params=None, state=None):
    """The state after that many updates with the same gradients."""
    params = jnp.zeros(SHAPE) if params is None else params

    def step(state, _):
        updates, state = tx.update(grads, state, params)
        return state, jnp.max(jnp.abs(updates))

    state = tx.init(params) if state is None else state
    return jax.jit(lambda state: jax.lax.scan(step, state, None, steps))(state)


@pytest.mark.parametrize("name", FORMATS)
def test_a_second_moment_decays(name):
    """2,000 zero gradients beside one hot neighbour in 32; to the nearest, nothing moves."""
    tx = ao.stored(optax.scale_by_adam(b1=0.0, b2=0.999), FORMATS[name]())
    hot = np.arange(SHAPE[1]) % 32 == 0
    grads = jax.random.uniform(jax.random.key(0), SHAPE, minval=0.2)
    first, _ = after(tx, grads, 50)
    last, _ = after(tx, jnp.where(hot, grads, 0.0), 2000, state=first)
    ratio = second_moment(tx, last) / second_moment(tx, first)
    assert ratio[:, ~hot].mean() == pytest.approx(0.999**2000, rel=0.1)


@pytest.mark.parametrize("name", FORMATS)
def test_a_second_moment_rises(name):
    """From 1e-4 towards 1e-2 in a thousand steps."""
    tx = ao.stored(optax.scale_by_rms(decay=0.999, initial_scale=1e-4), FORMATS[name]())
    last, _ = after(tx, jnp.full(SHAPE, 0.1), 1000)
    truth = 1e-2 + (1e-4 - 1e-2) * 0.999**1000
    assert second_moment(tx, last).mean() == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("name", FORMATS)
def test_a_first_moment_has_the_right_mean(name):
    """Rounding by chance pushes neither up nor down."""
    tx = ao.stored(optax.sgd(1.0, momentum=0.9), FORMATS[name]())
    grads = jax.random.normal(jax.random.key(0), SHAPE) + 0.5
    last, _ = after(tx, grads, 100)
    trace = np.asarray(optax.tree.get(last.decoded(), "trace"))
    np.testing.assert_allclose(trace.mean(), 10 * float(grads.mean()), rtol=0.01)
    np.testing.assert_allclose(
        trace[:64].mean(), 10 * float(grads[:64].mean()), rtol=0.02
    )  # half of the elements, more noise


def swept(case):
    """Gradients of one kind, some steps of them, shape (steps, *SHAPE)."""
    key = jax.random.key(3)
    signs = jax.random.rademacher(key, (20, *SHAPE), jnp.float32)
    sizes = 10.0 ** jnp.linspace(-9, 3, SHAPE[1])
    if case == "sizes":
        return signs * sizes
    if case == "normal":
        return jax.random.normal(key, signs.shape) * sizes
    if case == "rows":
        return jax.random.normal(key, signs.shape) * sizes[:, None]
    if case == "outlier":
        return (signs * 1e-3).at[10, 3, 5].set(1e6)
    if case == "minus_zero":
        return -0.0 * jnp.abs(signs)
    return jnp.zeros(signs.shape).at[:, :, :32].set(signs[:, :, :32])


CASES = ("sizes", "normal", "rows", "outlier", "minus_zero", "zero_blocks")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["bfloat16", "minifloat8", "int8"])
@pytest.mark.parametrize(
    "inner", [optax.adam, pytest.param(ao.adam, marks=pytest.mark.slow)], ids=["optax", "ours"]
)
def test_updates_stay_in_range(inner, name, case):
    """No nan, and no update above 1.2 of the largest that float32 makes.

    Factored moments have no such bound: a row and a column say too little of one element, which is
    why Adafactor clips its updates.
    """
    grads = swept(case)

    def largest(tx):
        def step(state, g):
            updates, state = tx.update(g, state)
            return state, jnp.max(jnp.abs(updates))

        return jax.jit(lambda: jax.lax.scan(step, tx.init(grads[0]), grads))()

    state, found = largest(ao.stored(inner(1.0), FORMATS[name]()))
    _, truth = largest(inner(1.0))
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(state.decoded()))
    assert float(found.max()) <= 1.2 * float(truth.max())


@pytest.mark.parametrize("name", FORMATS)
def test_zero_stays_zero(name):
    tx = ao.stored(optax.adam(0.1), FORMATS[name]())
    state, moved = after(tx, jnp.zeros(SHAPE), 3)
    assert not np.any(second_moment(tx, state))
    assert not np.any(moved)


def test_a_nan_gradient_shows_in_the_update():
    tx = ao.stored(optax.adam(0.1), ao.minifloat8())
    params = jnp.zeros(SHAPE)
    updates, _ = tx.update(params.at[0, 0].set(jnp.nan), tx.init(params), params)
    assert bool(jnp.isnan(updates[0, 0]))
    assert int(jnp.sum(jnp.isnan(updates))) == 1


@pytest.mark.parametrize("name", ["bfloat16", "minifloat8"])
def test_what_is_on_the_grid_stays_there(name):
    """A state that nothing changes is not walked off by rounding it again and again."""
    tx = ao.stored(optax.scale_by_adam(), FORMATS[name]())
    first, _ = after(tx, jax.random.normal(jax.random.key(0), SHAPE), 5)
    again = first.encoded(first.decoded())
    jax.tree.map(np.testing.assert_array_equal, again, first)


@pytest.mark.parametrize("block", [8, 32, 64])
@pytest.mark.parametrize(("make", "share"), [(ao.int8, 0.1), (ao.int4, 0.5)])
def test_blocks_come_back_within_a_step(make, share, block):
    """A block whose largest was rounded down may get finer steps at the second time."""
    tx = ao.stored(optax.scale_by_adam(), make(block))
    first, _ = after(tx, jax.random.normal(jax.random.key(0), SHAPE), 5)
    again = first.encoded(first.decoded())
    pairs = zip(jax.tree.leaves(first.decoded()), jax.tree.leaves(again.decoded()), strict=True)
    for old, new in pairs:
        np.testing.assert_allclose(new, old, rtol=share, atol=2.0**-11 * float(abs(old).max()))
