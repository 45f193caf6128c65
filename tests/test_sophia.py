"""Sophia's estimates of curvature, and how an update gets them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao

DRAW = np.random.default_rng(0)
HESSIAN = jnp.asarray(DRAW.standard_normal((5, 5)) + 3 * np.eye(5), jnp.float32)
HESSIAN = (HESSIAN + HESSIAN.T) / 2
START = {"a": jnp.ones(2), "b": jnp.ones((3, 1))}


def quadratic(params):
    p = jnp.concatenate([params["a"], params["b"][:, 0]])
    return p @ HESSIAN @ p / 2


def mean_and_error(estimate, count=4000):
    """The mean over that many keys and its standard error."""
    found = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(1), count))
    found = np.concatenate([np.asarray(x).reshape(count, -1) for x in jax.tree.leaves(found)], 1)
    return found.mean(0), found.std(0) / count**0.5


def test_hutchinsons_mean_is_the_diagonal_and_its_spread_the_rest_of_the_row():
    """v_i (H v)_i is H_ii + the sum of v_i v_j H_ij, over all leaves."""
    mean, error = mean_and_error(lambda key: ao.hutchinson(quadratic, START, key))
    diagonal = np.diag(HESSIAN)
    spread = np.sqrt(np.sum(np.square(HESSIAN), 1) - diagonal**2)
    np.testing.assert_allclose(error * 4000**0.5, spread, rtol=0.1)
    assert np.all(np.abs(mean - diagonal) < 4 * spread / 4000**0.5)


def test_hutchinson_is_exact_where_the_hessian_is_diagonal():
    def loss(params):
        return sum(jnp.sum(jnp.exp(p)) for p in jax.tree.leaves(params))

    params = {"a": jnp.arange(3.0), "b": jnp.array(-1.0)}
    for seed in range(4):
        found = ao.hutchinson(loss, params, jax.random.key(seed))
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(params), strict=True):
            np.testing.assert_allclose(one, jnp.exp(other), rtol=1e-6)


INPUTS = jnp.asarray(DRAW.standard_normal((6, 2)), jnp.float32)
WEIGHTS = jnp.asarray(DRAW.standard_normal((2, 3)), jnp.float32)


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 3)], ids=str)
def test_gauss_newton_bartletts_mean_is_the_diagonal_of_a_linear_classifier(shape):
    """The mean over examples of x_i^2 q_c (1 - q_c), whatever axes number the examples."""
    probabilities = jax.nn.softmax(INPUTS @ WEIGHTS)
    exact = np.asarray(INPUTS**2).T @ np.asarray(probabilities * (1 - probabilities)) / 6
    labels = jnp.zeros(6, int)  # of a linear classifier the Hessian is the Gauss-Newton matrix
    loss = lambda w: -jnp.mean(jax.nn.log_softmax(INPUTS @ w)[jnp.arange(6), labels])  # noqa: E731
    hessian = np.asarray(jax.hessian(loss)(WEIGHTS)).reshape(6, 6)
    np.testing.assert_allclose(np.diag(hessian), exact.ravel(), rtol=1e-4)

    mean, error = mean_and_error(
        lambda key: ao.gauss_newton_bartlett(lambda w: (INPUTS @ w).reshape(shape), WEIGHTS, key)
    )
    assert np.all(error < 0.05 * exact.ravel())
    assert np.all(np.abs(mean - exact.ravel()) < 4 * error)


def diagonal(params):
    return jax.tree.map(lambda p: 1.0 + p**2, params)


def test_an_estimate_is_a_tree_or_a_function_given_at_update_or_before():
    gradients = [jax.tree.map(lambda p, s=s: s * p, START) for s in (1e-3, -2e-3, 3e-3)]
    options = {"every": 2, "gamma": 1.0}

    def path(tx, given):
        params, state, found = START, tx.init(START), []
        for grads in gradients:
            updates, state = tx.update(grads, state, params, **given(params))
            params = optax.apply_updates(params, updates)
            found.append(params)
        return found

    expected = path(ao.sophia(0.1, **options), lambda p: {"hessian": diagonal(p)})
    wrong = lambda p: jax.tree.map(jnp.zeros_like, p)  # noqa: E731
    for other in (
        path(ao.sophia(0.1, **options), lambda p: {"hessian": diagonal}),
        path(ao.sophia(0.1, hessian=diagonal, **options), lambda p: {}),
        path(ao.sophia(0.1, hessian=wrong, **options), lambda p: {"hessian": diagonal}),
    ):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), expected, other)


def test_a_function_runs_at_every_kth_step_only_from_the_first():
    seen = []

    def estimate(params):
        jax.debug.callback(lambda p: seen.append(float(p)), params)
        return jnp.ones_like(params)

    tx = ao.sophia(0.5, every=3, hessian=estimate)
    update = jax.jit(tx.update)
    params = jnp.array(4.0)
    state = tx.init(params)
    for _ in range(7):
        updates, state = update(jnp.array(1.0), state, params)
        params = params + updates
    jax.effects_barrier()
    assert seen == [4.0, 2.5, 1.0]


def test_the_first_step_has_its_estimate_and_the_sign_where_it_is_not_positive():
    """g = 1 over curvatures of 4, 0.5, 0 and -3."""
    tx = ao.scale_by_sophia(b1=0.0, b2=0.0, gamma=1.0)
    ones = jnp.ones(4)
    found, _ = tx.update(ones, tx.init(ones), ones, hessian=jnp.array([4.0, 0.5, 0.0, -3.0]))
    np.testing.assert_allclose(found, [0.25, 1.0, 1.0, 1.0], rtol=1e-6)


def test_a_stale_estimate_is_not_read():
    """Between the steps that are due a tree may hold anything, even nan."""
    tx = ao.sophia(0.1, every=2)
    params = jnp.ones(2)
    state = tx.init(params)
    for hessian in (jnp.ones(2), jnp.full(2, jnp.nan)):
        _, state = tx.update(jnp.ones(2), state, params, hessian=hessian)
    np.testing.assert_allclose(state.slots.nu, 0.01, rtol=1e-5)


def test_with_the_true_curvature_it_is_newtons_method_as_far_as_the_clip_lets_it():
    """Hutchinson's estimate with a key a step, in scan: from 1.75 by 0.5, 0.5, 0.5 and 0.25."""
    curvature = jnp.array([1e-3, 1.0, 1e3])

    def loss(p):
        return jnp.sum(curvature * p**2) / 2

    tx = ao.sophia(0.5, b1=0.0, b2=0.0, gamma=0.5, every=1)  # 0.5 / 0.5 is Newton's whole step

    def step(carry, key):
        params, state = carry
        updates, state = tx.update(
            jax.grad(loss)(params), state, params, hessian=lambda p: ao.hutchinson(loss, p, key)
        )
        return (params + updates, state), params + updates

    start = jnp.full(3, 1.75)
    _, path = jax.lax.scan(step, (start, tx.init(start)), jax.random.split(jax.random.key(0), 4))
    expected = np.broadcast_to(np.array([[1.25], [0.75], [0.25], [0.0]]), (4, 3))
    np.testing.assert_allclose(path, expected, atol=1e-6)


