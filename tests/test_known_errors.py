"""Errors that shipped optimizers have or had, one test each: ours gives the paper's numbers.

The numbers are worked out here, in NumPy or by hand. Where optax 0.2.8 has the error, or departs
from the paper, the test shows that it gives others, and so would have told. Nadam's lost constant,
RAdam's rectifier in float32 and AdaDelta's own descent are in `test_known_answers.py` and
`test_numerics.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import run
from test_known_answers import steps

import adaptive_optax as ao

GRADIENTS = np.random.default_rng(0).standard_normal((12, 3))


def same(found, expected, rtol=1e-10):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12)


def other(found, expected):
    """At least a percent apart, so that no rounding explains it."""
    assert np.max(np.abs(found - expected)) > 0.01 * np.max(np.abs(expected))


def test_adan_weighs_the_change_by_b2_and_not_by_its_complement():
    """optax takes 1 - b2 in both places; a constant gradient, without changes, cannot tell."""

    def adan(weight, b1=0.98, b2=0.92, b3=0.99):
        m = v = n = last = np.zeros(3)
        moves = []
        for t, g in enumerate(GRADIENTS, 1):
            d = g - last if t > 1 else 0 * g
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * d
            n = b3 * n + (1 - b3) * (g + weight * d) ** 2
            mean = m / (1 - b1**t) + weight * v / (1 - b2**t)
            moves.append(mean / np.sqrt(n / (1 - b3**t)))
            last = g
        return np.array(moves)

    options = {"b1": 0.98, "b2": 0.92, "b3": 0.99, "eps": 0.0}
    same(steps(ao, [("adan", options)], GRADIENTS)[0], adan(0.92))
    (theirs,) = steps(optax, [("adan", {**options, "eps_root": 0.0})], GRADIENTS)
    same(theirs, adan(0.08))
    other(theirs, adan(0.92))


RATES = np.array([0.0, 1e-3, 1e-2, 0.1, 1.0, 1.0, 1.0, 1.0])


def test_schedule_free_weighs_a_step_by_the_rate_that_made_it():
    """Under warm-up optax moves z by the last rate, and weighs the average by this one."""
    gradients = np.linspace(-1.0, 2.0, 8)

    def path(rates, b1=0.9):
        z, largest, total = 1.0, 0.0, 0.0
        x, y, found = z, z, []
        for g, rate in zip(gradients, rates, strict=True):
            z = z - rate * g
            largest = max(largest, rate)
            total += largest**2
            x = x + (largest**2 / total if total else 0.0) * (z - x)
            y = (1 - b1) * z + b1 * x
            found.append(y)
        return np.array(found)

    def ours_or_theirs(tx):
        with jax.enable_x64(True):
            _, _, updates = run(tx, jnp.float64(1.0), list(jnp.asarray(gradients)))
        return 1.0 + np.cumsum(np.array(updates))

    def rate(count):
        return jnp.asarray(RATES)[count]

    same(ours_or_theirs(ao.schedule_free(ao.sgd(rate))), path(RATES))
    theirs = optax.contrib.schedule_free(optax.sgd(rate), learning_rate=rate, b1=0.9)
    other(ours_or_theirs(theirs), path(RATES))


def test_the_schedule_free_average_forgets_what_the_warm_up_went_through():
    """Steps of a hundredth of the rate weigh 1e-4 of the others; uniform weights keep them."""
    rates = np.array([0.01] * 10 + [1.0] * 10)
    schedule = lambda count: jnp.asarray(rates)[count]  # noqa: E731
    with jax.enable_x64(True):
        gradients = [jnp.float64(g) for g in [1000.0] * 10 + [-10.0] + [0.0] * 9]
        for power, least, most in ((2.0, -90.2, -89.9), (0.0, -75.0, -70.0)):
            tx = ao.schedule_free(ao.sgd(schedule), weight_power=power)
            params, state, _ = run(tx, jnp.float64(0.0), gradients)
            assert least < float(ao.eval_params(state, params)) < most


def test_nadam_multiplies_its_momentum_in_once_a_step():
    """torch once did so twice in its fused path; the first step alone cannot tell."""
    t = np.arange(1, 8)
    mu = 0.99 * (1 - 0.5 * 0.96 ** (t * 0.004))
    product = np.cumprod(mu)
    mean = 0.0
    expected = []
    for i in range(6):
        mean = mu[i] * mean + (1 - mu[i]) * 3.0
        ahead = mu[i + 1] * mean / (1 - product[i + 1]) + (1 - mu[i]) * 3.0 / (1 - product[i])
        nu = 0.999 * 9.0  # the paper's extra factor b2, of nu_hat = 9
        expected.append(ahead / np.sqrt(nu))
    same(steps(ao, [("nadam", {"eps": 0.0})], np.full(6, 3.0))[0], expected)


@pytest.mark.parametrize("name", ["adamw", "lion", "nadamw", "soap"])
def test_decay_is_of_the_parameters_before_the_step(name):
    """That of those after it, once in a library of transformers, would shorten the step too."""
    gradients = [jnp.full(2, 3.0)] * 3
    start, rate, decay = jnp.full(2, 5.0), 0.5, 0.25
    params = start
    _, _, plain = run(getattr(ao, name)(rate, weight_decay=0.0), start, gradients)
    tx = getattr(ao, name)(rate, weight_decay=decay)
    state = tx.init(start)
    for g, step in zip(gradients, plain, strict=True):
        updates, state = tx.update(g, state, params)
        waits = name == "soap" and float(jnp.abs(step).max()) == 0  # as its first call does
        kept = 1.0 if waits else 1 - rate * decay
        np.testing.assert_allclose(params + updates, kept * params + step, rtol=1e-5)
        params = params + updates


def test_muon_orthogonalizes_the_momentum_and_not_the_gradient():
    """optax's first version took the gradient; today's weighs it more than the paper does.

    Gradients 5 I, then -1.95 I. The paper's mixture is 0.19 (-1.95) + 0.405 > 0, that with both
    biases corrected 0.858 (-1.95) + 1.494 < 0, each of them times I.
    """
    cubic, eye = (1.5, -0.5, 0.0), jnp.eye(2)
    ours = ao.scale_by_muon(momentum=0.9, steps=8, coefficients=cubic, scale="none")
    theirs = optax.contrib.scale_by_muon(ns_coeffs=cubic, ns_steps=8, beta=0.9)
    for tx, signs in ((ours, [1, 1]), (theirs, [1, -1])):
        _, _, found = run(tx, 0 * eye, [5 * eye, -1.95 * eye])
        for u, sign in zip(found, signs, strict=True):
            np.testing.assert_allclose(u, sign * eye, atol=1e-5)


def test_lookahead_has_its_slow_weights_from_the_start():
    """Made at the first sync, they make that one idle, and the state change its form."""
    tx = ao.lookahead(ao.sgd(1.0), every=2, step_size=0.5)
    start = jnp.array([4.0])
    state = tx.init(start)
    np.testing.assert_array_equal(state.anchor, start)

    def step(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        return (params + updates, state), params + updates

    _, path = jax.lax.scan(step, (start, state), jnp.ones((4, 1)))  # refuses another form
    np.testing.assert_array_equal(path[:, 0], [3.0, 3.0, 2.0, 2.0])


def test_radam_rectifies_from_where_rho_exceeds_4():
    """From the 5th step, as the paper says; optax, like torch, from the 6th."""
    (ours,) = steps(ao, [("radam", {})], np.full(6, 3.0))
    (theirs,) = steps(optax, [("radam", {})], np.full(6, 3.0))
    t = np.arange(1, 7)
    power = 0.999**t
    rho = 1999 - 2 * t * power / (1 - power)
    assert rho[3] < 4 < rho[4] < 5 < rho[5]
    rectified = np.sqrt((rho - 4) * (rho - 2) * 1999 / (1995 * 1997 * rho) + 0j).real
    same(ours, np.where(rho > 4, rectified, 3.0), rtol=1e-6)
    same(theirs, np.where(rho > 5, rectified, 3.0), rtol=1e-4)


def test_groups_do_not_count_each_others_steps():
    """RAdam's correction in one of two groups is that of the group's own steps."""
    tx = optax.partition(
        {"one": ao.radam(1.0), "two": ao.radam(1.0)}, {"a": "one", "b": "two", "c": "two"}
    )
    params = {key: jnp.zeros(2) for key in "abc"}
    _, _, found = run(tx, params, [jax.tree.map(jnp.ones_like, params)] * 7)
    _, _, alone = run(ao.radam(1.0), jnp.zeros(2), [jnp.ones(2)] * 7)
    for updates, expected in zip(found, alone, strict=True):
        for key in "abc":
            np.testing.assert_array_equal(updates[key], expected)


def test_adadelta_has_its_sign_without_a_learning_rate():
    """optax without a rate turns nothing, and so goes uphill."""

    def end(tx):
        params = jnp.array(1.0)
        state = tx.init(params)
        for _ in range(20):
            updates, state = tx.update(params, state, params)
            params = params + updates
        return float(params)

    assert end(ao.adadelta()) < 1.0 < end(optax.adadelta())


def test_zero_gradients_do_not_move_yogi():
    """optax starts the mean off zero."""
    (ours,) = steps(ao, [("yogi", {})], np.zeros((3, 2)))
    (theirs,) = steps(optax, [("yogi", {})], np.zeros((3, 2)))
    assert np.all(ours == 0)
    assert np.all(np.abs(theirs) > 1e-4)


def test_the_maximum_of_amsgrad_is_of_moments_as_they_are():
    """No bias correction, as Reddi, Kale & Kumar write it; optax corrects before the maximum."""
    m = v = top = np.zeros(3)
    expected = []
    for g in GRADIENTS:
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        top = np.maximum(top, v)
        expected.append(m / np.sqrt(top))
    options = {"eps": 0.0}
    same(steps(ao, [("amsgrad", options)], GRADIENTS)[0], expected)
    other(steps(optax, [("amsgrad", options)], GRADIENTS)[0], np.array(expected))


def test_adagrad_starts_at_zero_and_has_eps_outside_the_root():
    """A large eps tells; optax starts at 0.1 and has its eps inside."""
    options = {"eps": 0.5}
    expected = [3 / 3.5, 3 / (18**0.5 + 0.5)]
    same(steps(ao, [("adagrad", options)], np.full(2, 3.0))[0], expected)
    other(steps(optax, [("adagrad", options)], np.full(2, 3.0))[0], np.array(expected))


def test_rmsprop_does_not_keep_the_learning_rate_in_its_momentum():
    """A rate that falls to 0 stops it at once; optax, like Keras, coasts on."""

    def after(make):
        tx = make(lambda count: jnp.where(count < 3, 0.1, 0.0), decay=0.9, momentum=0.9)
        _, _, updates = run(tx, jnp.array(1.0), [jnp.array(1.0)] * 5)
        return float(updates[-1])

    assert after(ao.rmsprop) == 0 > after(optax.rmsprop)


def test_lars_adds_the_norms_of_gradient_and_decay():
    """optax takes the norm of the sum. |p| = 5, |g| = 10, at right angles; decay 2."""
    params, g = jnp.array([3.0, 4.0]), jnp.array([8.0, -6.0])
    options = {"weight_decay": 2.0, "trust_coefficient": 0.1, "momentum": 0.0}
    found = [
        np.asarray(tx.update(g, tx.init(params), params)[0])
        for tx in (ao.lars(1.0, **options), optax.lars(1.0, **options))
    ]
    step = np.array([14.0, 2.0])
    np.testing.assert_allclose(found[0], -0.1 * 5 / 20 * step, rtol=1e-6)
    np.testing.assert_allclose(found[1], -0.1 * 5 / 200**0.5 * step, rtol=1e-6)


def test_adafactors_rate_falls_with_the_root_of_time():
    """optax has no relative step; gradients of constant size, where nothing else shrinks."""

    def sizes(tx):
        _, _, updates = run(tx, jnp.full(3, 2.0), [jnp.ones(3)] * 9)
        return -np.array(updates)[:, 0]

    ours = sizes(ao.adafactor(1.0, scale_by_parameter=False))
    np.testing.assert_allclose(ours, np.arange(1, 10) ** -0.5, rtol=1e-5)
    theirs = sizes(optax.adafactor(1.0, multiply_by_parameter_scale=False))
    np.testing.assert_allclose(theirs, 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", ["lamb", "lars"])
def test_a_layer_that_starts_at_zero_moves_by_the_rate(name):
    """The ratio of norms would keep it there for ever."""
    tx = getattr(ao, name)(0.5)
    start = jnp.zeros(3)
    updates, _ = tx.update(jnp.array([1.0, 1.0, -1.0]), tx.init(start), start)
    np.testing.assert_allclose(updates, [-0.5, -0.5, 0.5], rtol=1e-5)
