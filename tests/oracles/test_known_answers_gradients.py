"""What the mathematics says of filtered gradients, of estimates, and of the noise scale."""

import numpy as np
import pytest

from .fields import noise
from .mars import mars as mars_over_adam
from .noise_scale import noise_scale
from .smoothed import smoothed
from .variance_reduced import mars, storm


def test_a_steady_gradient_is_amplified_by_the_dc_gain():
    found = smoothed(np.ones(400), decay=0.9, amplification=2.0, direct=0.5)
    np.testing.assert_allclose(found[:2], [0.5 + 0.2, 0.5 + 0.38], rtol=1e-14)
    np.testing.assert_allclose(found[-1], 2.5, rtol=1e-14)
    options = {"decay": 0.9, "amplification": 2.0, "bias_correction": True}
    np.testing.assert_allclose(smoothed(np.ones(40), **options), 3.0, rtol=1e-13)


def test_the_bias_corrected_average_is_the_weighted_mean_of_what_it_saw():
    gradients = noise(12, 3)
    options = {"decay": 0.8, "amplification": 1.0, "direct": 0.0, "bias_correction": True}
    weights = 0.8 ** np.arange(12)[::-1]
    mean = weights @ gradients / weights.sum()
    np.testing.assert_allclose(smoothed(gradients, **options)[-1], mean, rtol=1e-13)


@pytest.mark.parametrize("a", [0.1, 0.5, 1.0])
def test_storm_of_noise_that_both_points_share_is_the_average_of_it(a):
    """The gradients are signal + noise: d is the signal of now, and the mean of all the noise."""
    signal, shared = np.cumsum(noise(30, 4), 0), noise(30, 4, seed=1)
    before = np.concatenate([signal[:1], signal[:-1]])
    found = storm(signal + shared, before + shared, a=a)
    average = shared[0]
    for t in range(1, 30):
        average = (1 - a) * average + a * shared[t]
    np.testing.assert_allclose(found[-1], signal[-1] + average, atol=1e-12)


def test_mars_of_the_last_gradients_is_its_approximate_form():
    """Short gradients after the first, of which the approximate form makes 1 + gamma b1 / ..."""
    gradients = 0.1 * noise(20, 3)
    last = np.concatenate([np.zeros((1, 3)), gradients[:-1]])
    options = {"gamma": 0.1, "b1": 0.9}
    found = mars(gradients, last, **options)
    found[0] *= 1 + 0.1 * 9
    adam = {"b2": 0.99, "eps": 1e-8}
    path = mars_over_adam(found, np.zeros(3), 0.1, gamma=0.0, b1=0.9, **adam)
    exact = mars_over_adam(gradients, np.zeros(3), 0.1, **options, **adam)
    np.testing.assert_allclose(path, exact, rtol=1e-12)
    long = mars(100 * gradients, 100 * last, **options)
    np.testing.assert_allclose(np.linalg.norm(long, axis=1), 1.0, rtol=1e-14)


def test_the_noise_scale_of_two_examples_by_hand():
    """Gradients 2 and 4: S = 2, G2 = 9 - 1 = 8; as means of 3 examples each S is 6, G2 the same."""
    gradients = np.array([[2.0], [4.0]])
    np.testing.assert_allclose(noise_scale(gradients, 1), [0.25, 2.0, 8.0], rtol=1e-14)
    np.testing.assert_allclose(noise_scale(gradients, 3), [0.75, 6.0, 8.0], rtol=1e-14)
