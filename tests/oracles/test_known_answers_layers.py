"""What can be worked out by hand of the rules that see a whole leaf, asked of their oracles."""

import numpy as np

from . import adafactor, adamw, lamb, lars, mars
from .test_known_answers import ADAM, steps
from .test_known_answers_field import GRADIENTS, MARS, PLAIN, START


def length(x):
    return np.sqrt(np.sum(x**2, axis=tuple(range(1, x.ndim))))


def test_the_length_of_a_step_of_lamb_is_the_rate_times_that_of_the_parameters():
    rate = 0.1 / np.arange(1, 41)
    for decay, bounds in ((0.0, None), (0.3, None), (0.0, (5.0, 9.0)), (0.3, (0.0, 0.5))):
        path = lamb(GRADIENTS, START, rate, **ADAM, weight_decay=decay, norm_bounds=bounds)
        before = np.concatenate([START[None], path[:-1]])
        phi = length(before) if bounds is None else np.clip(length(before), *bounds)
        np.testing.assert_allclose(length(path - before), rate * phi, rtol=1e-12)


def test_lamb_decays_by_the_rate_whatever_the_decay():
    """Under zero gradients r = decay p, and its length goes into the ratio."""
    for decay in (1e-3, 10.0):
        path = lamb(np.zeros((5, 3)), np.ones(3), 0.1, **ADAM, weight_decay=decay)
        np.testing.assert_allclose(path[:, 0], 0.9 ** np.arange(1, 6), rtol=1e-12)
    path = lamb(np.zeros((5, 3)), np.ones(3), 0.1, **ADAM)
    np.testing.assert_array_equal(path, 1.0)


def test_lars_by_hand():
    """Weights (3, 4), gradient (6, 8): the lengths are 5 and 10."""
    weights, gradients = np.array([3.0, 4.0]), np.array([[6.0, 8.0]] * 2)
    plain = {"momentum": 0.5, "trust_coefficient": 0.1}
    # q = 0.1 * 5 / 10, and the step 0.05 g
    path = lars(gradients, weights, [1.0, 0.0], **plain)
    np.testing.assert_allclose(path, [[2.7, 3.6], [2.55, 3.4]], rtol=1e-12)  # the buffer goes on
    path = lars(gradients[:1], weights, 1.0, **plain, nesterov=True)
    np.testing.assert_allclose(path, [[2.55, 3.4]], rtol=1e-12)
    # decay 2: g + 2 w = (12, 16), q = 0.5 / 20 either way, as g and w are parallel
    for inside in (False, True):
        path = lars(gradients[:1], weights, 1.0, **plain, weight_decay=2.0, decay_in_norm=inside)
        np.testing.assert_allclose(path, [[2.7, 3.6]], rtol=1e-12)
    # and orthogonal: |g| + 2 |w| = 20, but |g + 2 w| = sqrt(200)
    orthogonal, moved = np.array([[8.0, -6.0]]), np.array([14.0, 2.0])
    for inside, norm in ((False, 20.0), (True, 200**0.5)):
        path = lars(orthogonal, weights, 1.0, **plain, weight_decay=2.0, decay_in_norm=inside)
        np.testing.assert_allclose(path[0], weights - 0.5 / norm * moved, rtol=1e-12)
    path = lars(np.zeros((1, 2)), weights, 1.0, **plain, weight_decay=2.0)  # q = 0.1 / 2
    np.testing.assert_allclose(path, [[2.7, 3.6]], rtol=1e-12)


def test_the_first_step_of_adafactor_has_rms_1_times_the_scale_and_the_relative_step():
    """b2 is 0 at t = 1, so that a vector moves by the signs, whatever decay_rate."""
    signs = np.sign(GRADIENTS[0])
    for decay_rate in (0.5, 0.8):
        for shape in ((6,), (1, 6)):  # a row alone, too: its factors are the squares themselves
            arguments = {**PLAIN, "decay_rate": decay_rate}
            path = adafactor(GRADIENTS[:1].reshape(1, *shape), np.zeros(shape), 0.1, **arguments)
            np.testing.assert_allclose(path, -0.1 * signs.reshape(1, *shape), rtol=1e-12)
    start = np.full(6, 2.0)
    for rate, rho in ((0.1, 0.1), (7.0, 1.0)):
        options = {"relative_step": True, "scale_by_parameter": True, "clipping_threshold": 1.0}
        path = adafactor(GRADIENTS[:1].reshape(1, 6), start, rate, **{**PLAIN, **options})
        np.testing.assert_allclose(start - path[0], 2 * rho * signs.ravel(), rtol=1e-12)


