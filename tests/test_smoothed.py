"""Smoothed gradients against the paper's filter, and what passes through it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import every
from oracles.adam import adam
from oracles.sgd import sgd
from oracles.smoothed import smoothed as filtered
from problems import form, grads_of, params_of, run

import adaptive_optax as ao
from adaptive_optax.introspection.effective_rate import rates
from adaptive_optax.introspection.structure import structure

# Of the largest value that a coordinate reached; measured up to 4e-15 and 1e-6.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
SHAPES = {"bias": (3,), "kernel": (4, 3), "scale": ()}
STEPS = 40
OPTIONS = [
    {"decay": 0.98, "amplification": 2.0},
    {"decay": 0.5, "amplification": 5.0, "bias_correction": True},
    {"decay": 0.9, "amplification": 1.0, "direct": 0.0, "bias_correction": True},
    {"decay": 0.9, "amplification": 0.5, "direct": 0.25},
]


def scripted(steps=STEPS):
    """Starts and gradients of a tree of three leaves, that drift and are noisy."""
    draw = np.random.default_rng(3)
    start = {leaf: draw.standard_normal(shape) for leaf, shape in SHAPES.items()}
    drift = np.sin(np.arange(STEPS) / 8)
    gradients = {
        leaf: np.multiply.outer(drift, draw.standard_normal(shape))
        + draw.standard_normal((STEPS, *shape))
        for leaf, shape in SHAPES.items()
    }
    return start, {leaf: g[:steps] for leaf, g in gradients.items()}


def path_of(tx, dtype, steps=STEPS):
    """The parameters after each step."""
    with jax.enable_x64(dtype == "float64"):
        start, gradients = jax.tree.map(lambda x: jnp.asarray(x, dtype), scripted(steps))

        def step(carry, g):
            params, state = carry
            updates, state = tx.update(g, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        return jax.tree.map(np.asarray, jax.lax.scan(step, (start, tx.init(start)), gradients)[1])


def check(library, dtype="float64", steps=6):
    """Fails unless the library's filter is the paper's, before SGD and before Adam."""
    start, gradients = scripted(steps)
    moments = {"b1": 0.9, "b2": 0.99, "eps": 1e-8}
    inners = [(library.sgd, sgd, {}), (library.adam, adam, moments)]
    for options in OPTIONS:
        for make, oracle, given in inners:
            with jax.enable_x64(dtype == "float64"):
                tx = library.smoothed(make(0.1, **given), **options)
            path = path_of(tx, dtype, steps)
            for leaf, g in gradients.items():
                exact = oracle(filtered(g, **options), start[leaf], 0.1, **given)
                error = np.max(np.abs(path[leaf] - exact)) / np.max(np.abs(exact))
                assert error < TOLERANCE[dtype], f"{options} is off by {error:.1e} in {leaf}"


@pytest.mark.parametrize("dtype", every(2, [*TOLERANCE]))
def test_it_is_the_paper_s(dtype):
    check(ao, dtype, STEPS)


def test_a_steady_gradient_grows_by_direct_and_amplification():
    """With bias correction from the first step on, and so the rate times that is the same."""
    params = params_of()
    steady = [grads_of(params)] * 5
    twin = run(ao.sgd(0.1 * (0.5 + 2.0)), params, steady)[2]
    tx = ao.smoothed(ao.sgd(0.1), 0.9, 2.0, direct=0.5, bias_correction=True)
    for one, other in zip(run(tx, params, steady)[2], twin, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one, other)


def gains(decay, amplification, gradients):
    """The filtered gradients, without their first 200."""
    tx = ao.smoothed(None, decay, amplification)
    step = lambda state, g: tx.update(g, state)[::-1]  # noqa: E731
    return np.asarray(jax.lax.scan(step, tx.init(gradients[0]), gradients)[1])[200:]


def test_the_gains_that_the_docstring_tells():
    decay, amplification = 0.9, 2.0
    steady = gains(decay, amplification, jnp.ones(400))
    np.testing.assert_allclose(steady, 3.0, rtol=1e-5)
    turning = gains(decay, amplification, jnp.where(jnp.arange(400) % 2, -1.0, 1.0))
    gain = 1 + amplification * (1 - decay) / (1 + decay)
    np.testing.assert_allclose(np.abs(turning), gain, rtol=1e-5)
    noise = gains(decay, amplification, jax.random.normal(jax.random.key(0), (2000, 500)))
    variance = 1 + 2 * amplification * (1 - decay)
    variance += amplification**2 * (1 - decay) / (1 + decay)
    np.testing.assert_allclose(np.std(noise), np.sqrt(variance), rtol=5e-3)
    assert f"{np.sqrt(1 + 0.08 + 4 * 0.02 / 1.98):.2f}" == "1.06"  # at the paper's options


def test_what_leaves_the_gradient_as_it_is_leaves_the_optimizer_as_it_is():
    params = params_of()
    gradients = [grads_of(params, seed) for seed in range(4)]
    plain = run(ao.adam(0.1), params, gradients)[2]
    for options in ({"amplification": 0.0}, {"decay": 0.0, "amplification": 1.0, "direct": 0.0}):
        found = run(ao.smoothed(ao.adam(0.1), **options), params, gradients)[2]
        jax.tree.map(np.testing.assert_array_equal, found, plain)


def test_alone_in_a_chain_it_is_what_it_is_around_an_optimizer():
    params = params_of()
    gradients = [grads_of(params, seed) for seed in range(4)]
    around = run(ao.smoothed(ao.adam(0.1)), params, gradients)[2]
    chained = run(optax.chain(ao.smoothed(), ao.adam(0.1)), params, gradients)[2]
    jax.tree.map(np.testing.assert_array_equal, around, chained)
    descending = run(ao.descend(ao.smoothed(), 0.1), params, gradients)[2]
    plain = run(ao.smoothed(ao.sgd(0.1)), params, gradients)[2]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), descending, plain)


def test_narrow_parameters_get_the_updates_of_wide_ones():
    params = params_of("bfloat16")
    gradients = [grads_of(params, seed) for seed in range(30)]
    tx = ao.smoothed(ao.sgd(0.1), bias_correction=True)
    _, state, found = run(tx, params, gradients)
    wide = run(tx, *jax.tree.map(lambda x: x.astype("float32"), (params, gradients)))[2]

    def near(a, b):
        np.testing.assert_allclose(np.asarray(a, float), b, rtol=2**-8)  # one rounding

    jax.tree.map(near, found, wide)
    assert form(found) == form([params] * 30)
    assert form(state) == form(tx.init(params))
    assert {str(x.dtype) for x in jax.tree.leaves(state.slow)} == {"float32"}


def test_odd_leaves_reach_the_optimizer_as_they_are():
    params = {"w": jnp.ones(2), "n": jnp.array([1]), "none": None, "empty": jnp.zeros((0, 2))}
    params |= {"m": optax.MaskedNode(), "frozen": jnp.ones(2)}
    grads = {**params, "n": np.zeros(1, jax.dtypes.float0), "frozen": None}
    seen = []

    def spy(updates, state, params=None):
        seen.append(updates)
        return updates, state

    watch = optax.GradientTransformation(lambda params: optax.EmptyState(), spy)
    tx = ao.smoothed(optax.chain(watch, ao.adamw(0.1, weight_decay=0.1)))
    state = tx.init(params)
    assert state.slow["n"] is None
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for _ in range(2):
            updates, new = jax.jit(tx.update)(grads, state, params)
            assert form(new) == form(state)
            state = new
    assert seen[0]["frozen"] is None
    assert seen[0]["n"].dtype == jax.dtypes.float0
    assert updates["frozen"].tolist() == [0.0, 0.0]  # not decayed
    assert updates["n"].tolist() == [0]
    assert bool(jnp.all(updates["w"] < 0))


def test_it_counts_for_bias_correction_alone():
    assert ao.smoothed(ao.sgd(0.1)).init(jnp.ones(2)).count is None
    assert ao.smoothed(ao.sgd(0.1), bias_correction=True).init(jnp.ones(2)).count == 0


def test_extra_arguments_reach_the_inner_transformation():
    def update(grads, state, params=None, *, value, **extra):
        return jax.tree.map(lambda g: g * value, grads), state

    inner = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    tx = ao.smoothed(inner, 0.0, 1.0)
    updates, _ = tx.update(jnp.ones(2), tx.init(jnp.ones(2)), value=3.0, other=1)
    assert updates.tolist() == [6.0, 6.0]
    plain = ao.smoothed(optax.sgd(1.0))
    assert plain.update(jnp.ones(2), plain.init(jnp.ones(2)), value=1.0)[0].shape == (2,)


def test_vmap_over_options_and_runs():
    params = jnp.array([1.0, -2.0])
    gradients = [jnp.array([0.5, 1.0]), jnp.array([-1.0, 2.0])]

    def last(decay, amplification):
        return run(ao.smoothed(ao.adam(0.1), decay, amplification), params, gradients)[0]

    decays, amplifications = jnp.array([0.5, 0.9]), jnp.array([1.0, 3.0])
    together = jax.vmap(last)(decays, amplifications)
    for k in range(2):
        np.testing.assert_allclose(
            together[k], last(float(decays[k]), float(amplifications[k])), rtol=1e-5
        )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_largest_gradients_stay_finite_and_infinite_ones_show(dtype):
    params = jnp.ones(2, dtype)
    largest = jnp.full(2, jnp.finfo(dtype).max)
    tx = optax.apply_if_finite(ao.smoothed(), 5)
    state = tx.init(params)
    for _ in range(3):
        updates, state = tx.update(largest, state, params)
        assert bool(jnp.all(jnp.isfinite(updates)))
        assert bool(state.last_finite)
    before = state.inner_state
    _, state = tx.update(jnp.array([jnp.inf, 1.0], dtype), state, params)
    assert not bool(state.last_finite)
    jax.tree.map(np.testing.assert_array_equal, state.inner_state, before)


def test_complex_gradients_are_filtered_as_pairs():
    params, g = jnp.zeros(2, complex), jnp.array([1.0 + 2.0j, -3.0j])
    tx = ao.smoothed(None, 0.5, 2.0)
    updates, _ = tx.update(g, tx.init(params), params)
    np.testing.assert_allclose(updates, 2 * g, rtol=1e-6)


def test_it_says_what_it_is_and_leaves_the_rate():
    tx = ao.smoothed(ao.sgd(0.3), 0.9)
    part = structure(tx)
    assert part.name == "smoothed"
    assert part.options == {"decay": 0.9, "amplification": 2.0, "direct": 1.0}
    assert part.members["inner"].name == "sgd"
    assert structure(ao.smoothed()).members == {}
    state = tx.init(jnp.ones(2))
    np.testing.assert_allclose(rates(tx, state, state, jnp.ones(2)), [0.3])
    np.testing.assert_allclose(ao.learning_rate_of(state), 0.3)
    chained = optax.chain(ao.smoothed(), ao.sgd(0.3), optax.scale(0.5))
    state = chained.init(jnp.ones(2))
    np.testing.assert_allclose(rates(chained, state, state, jnp.ones(2)), [0.15])


def test_what_is_refused():
    with pytest.raises(TypeError, match=r"^smoothed\(inner=adam\): inner must be an optax transf"):
        ao.smoothed(ao.adam)
    for decay in (1.0, -0.1):
        with pytest.raises(ValueError, match=rf"^smoothed\(decay={decay}\): decay must lie in \[0"):
            ao.smoothed(ao.sgd(0.1), decay)
    with pytest.raises(ValueError, match=r"^smoothed\(amplification=-1\): amplification must be"):
        ao.smoothed(ao.sgd(0.1), 0.9, -1)
    with pytest.raises(ValueError, match=r"^smoothed\(direct=-1\): direct must be finite and at"):
        ao.smoothed(ao.sgd(0.1), direct=-1)
    with pytest.raises(TypeError, match=r"^smoothed\(direct='no'\): direct must be a number or"):
        ao.smoothed(ao.sgd(0.1), direct="no")


@pytest.mark.slow
@pytest.mark.parametrize("bias_correction", [False, True])
def test_the_contract_holds(bias_correction):
    from adaptive_optax.testing import assert_contract

    assert_contract(lambda rate: ao.smoothed(ao.adam(rate), bias_correction=bias_correction))
