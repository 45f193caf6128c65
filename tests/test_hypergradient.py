"""Hypergradient descent against the paper's algorithms, and in cases worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.hypergradient import adam_hd, sgd_hd
from problems import form, grads_of, params_of, run

import adaptive_optax as ao
from adaptive_optax.introspection.structure import structure
from adaptive_optax.learning_rate.hypergradient import hypergradient
from adaptive_optax.testing import assert_contract

# Sums of a dozen products a step, over 60 steps; float64 measured up to 3e-15.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
SHAPES = {"bias": (3,), "kernel": (4, 3), "scale": ()}
SIZE = 16
STEPS = 60


def scripted(seed=5):
    """A start, and gradients that drift, so that they agree for some steps and then do not."""
    draw = np.random.default_rng(seed)
    drift = np.sin(np.arange(STEPS) / 8)[:, None] * draw.standard_normal(SIZE)
    noisy = drift + 0.3 * draw.standard_normal((STEPS, SIZE))
    return draw.standard_normal(SIZE).astype("float32"), noisy.astype("float32")


def tree_of(flat):
    """The leaves of an array of shape (..., 16)."""
    parts = np.split(np.asarray(flat), [3, 15], axis=-1)
    return {k: x.reshape(x.shape[:-1] + SHAPES[k]) for k, x in zip(SHAPES, parts, strict=True)}


def flat_of(tree):
    return np.concatenate([np.reshape(x, (len(x), -1)) for x in tree.values()], axis=1)


def path_of(tx, dtype="float32", gradients=None):
    """Parameters (T, 16) and scales (T,) after each step, over a tree of three leaves."""
    start, given = scripted()
    given = given if gradients is None else gradients
    with jax.enable_x64(dtype == "float64"):
        params = jax.tree.map(lambda x: jnp.asarray(x, dtype), tree_of(start))
        grads = jax.tree.map(lambda x: jnp.asarray(x, dtype), tree_of(given))

        def step(carry, g):
            params, state = carry
            updates, state = tx.update(g, state, params)
            params = jax.tree.map(jnp.add, params, updates)
            return (params, state), (params, state.scale)

        begin = (params, tx.init(params))
        (_, last), (path, scales) = jax.jit(lambda c, g: jax.lax.scan(step, c, g))(begin, grads)
        assert form(last) == form(begin[1])
        assert last.scale.dtype == dtype
        return flat_of(path), np.array(scales)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
@pytest.mark.parametrize("library", [ao, optax])
def test_sgd_hd_is_the_paper_s(library, mode, dtype):
    start, given = scripted()
    step_size = 1e-3 if mode == "additive" else 0.1
    path, rates = sgd_hd(given.astype(float), start, 0.05, step_size=step_size, mode=mode)
    found, scales = path_of(hypergradient(library.sgd(0.05), step_size, mode=mode), dtype)
    np.testing.assert_allclose(found, path, rtol=0, atol=TOLERANCE[dtype] * np.abs(path).max())
    np.testing.assert_allclose(0.05 * scales, rates, rtol=0, atol=TOLERANCE[dtype] * rates.max())
    assert rates.max() > 1.2 * 0.05
    assert np.diff(rates).min() < 0


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
@pytest.mark.parametrize("library", [ao, optax])
def test_adam_hd_is_the_paper_s(library, mode, dtype):
    start, given = scripted()
    options = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
    step_size = 1e-4 if mode == "additive" else 0.05
    path, rates = adam_hd(
        given.astype(float), start, 0.01, step_size=step_size, mode=mode, **options
    )
    found, scales = path_of(
        hypergradient(library.adam(0.01, **options), step_size, mode=mode), dtype
    )
    # optax corrects the bias by 1 - b**t in float32 at any dtype, which loses digits.
    atol = TOLERANCE[dtype] if library is ao else max(TOLERANCE[dtype], 2e-5)
    np.testing.assert_allclose(found, path, rtol=0, atol=atol * np.abs(path).max())
    np.testing.assert_allclose(0.01 * scales, rates, rtol=0, atol=atol * rates.max())
    assert rates.max() > 1.1 * 0.01
    assert np.diff(rates).min() < 0


def test_it_finds_a_usable_rate_from_one_a_hundred_times_too_small():
    curve = jnp.array([1.0, 0.3, 0.1])

    def last(tx):
        def step(carry, _):
            params, state = carry
            updates, state = tx.update(curve * params, state, params)
            return (params + updates, state), None

        start = jnp.ones(3)
        return jnp.sum(curve * jax.lax.scan(step, (start, tx.init(start)), length=400)[0][0] ** 2)

    plain = last(ao.sgd(0.01))
    assert last(hypergradient(ao.sgd(0.01), 1e-2)) < 1e-3 * plain
    assert last(hypergradient(ao.sgd(0.01), mode="multiplicative")) < 1e-3 * plain
    assert last(hypergradient(ao.adam(1e-4), mode="multiplicative")) < 0.1 * last(ao.adam(1e-4))


def test_the_first_step_and_a_step_size_of_0_are_the_inner_optimizer_s():
    params = params_of()
    gradients = [grads_of(params, seed) for seed in range(3)]
    for mode in ("additive", "multiplicative"):
        plain = run(ao.adam(0.1), params, gradients)[2]
        same = run(hypergradient(ao.adam(0.1), 0.0, mode=mode), params, gradients)[2]
        first = run(hypergradient(ao.adam(0.1), 0.5, mode=mode), params, gradients[:1])[2]
        jax.tree.map(np.testing.assert_array_equal, same, plain)
        jax.tree.map(np.testing.assert_array_equal, first, plain[:1])


def warm(count):
    return jnp.asarray([0.0, 0.1, 0.2, 0.2])[jnp.minimum(count, 3)]


@pytest.mark.parametrize(
    "inner",
    [
        ao.sgd(warm),
        optax.sgd(warm),
        optax.inject_hyperparams(optax.sgd)(learning_rate=warm),
        optax.chain(optax.trace(0.0), optax.scale_by_learning_rate(warm)),
    ],
    ids=["ours", "optax", "injected", "chain"],
)
def test_the_additive_rate_goes_beside_a_schedule(inner):
    """alpha = scale x rate of the update; at rate 0 nothing is learned."""
    tx = hypergradient(inner, 0.01)
    _, state, steps = run(tx, jnp.array(0.0), [jnp.array(-1.0)] * 4)
    scale = 1 + 0.01 / 0.2
    np.testing.assert_allclose(steps, [0.0, 0.1, 0.2 * scale, 0.2 * (scale + 0.05)], rtol=1e-5)
    np.testing.assert_allclose(state.scale, scale + 0.05, rtol=1e-6)


def test_a_rate_that_is_not_told_is_given():
    def start(params):
        return jnp.zeros(())

    hidden = optax.GradientTransformation(start, lambda g, s, p=None: (-0.1 * g, s))
    gradients = [jnp.array(-1.0)] * 3
    with pytest.raises(ValueError, match=r"^hypergradient\.update: .*learning_rate=\.\.\.\), or "):
        run(hypergradient(hidden), jnp.array(0.0), gradients)
    given = run(hypergradient(hidden, 0.01, learning_rate=0.1), jnp.array(0.0), gradients)[2]
    told = run(hypergradient(ao.sgd(0.1), 0.01), jnp.array(0.0), gradients)[2]
    np.testing.assert_allclose(given, told, rtol=1e-6)
    tx = hypergradient(hidden, 0.01, learning_rate=lambda count: 0.1 + 0.0 * count)
    np.testing.assert_allclose(run(tx, jnp.array(0.0), gradients)[2], told, rtol=1e-6)
    assert run(hypergradient(hidden, mode="multiplicative"), jnp.array(0.0), gradients)[1].scale > 1


def test_of_different_rates_the_largest_is_alpha():
    labels = {"a": "fast", "b": "slow"}
    tx = hypergradient(optax.partition({"fast": ao.sgd(0.2), "slow": ao.sgd(0.1)}, labels), 0.01)
    params = {"a": jnp.array(0.0), "b": jnp.array(0.0)}
    _, state, _ = run(tx, params, [{"a": jnp.array(-1.0), "b": jnp.array(-2.0)}] * 2)
    # d is (-1, -2 / 2) in units of 0.2
    np.testing.assert_allclose(state.scale, 1 + 0.01 * (1 + 2) / 0.2, rtol=1e-6)


def test_the_rate_is_never_negative_and_comes_back():
    tx = hypergradient(ao.sgd(0.1), 1.0)
    gradients = [jnp.array(g) for g in (1.0, -1.0, -1.0)]
    _, state, steps = run(tx, jnp.array(0.0), gradients)
    np.testing.assert_allclose(steps, [-0.1, 0.0, 1.0], rtol=1e-6)
    assert state.scale == 10
    bounded = hypergradient(ao.sgd(0.1), 1.0, min_scale=0.5, max_scale=3.0)
    steps = run(bounded, jnp.array(0.0), gradients)[2]
    np.testing.assert_allclose(steps, [-0.1, 0.05, 0.3], rtol=1e-6)


@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
@pytest.mark.parametrize("size", [1e20, 3e38, 1e-30, 0.0])
def test_extreme_gradients_leave_a_finite_state(mode, size):
    tx = hypergradient(ao.sgd(0.1), 0.5, mode=mode)
    with jax.debug_nans(True):
        _, state, steps = run(tx, jnp.zeros(3), [jnp.full(3, size)] * 3)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state))
    if size == 1e20:
        assert np.isfinite(steps).all()
        assert state.scale == (1.0 if mode == "additive" else 2.25)
    if mode == "multiplicative" and 0 < size < 1e30:
        np.testing.assert_allclose(state.scale, 2.25, rtol=1e-5)


@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_a_gradient_that_is_not_finite_leaves_the_rate_as_it_is(mode):
    tx = hypergradient(ao.sgd(0.1), 0.1, mode=mode)
    ones, hole = jnp.ones(2), jnp.array([jnp.nan, 1.0])
    _, before, _ = run(tx, ones, [ones, ones])
    for bad in (hole, jnp.array([jnp.inf, 1.0])):
        _, state, _ = run(tx, ones, [ones, ones, bad, ones])
        assert state.scale == before.scale
        _, state, _ = run(tx, ones, [ones, ones, bad, ones, ones])
        assert state.scale > before.scale


def test_a_direction_is_remembered_in_float32_and_only_of_trained_leaves():
    params = {
        "w": jnp.ones(2, jnp.bfloat16),
        "n": jnp.array([1]),
        "none": None,
        "z": jnp.zeros((0,)),
    }
    grads = {**params, "n": np.zeros(1, jax.dtypes.float0)}
    tx = hypergradient(ao.sgd(0.5), 0.1)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        _, state, steps = run(tx, params, [grads, grads])
    assert state.direction["w"].dtype == jnp.float32
    assert state.direction["n"] is None
    assert state.direction["none"] is None
    assert steps[0]["w"].dtype == jnp.bfloat16
    np.testing.assert_allclose(state.scale, 1 + 0.1 * 2 / 0.5, rtol=1e-2)


def test_it_says_what_it_is():
    part = structure(hypergradient(ao.sgd(0.5), mode="multiplicative"))
    assert (part.name, part.body.step_size) == ("hypergradient", 0.02)
    state = hypergradient(ao.sgd(0.5)).init(jnp.ones(2))._replace(scale=jnp.float32(3.0))
    assert part.body.factor(None, state, None) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "add"}, r"mode='add'\): mode must be one of 'additive', 'multiplicative'"),
        ({"step_size": -1.0}, r"step_size=-1\.0\): step_size must be finite and at least 0"),
        (
            {"step_size": 1.0, "mode": "multiplicative"},
            r"step_size=1\.0\): step_size must lie in \[0, 1\)",
        ),
        ({"min_scale": 2.0}, r"min_scale=2\.0\): min_scale must lie in \[0, 1\]"),
        ({"max_scale": 0.5}, r"max_scale=0\.5\): max_scale must be at least 1"),
        ({"learning_rate": -1.0}, r"learning_rate=-1\.0\): learning_rate must be finite"),
    ],
)
def test_options_that_are_refused(options, words):
    with pytest.raises(ValueError, match=rf"^hypergradient\({words}"):
        hypergradient(ao.sgd(0.1), **options)


def test_a_constructor_is_no_transformation():
    with pytest.raises(TypeError, match=r"^hypergradient\(inner=sgd\): inner must be an optax "):
        hypergradient(ao.sgd)


MAKERS = {
    "additive": lambda rate: hypergradient(ao.adam(rate)),
    "multiplicative": lambda rate: hypergradient(ao.sgd(rate), mode="multiplicative"),
}


@pytest.mark.parametrize("mode", MAKERS)
def test_the_state_keeps_its_form_for_all_dtypes(mode):
    assert_contract(MAKERS[mode], properties=("fixed_point", "wide_slots", "msgpack"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MAKERS)
def test_the_contract_holds(mode):
    assert_contract(MAKERS[mode])