def test_the_factors_of_adafactor_by_hand():
    squares = np.array([[1.0, 3.0], [5.0, 7.0]])  # row means 2 and 6, column means 3 and 5
    estimate = np.array([[2 * 3, 2 * 5], [6 * 3, 6 * 5]]) / 4
    path = adafactor(np.sqrt(squares)[None], np.zeros((2, 2)), 1.0, **PLAIN)
    np.testing.assert_allclose(-path[0], np.sqrt(squares / estimate), rtol=1e-12)
    whole = adafactor(
        np.sqrt(squares)[None], np.zeros((2, 2)), 1.0, **PLAIN, min_dim_size_to_factor=3
    )
    np.testing.assert_allclose(-whole[0], 1.0, rtol=1e-12)


def test_the_matrix_of_adafactor_is_made_of_the_two_largest_and_of_equal_ones_the_later_axes():
    cube = np.random.default_rng(2).standard_normal((5, 2, 4, 3))
    path = adafactor(cube, np.zeros(cube.shape[1:]), 0.1, **PLAIN)
    for i in range(2):
        slice_alone = adafactor(cube[:, i], np.zeros((4, 3)), 0.1, **PLAIN)
        np.testing.assert_allclose(path[:, i], slice_alone, rtol=1e-12)
    turned = adafactor(cube.transpose(0, 2, 1, 3), np.zeros((4, 2, 3)), 0.1, **PLAIN)
    np.testing.assert_allclose(turned, path.transpose(0, 2, 1, 3), rtol=1e-12)
    equal = np.random.default_rng(3).standard_normal((5, 3, 3, 3))
    path = adafactor(equal, np.zeros((3, 3, 3)), 0.1, **PLAIN)
    slice_alone = adafactor(equal[:, 0], np.zeros((3, 3)), 0.1, **PLAIN)
    np.testing.assert_allclose(path[:, 0], slice_alone, rtol=1e-12)


def test_the_second_moment_and_the_clip_of_adafactor():
    """Gradients 1 and 100: V is 1, then (1 - w) + 1e4 w with w = 2^-0.8, and u 1.3194."""
    w = 2**-0.8
    u = 100 / (1 - w + 1e4 * w) ** 0.5
    for threshold, expected in ((None, u), (1.0, 1.0), (1.2, 1.2), (1.5, u)):
        arguments = {**PLAIN, "clipping_threshold": threshold}
        found = steps(adafactor, [1.0, 100.0], **arguments)
        np.testing.assert_allclose(found, [1, expected], rtol=1e-12)


def test_mars_without_correction_is_adamw_on_the_clipped_gradient():
    large = GRADIENTS * np.geomspace(0.1, 10, 40)[:, None, None]
    clipped = large / np.maximum(1, length(large))[:, None, None]
    assert 0 < np.sum(length(large) < 1) < 40
    arguments = {"b1": 0.9, "b2": 0.99, "eps": 1e-3, "weight_decay": 0.1}
    found = mars(large, START, 0.1, gamma=0.0, **arguments)
    np.testing.assert_allclose(found, adamw(clipped, START, 0.1, **arguments), rtol=1e-13)


def test_the_correction_of_mars_by_hand():
    """Gradient 0.3: at first 0.3 (1 + 0.025 * 19) = 0.4425, for want of one before it; then 0.3."""
    m, v = 0.95 * 0.4425 + 0.3, 0.99 * 0.4425**2 + 0.09
    found = steps(mars, [0.3, 0.3], **MARS)
    np.testing.assert_allclose(found, [1, m / 1.95 / (v / 1.99) ** 0.5], rtol=1e-12)
    found = steps(mars, [0.3, -0.1], **{**MARS, "b2": 0.0})
    second = -0.1 + 0.475 * -0.4
    expected = (0.95 * 0.4425 + second) / 1.95 / abs(second)
    np.testing.assert_allclose(found, [1, expected], rtol=1e-12)


def test_the_relative_step_of_adafactor_bounds_its_decay():
    arguments = {**PLAIN, "eps": 1e-30, "relative_step": True}
    path = adafactor(np.zeros(9), 3.0, 0.5, **arguments, weight_decay=0.2)
    rho = np.minimum(0.5, 1 / np.sqrt(np.arange(1, 10)))
    np.testing.assert_allclose(path, 3 * np.cumprod(1 - 0.2 * rho), rtol=1e-12)