def test_updates_that_sophia_refuses():
    tx, ones = ao.sophia(0.1), {"a": jnp.ones(2)}
    state = tx.init(ones)
    with pytest.raises(ValueError, match=r"^sophia\.update needs an estimate of the Hessian's dia"):
        tx.update(ones, state, ones)
    with pytest.raises(
        ValueError, match=r"^sophia\.update\(hessian=\.\.\.\): hessian must be a tr"
    ):
        tx.update(ones, state, ones, hessian={"b": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"^sophia\.update needs params for hessian"):
        tx.update(ones, state, hessian=diagonal)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"b1": 1.2}, r"^sophia\(b1=1\.2\): b1 must lie in \[0, 1\)"),
        ({"gamma": 0.0}, r"^sophia\(gamma=0\.0\): gamma must "),
        ({"eps": -1.0}, r"^sophia\(eps=-1\.0\): eps must "),
        ({"every": 0}, r"^sophia\(every=0\): every must "),
    ],
)
def test_options_that_sophia_refuses(options, words):
    with pytest.raises(ValueError, match=words):
        ao.sophia(0.1, **options)


def test_extra_arguments_reach_sophia_through_wrappers():
    tx = optax.chain(optax.clip_by_global_norm(1.0), ao.lookahead(ao.sophia(0.1), every=2))
    params = jnp.ones(2)
    updates, _ = tx.update(jnp.ones(2), tx.init(params), params, hessian=jnp.ones(2))
    np.testing.assert_allclose(updates, -0.1, rtol=1e-5)
