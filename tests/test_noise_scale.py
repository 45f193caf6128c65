"""The gradient noise scale against the paper's formula, and on gradients whose noise is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.noise_scale import noise_scale

import adaptive_optax as ao
from adaptive_optax.gradients.noise_scale import NoiseScale

SHAPES = {"bias": (3,), "kernel": (4, 3), "scale": ()}


def micro_grads(seed=0, count=8, mean=1.0, scale=1.0):
    """A tree of gradients, each leaf (count, ...)."""
    draw = np.random.default_rng(seed)
    return {
        leaf: mean + scale * draw.standard_normal((count, *shape)) for leaf, shape in SHAPES.items()
    }


def flat(tree):
    return np.concatenate([np.reshape(x, (len(x), -1)) for x in tree.values()], axis=1)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize("batch_size", [1, 32])
def test_it_is_the_paper_s(count, batch_size, dtype, rtol):
    grads = micro_grads(count=count)
    with jax.enable_x64(dtype == "float64"):
        tree = jax.tree.map(lambda x: jnp.asarray(x, dtype), grads)
        found = ao.gradient_noise_scale(tree, batch_size)
        assert {str(x.dtype) for x in found} == {dtype}
        np.testing.assert_allclose(found, noise_scale(flat(grads), batch_size), rtol=rtol)


def test_planted_noise_is_found_without_bias():
    """20,000 draws of 4 micro-batches of 8 examples, of 16 coordinates with their own noise.

    The means are within four standard errors of what was planted, and these are below 1 %.
    """
    draws, count, batch = 20_000, 4, 8
    deviation = jnp.linspace(0.5, 2.0, 16)  # of one example
    truth = jnp.linspace(-0.3, 0.5, 16)
    trace, squared_norm = float(jnp.sum(deviation**2)), float(jnp.sum(truth**2))
    noise = jax.random.normal(jax.random.key(1), (draws, count, 16))
    grads = {"w": truth + noise * deviation / batch**0.5}
    found = jax.jit(jax.vmap(lambda g: ao.gradient_noise_scale(g, batch)))(grads)
    for values, known in ((found.trace, trace), (found.squared_norm, squared_norm)):
        values = np.asarray(values, float)
        error = values.std() / draws**0.5
        assert error < 0.01 * known
        assert abs(values.mean() - known) < 4 * error
    ratio = found.trace.mean() / found.squared_norm.mean()
    np.testing.assert_allclose(ratio, trace / squared_norm, rtol=0.03)
    # A single estimate has a bias, and may have no signal: what the averages are for.
    assert bool(jnp.any(jnp.isinf(found.noise_scale)))


@pytest.mark.slow
def test_averages_of_a_scan_find_the_planted_scale():
    deviation, truth, count = 2.0, 0.5, 4
    noise = jax.random.normal(jax.random.key(2), (3000, count, 10))
    grads = truth + deviation * noise
    first = ao.gradient_noise_scale(grads[0])

    def step(average, g):
        average = ao.gradient_noise_scale(g).averaged(average, decay=0.998)
        return average, average

    last, path = jax.lax.scan(step, first, grads[1:])
    np.testing.assert_allclose(last.noise_scale, deviation**2 / truth**2, rtol=0.15)
    alone = jax.vmap(ao.gradient_noise_scale)(grads).noise_scale
    finite = jnp.isfinite(alone)
    assert float(jnp.std(path.noise_scale[1000:])) < 0.2 * float(jnp.std(alone[finite]))


def test_averages_follow_their_formula():
    one, two = NoiseScale(2.0, 4.0, 2.0), NoiseScale(jnp.inf, 2.0, -1.0)
    found = two.averaged(one, decay=0.75)
    np.testing.assert_allclose(found, [3.5 / 1.25, 3.5, 1.25])
    assert two.averaged() is two
    np.testing.assert_allclose(two.averaged(one, decay=0.0), two)
    with pytest.raises(ValueError, match=r"^NoiseScale\.averaged\(decay=1\.0\): decay must lie in"):
        two.averaged(one, decay=1.0)


def test_where_there_is_no_signal_the_scale_is_inf_and_where_no_number_nan():
    found = ao.gradient_noise_scale(jnp.array([1.0, -1.0]))
    assert [float(x) for x in found] == [np.inf, 2.0, -1.0]
    found = ao.gradient_noise_scale(jnp.zeros((3, 2)))
    assert [float(x) for x in found] == [np.inf, 0.0, 0.0]
    found = ao.gradient_noise_scale(jnp.ones((3, 2)))
    assert [float(x) for x in found] == [0.0, 0.0, 2.0]
    for bad in (jnp.nan, jnp.inf):
        assert all(map(np.isnan, ao.gradient_noise_scale(jnp.array([1.0, bad]))))


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e30])
def test_squares_neither_overflow_nor_vanish(scale):
    grads = micro_grads()
    exact = noise_scale(flat(grads), 4)
    tree = jax.tree.map(lambda x: jnp.asarray(scale * x, jnp.float32), grads)
    found = ao.gradient_noise_scale(tree, 4)
    np.testing.assert_allclose(found.noise_scale, exact[0], rtol=1e-5)
    largest = float(jnp.finfo(jnp.float32).max)
    wanted = np.clip(np.square(scale) * np.array(exact[1:]), -largest, largest)
    np.testing.assert_allclose(found[1:], wanted, rtol=1e-5, atol=1e-37)
    running = found.averaged(found)
    assert not bool(jnp.isnan(running.noise_scale))
    largest = ao.gradient_noise_scale(jnp.array([3e38, 1.5e38]))
    np.testing.assert_allclose(largest.noise_scale, 0.25, rtol=1e-5)


def test_leaves_that_are_not_trained_are_passed_over():
    grads = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), micro_grads())
    odd = {"none": None, "n": jnp.arange(3), "f0": np.zeros(3, jax.dtypes.float0)}
    odd |= {"empty": jnp.zeros((8, 0))}
    found = ao.gradient_noise_scale({**grads, **odd})
    np.testing.assert_array_equal(found, ao.gradient_noise_scale(grads))
    assert {str(x.dtype) for x in found} == {"float32"}
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        jax.jit(ao.gradient_noise_scale)({"one": grads}, jnp.int32(2))
    assert [float(x) for x in ao.gradient_noise_scale({})] == [np.inf, 0.0, 0.0]


def test_complex_gradients_count_by_their_modulus():
    real = micro_grads()["kernel"]
    pairs = jnp.asarray(real[..., 0] + 1j * real[..., 1])
    found = ao.gradient_noise_scale(pairs)
    np.testing.assert_allclose(
        found, ao.gradient_noise_scale(jnp.asarray(real[..., :2])), rtol=1e-5
    )


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"^gradient_noise_scale\(batch_size=0\): batch_size must"):
        ao.gradient_noise_scale(jnp.ones((2, 3)), 0)
    with pytest.raises(TypeError, match=r"^gradient_noise_scale\(batch_size=2\.5\): batch_size mu"):
        ao.gradient_noise_scale(jnp.ones((2, 3)), 2.5)
    head = r"^gradient_noise_scale\(micro_grads=\.\.\.\): at "
    ways = r"the same first axis, of at least 2 micro-batches, as jax\.vmap\(jax\.grad\(loss\)"
    for shape in ((1, 3), ()):
        with pytest.raises(ValueError, match=rf"{head}\['w'\] the shape is .*{ways}"):
            ao.gradient_noise_scale({"w": jnp.ones(shape)})
    with pytest.raises(ValueError, match=rf"{head}\['w'\] the shape is \[3\], where others have 2"):
        ao.gradient_noise_scale({"b": jnp.ones((2, 3)), "w": jnp.ones(3)})
