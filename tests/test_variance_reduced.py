"""STORM and MARS against the papers, how much noise they take out, and what passes through."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import ORACLES
from oracles.variance_reduced import mars, storm
from problems import form, grads_of, params_of

import adaptive_optax as ao
from adaptive_optax.core.anatomy import anatomy
from adaptive_optax.core.effective import rates

# Of the largest value that a coordinate reached; measured up to 4e-15 and 2e-6.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
SHAPES = {"bias": (3,), "kernel": (4, 3), "scale": ()}
STEPS = 40
ADAM = {"b1": 0.95, "b2": 0.99, "eps": 1e-8}
FALLING = 1 / np.arange(1, STEPS + 1) ** (2 / 3)
OPTIONS = [
    ("storm", {"a": 0.1}),
    ("storm", {"a": FALLING}),
    ("storm", {"a": 1.0}),
    ("mars", {"gamma": 0.025, "b1": 0.95}),
    ("mars", {"gamma": 0.5, "b1": 0.9}),
]


def scripted(steps=STEPS):
    """Starts, gradients and previous gradients, which share most of their noise, by leaf.

    Some gradients are longer than 1 and some are shorter, as MARS makes a difference of.
    """
    draw = np.random.default_rng(4)
    start, gradients, previous = {}, {}, {}
    for leaf, shape in SHAPES.items():
        start[leaf] = draw.standard_normal(shape)
        size = np.linspace(0.1, 2.0, STEPS).reshape(-1, *(1 for _ in shape))
        gradients[leaf] = size * draw.standard_normal((STEPS, *shape))
        previous[leaf] = gradients[leaf] + 0.2 * draw.standard_normal((STEPS, *shape))
    return start, *({k: x[:steps] for k, x in tree.items()} for tree in (gradients, previous))


def path_of(tx, dtype, steps=STEPS):
    """The parameters after each step."""
    with jax.enable_x64(dtype == "float64"):
        trees = jax.tree.map(lambda x: jnp.asarray(x, dtype), scripted(steps))
        start, *sequences = trees

        def step(carry, at):
            params, state = carry
            g, before = at
            updates, state = tx.update(g, state, params, previous_grads=before)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        found = jax.lax.scan(step, (start, tx.init(start)), tuple(sequences))[1]
        return jax.tree.map(np.asarray, found)


def expected(mode, gradients, previous, options):
    """The oracle's estimates."""
    if mode == "storm":
        a = options["a"]
        return storm(gradients, previous, a=a[: len(gradients)] if np.ndim(a) else a)
    return mars(gradients, previous, **options)


def check(library, dtype="float64", steps=6, modes=("storm", "mars")):
    """Fails unless the library's estimates are the papers', before SGD and before Adam."""
    start, gradients, previous = scripted(steps)
    for mode, options in [pair for pair in OPTIONS if pair[0] in modes]:
        for name, given in (("sgd", {}), ("adam", ADAM)):
            with jax.enable_x64(dtype == "float64"):
                own = dict(options)
                if np.ndim(own.get("a", 0)):
                    values = jnp.asarray(own["a"])
                    own["a"] = functools.partial(_at, values)
                inner = getattr(library, name)(0.1, **given)
                tx = library.variance_reduced(inner, mode, **own)
            path = path_of(tx, dtype, steps)
            for leaf, p in start.items():
                estimates = expected(mode, gradients[leaf], previous[leaf], options)
                exact = ORACLES[name](estimates, p, 0.1, **given)
                error = np.max(np.abs(path[leaf] - exact)) / np.max(np.abs(exact))
                assert error < TOLERANCE[dtype], f"{mode} {name} is off by {error:.1e} in {leaf}"


def _at(values, count):
    return values[count]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_they_are_the_papers(dtype):
    check(ao, dtype, STEPS)


