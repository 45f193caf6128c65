"""monitored and metrics: measures against NumPy, when they are made, groups, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import form, grads_of, params_of

import adaptive_optax as ao

PARAMS = params_of()
GROUPS = {"matrix": "kernel", "vectors": "^inner/"}
MEASURES = (
    "gradient_norm",
    "update_norm",
    "parameter_norm",
    "update_ratio",
    "cosine",
    "gradient_noise",
)


def flat(tree):
    wide = [np.asarray(x).astype(np.complex128).ravel() for x in jax.tree.leaves(tree)]
    return np.concatenate([*wide, np.zeros(0)])


def expected(grads, updates, params):
    """The measures of one group, in float64."""
    g, u, p = flat(grads), flat(updates), flat(params)
    norms = [np.sqrt(np.sum(np.abs(x) ** 2)) for x in (g, u, p)]
    product = -np.sum((u.conj() * g).real)
    cosine = product / (norms[0] * norms[1]) if norms[0] * norms[1] > 0 else 0.0
    ratio = norms[1] / norms[2] if norms[2] > 0 else np.nan
    return dict(zip(MEASURES, (*norms, ratio, cosine), strict=False))


def seen(state):
    return {name: float(value) for name, value in ao.metrics(state).items()}


def check(found, grads, updates, params, suffix="", rtol=1e-5):
    for name, value in expected(grads, updates, params).items():
        np.testing.assert_allclose(found[name + suffix], value, rtol=rtol, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("inner", [ao.adam(0.1), optax.adamw(0.1), ao.muon(0.1), optax.lars(0.1)])
def test_the_measures_of_all_and_of_each_group(inner):
    tx = ao.monitored(inner, groups=GROUPS)
    params, state = PARAMS, tx.init(PARAMS)
    for t in range(3):
        grads = grads_of(params, seed=t)
        updates, state = tx.update(grads, state, params)
        found = seen(state)
        check(found, grads, updates, params)
        check(found, grads["kernel"], updates["kernel"], params["kernel"], "/matrix")
        check(found, grads["inner"], updates["inner"], params["inner"], "/vectors")
        params = optax.apply_updates(params, updates)
    assert found["step"] == 3


@pytest.mark.parametrize("scale", [1e20, 1e37, 1e-10, 1e-30])
def test_huge_and_tiny_numbers_have_norms_too(scale):
    params = {"a": jnp.array([3.0, -4.0]), "b": jnp.array([12.0])}
    grads = jax.tree.map(lambda p: jnp.float32(scale) * p, params)
    tx = ao.monitored(optax.scale(-1.0), groups=["a", "b"])
    _, state = jax.jit(tx.update)(grads, tx.init(params), params)
    found = seen(state)
    np.testing.assert_allclose(found["gradient_norm"], 13 * np.float32(scale), rtol=1e-5)
    np.testing.assert_allclose(found["gradient_norm/a"], 5 * np.float32(scale), rtol=1e-5)
    np.testing.assert_allclose(found["update_ratio"], np.float32(scale), rtol=1e-5)
    np.testing.assert_allclose([found["cosine"], found["cosine/b"]], [1.0, 1.0], rtol=1e-5)


def test_a_group_of_small_numbers_beside_one_of_large():
    params = {"a": jnp.ones(3), "b": jnp.ones(4)}
    grads = {"a": jnp.full(3, 1e10), "b": jnp.full(4, 1e-12)}
    tx = ao.monitored(ao.sgd(0.5), groups=["a", "b"])
    _, state = tx.update(grads, tx.init(params), params)
    found = seen(state)
    np.testing.assert_allclose(found["gradient_norm/b"], 2e-12, rtol=1e-4)
    np.testing.assert_allclose(found["cosine/b"], 1.0, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "complex64"])
def test_other_dtypes_are_measured_in_float32(dtype):
    params = params_of(dtype)
    grads = grads_of(params, seed=1)
    tx = ao.monitored(ao.sgd(0.25, momentum=0.9))
    updates, state = tx.update(grads, tx.init(params), params)
    check(seen(state), grads, updates, params)
    assert {str(x.dtype) for x in ao.metrics(state).values()} == {"float32", "int32"}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_shown_and_soon_forgotten(bad):
    tx = ao.monitored(optax.apply_if_finite(optax.sgd(0.1), 3), groups=["kernel"])
    state, found = tx.init(PARAMS), []
    for t in range(5):
        grads = grads_of(PARAMS, seed=t)
        if t == 2:
            grads["kernel"] = grads["kernel"].at[0, 0].set(bad)
        _, state = tx.update(grads, state, PARAMS)
        found.append(seen(state))
    for name in ("gradient_norm", "gradient_norm/kernel"):
        assert [np.isfinite(each[name]) for each in found] == [True, True, False, True, True]
        np.testing.assert_equal(found[2][name], bad)
    assert [each["skipped"] for each in found] == [0, 0, 1, 1, 1]
    assert [each["update_norm"] > 0 for each in found] == [True, True, False, True, True]
    noise = [np.isfinite(each["gradient_noise"]) for each in found]
    assert noise == [False, True, False, True, True]
    assert 0.1 < found[-1]["gradient_noise"] <= 1


def test_the_noise_is_the_share_of_the_variance():
    """Gradients of mean m and deviation s in n coordinates: n s^2 / (|m|^2 + n s^2)."""
    draw = np.random.default_rng(0)
    n, tx = 400, ao.monitored(ao.sgd(0.1))
    params = jnp.zeros(n)
    mean = draw.standard_normal(n)
    update = jax.jit(tx.update)
    for deviation in (0.0, 0.5, 1.0, 3.0):
        state, found = tx.init(params), []
        for _ in range(60):
            grads = jnp.asarray(mean + deviation * draw.standard_normal(n), "float32")
            _, state = update(grads, state, params)
            found.append(seen(state)["gradient_noise"])
        share = n * deviation**2 / (mean @ mean + n * deviation**2)
        assert np.isnan(found[0])
        # An average over about 19 gradients of 400 numbers; 40 of them, which overlap.
        assert abs(np.mean(found[20:]) - share) < 0.02
        assert np.max(np.abs(np.array(found[20:]) - share)) < 0.1


def test_the_noise_of_a_sample_is_about_that_of_all():
    draw, params = np.random.default_rng(1), {"w": jnp.zeros((300, 200)), "b": jnp.zeros(7)}
    tx = ao.monitored(ao.sgd(0.1))
    state, update = tx.init(params), jax.jit(tx.update)
    assert sum(each.sample.size for each in state.noise.values()) <= 1024 + 7
    for _ in range(30):
        grads = {k: jnp.asarray(0.5 + draw.standard_normal(p.shape)) for k, p in params.items()}
        _, state = update(grads, state, params)
    np.testing.assert_allclose(seen(state)["gradient_noise"], 1 / 1.25, atol=0.05)


def test_gradients_that_turn_are_all_noise_and_equal_ones_none():
    tx = ao.monitored(ao.sgd(0.1), groups=["turning", "steady"])
    params = {"turning": jnp.ones(50), "steady": jnp.ones(50)}
    state = tx.init(params)
    for t in range(40):
        grads = {"turning": jnp.full(50, (-1.0) ** t), "steady": jnp.full(50, 2.0)}
        _, state = tx.update(grads, state, params)
    found = seen(state)
    assert found["gradient_noise/turning"] > 0.99
    assert found["gradient_noise/steady"] < 1e-5
    np.testing.assert_allclose(found["gradient_noise"], 1 / 5, atol=0.02)


@pytest.mark.parametrize("under_jit", [True, False])
def test_it_measures_every_n_steps_and_counts_at_all(under_jit):
    tx = ao.monitored(
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(optax.linear_schedule(1.0, 0.0, 10))),
        every=3,
    )
    update = jax.jit(tx.update) if under_jit else tx.update
    state, found = tx.init(jnp.ones(1)), []
    assert np.isnan(seen(state)["gradient_norm"])
    for t in range(7):
        _, state = update(jnp.full(1, 0.5 * (t + 1)), state, jnp.ones(1), value=float(t))
        found.append(seen(state))
    assert [each["gradient_norm"] for each in found] == [0.5, 0.5, 1.5, 1.5, 1.5, 3.0, 3.0]
    assert [each["clipped"] for each in found] == [0, 0, 1, 2, 3, 4, 5]
    assert [each["loss"] for each in found] == list(range(7))
    np.testing.assert_allclose(
        [each["learning_rate"] for each in found], 1 - 0.1 * np.arange(7), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("inner", "count"),
    [
        (optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)), 1),
        (optax.chain(optax.identity(), optax.chain(optax.clip_by_global_norm(1.0))), 1),
        (optax.apply_if_finite(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)), 2), 1),
        (optax.chain(optax.clip_by_global_norm(99.0), optax.sgd(0.1)), 0),
        (optax.chain(optax.sgd(0.1), optax.clip_by_global_norm(1e-9)), 0),  # clips no gradient
        (
            optax.partition(
                {"x": optax.clip_by_global_norm(1.0), "y": optax.sgd(0.1)},
                {"a": "x", "b": "y"},
            ),
            0,  # of a part alone
        ),
    ],
)
def test_clipped_counts_the_whole_gradient_where_it_is_clipped_first(inner, count):
    params = {"a": jnp.full(1, 0.1), "b": jnp.full(1, 2.0)}
    tx = ao.monitored(inner)
    _, state = tx.update(params, tx.init(params), params)
    assert seen(state)["clipped"] == count


def test_without_params_what_needs_them_is_not_known():
    tx = ao.monitored(ao.sgd(0.5), groups=GROUPS)
    grads = grads_of(PARAMS)
    updates, state = tx.update(grads, tx.init(PARAMS))
    found = seen(state)
    assert np.isnan(found["update_ratio"])
    assert np.isnan(found["update_ratio/matrix"])
    np.testing.assert_allclose(found["update_norm"], np.linalg.norm(flat(updates)), rtol=1e-5)


def test_the_first_group_that_matches_counts_and_the_rest_in_the_whole():
    params = {"a": jnp.ones(1), "ab": jnp.ones(1), "c": jnp.ones(1)}
    tx = ao.monitored(ao.sgd(1.0), groups=["a$", "^a"])
    _, state = tx.update(params, tx.init(params), params)
    found = seen(state)
    assert (found["gradient_norm/a$"], found["gradient_norm/^a"]) == (1, 1)
    np.testing.assert_allclose(found["gradient_norm"], np.sqrt(3), rtol=1e-6)
    assert not any("rest" in name for name in found)


def test_names_and_form_are_fixed_from_init_on():
    tx = ao.monitored(optax.adamw(0.1), every=2, groups=GROUPS)
    state = start = tx.init(PARAMS)
    for value in (1, 1.0, np.float64(1.0), jnp.bfloat16(1.0)):
        _, state = tx.update(grads_of(PARAMS), state, PARAMS, value=value)
        assert form(state) == form(start)
        assert seen(state).keys() == seen(start).keys()
        assert seen(state)["loss"] == 1
    shapes = jax.eval_shape(tx.init, PARAMS)
    assert form(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)) == form(start)


def test_metrics_of_what_is_not_monitored():
    assert seen(ao.adam(0.25).init(PARAMS)) == {"learning_rate": 0.25, "skipped": 0}
    assert seen(optax.adam(0.25).init(PARAMS)) == {"skipped": 0}
    two = optax.partition(
        {"x": ao.sgd(0.5), "y": ao.sgd(0.25)}, lambda p: {"kernel": "x", "inner": "y"}
    )
    found = seen(two.init(PARAMS))
    assert found == {"learning_rate/x": 0.5, "learning_rate/y": 0.25, "skipped": 0}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"every": 0}, ValueError, r"every=0\): every must be at least 1"),
        ({"every": 1.5}, TypeError, r"every=1\.5\): every must be an integer"),
        ({"groups": "kernel"}, TypeError, r"groups='kernel'\): groups must be a list"),
        ({"groups": 3}, TypeError, r"groups=3\): groups must be a list"),
        ({"groups": [3]}, TypeError, r"groups=\[3\]\): names and patterns must be words"),
        ({"groups": {"": "a"}}, TypeError, r"groups=.*no name empty"),
        ({"groups": ["("]}, ValueError, r"groups=\{'\(': '\('\}\): not a regular expression"),
        ({"groups": {"rest": "a"}}, ValueError, r"groups=.*'rest' is what no group matches"),
    ],
)
def test_options_that_are_refused(options, error, words):
    with pytest.raises(error, match=rf"^monitored\({words}"):
        ao.monitored(ao.sgd(0.1), **options)


def test_at_init_and_update_what_is_refused():
    with pytest.raises(TypeError, match=r"^monitored\(inner=adam\): inner must be an optax"):
        ao.monitored(ao.adam)
    tx = ao.monitored(ao.sgd(0.1), groups=["kernle"])
    with pytest.raises(ValueError, match=r"^monitored\(groups=\{'kernle'.*paths are 'inner/bias'"):
        tx.init(PARAMS)
    tx = ao.monitored(ao.sgd(0.1))
    with pytest.raises(ValueError, match=r"^monitored\.update\(value=array of shape \(2,\)\)"):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS, value=jnp.ones(2))