def noise_of(seed, a, steps=400, batch=4):
    """Mean squared errors of g and of d on a quadratic, each step's batch seen at both points.

    Batches differ in curvature and in the place of their minimum; a step is 0.02 of the way.
    """
    size = 10
    tx = ao.variance_reduced(ao.sgd(0.02), a=a)
    places, curves = jax.random.split(jax.random.key(seed))
    minima = jax.random.normal(places, (steps, batch, size))
    curvature = 1 + 0.5 * jax.random.normal(curves, (steps, batch, size))

    def gradient(params, examples):
        minimum, curve = examples
        return jnp.mean(curve * (params - minimum), 0)

    def step(carry, examples):
        params, previous, state = carry
        g = gradient(params, examples)
        before = gradient(previous, examples)
        updates, state = tx.update(g, state, params, previous_grads=before)
        errors = [jnp.sum(jnp.square(x - params)) for x in (g, state.estimate)]
        return (params + updates, params, state), jnp.stack(errors)

    start = jnp.full(size, 3.0)
    errors = jax.lax.scan(step, (start, start, tx.init(start)), (minima, curvature))[1]
    return jnp.mean(errors[100:], 0)


def test_storm_takes_out_the_noise_of_batches():
    """About a / (2 - a) of it is left, 0.053 at a = 0.1; measured 0.050 to 0.052."""
    errors = np.array([noise_of(seed, 0.1) for seed in range(5)])
    left = errors[:, 1] / errors[:, 0]
    assert np.all(left < 0.06), left
    assert np.all(left > 0.04), left
    np.testing.assert_allclose(*noise_of(0, 1.0), rtol=1e-5)


def test_storm_does_not_lag_as_an_average_does():
    """Without noise d is the gradient, however the parameters move; an average is behind."""
    tx, params = ao.variance_reduced(ao.sgd(0.2), a=0.1), jnp.array(1.0)
    averaging = optax.chain(ao.smoothed(None, 0.9, 1.0, direct=0.0, bias_correction=True))
    state, average, previous = tx.init(params), averaging.init(params), params
    for _ in range(10):
        updates, state = tx.update(params, state, params, previous_grads=previous)
        behind, average = averaging.update(params, average)
        np.testing.assert_allclose(state.estimate, params, rtol=1e-5)
        previous, params = params, params + updates
    assert behind > 2 * state.estimate


@pytest.mark.parametrize("mode", ["storm", "mars"])
@pytest.mark.parametrize("before", [0.0, 5.0, jnp.inf, jnp.nan])
def test_the_first_step_takes_no_notice_of_previous_gradients(mode, before):
    tx, params = ao.variance_reduced(ao.sgd(1.0), mode), jnp.zeros(2)
    g = jnp.array([0.3, -0.4])
    updates, _ = tx.update(g, tx.init(params), params, previous_grads=jnp.full(2, before))
    np.testing.assert_array_equal(updates, -g)


def test_without_noise_or_correction_it_is_the_inner_optimizer():
    params = params_of()
    gradients = [grads_of(params, seed, scale=0.1) for seed in range(4)]

    def updates_of(tx, **extra):
        state, found = tx.init(params), []
        for g in gradients:
            updates, state = tx.update(g, state, params, **extra)
            found.append(updates)
        return found

    plain = updates_of(ao.adam(0.1))
    for mode, options in (("storm", {"a": 1.0}), ("mars", {"gamma": 0.0})):
        tx = ao.variance_reduced(ao.adam(0.1), mode, **options)
        found = updates_of(tx, previous_grads=grads_of(params, 9))
        jax.tree.map(np.testing.assert_array_equal, found, plain)


def test_mars_with_the_last_gradients_is_the_optimizer_of_that_name():
    """`ao.mars` takes them for the gradients at the last parameters, and 0 at the first step."""
    params = params_of()
    gradients = [grads_of(params, seed) for seed in range(5)]
    around = ao.variance_reduced(ao.adam(0.1, **ADAM), "mars")
    # At the first step ao.mars has g (1 + 0.475) clipped, here g clipped: so let both be long.
    gradients[0] = jax.tree.map(lambda g: 10 * g + jnp.sign(g) * 10, gradients[0])
    before = gradients[0]
    tx = ao.mars(0.1)
    state, other = tx.init(params), around.init(params)
    for g in gradients:
        one, state = tx.update(g, state, params)
        two, other = around.update(g, other, params, previous_grads=before)
        before = g
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5), one, two)


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
    part = anatomy(tx)
    assert (part.name, part.options) == ("variance_reduced", {"mode": "storm", "a": 0.5})
    assert part.members["inner"].name == "sgd"
    found = anatomy(ao.variance_reduced(ao.sgd(0.3), "mars")).options
    assert found == {"mode": "mars", "gamma": 0.025, "b1": 0.95}
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
