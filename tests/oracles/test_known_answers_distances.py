"""What the mathematics says of the rules that estimate the distance."""

import numpy as np
import pytest

from .adam import adam
from .fields import descend, noise
from .tree_rules import TREE_ORACLES

prodigy = TREE_ORACLES["prodigy"]
dadapt_adam = TREE_ORACLES["dadapt_adam"]
dog = TREE_ORACLES["dog"]
dowg = TREE_ORACLES["dowg"]

PRODIGY = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "d0": 1e-6}
DOG = {"initial_distance": 1e-6, "eps": 1e-8}
DOWG = {"initial_distance": 1e-2, "eps": 1e-4}
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}


# Rules that estimate the distance -----------------------------------------------------------------


def estimate(oracle, gradients, start, **arguments):
    """Prodigy's or D-Adaptation's d after the gradients: a kick makes the step a multiple of it.

    Beside a gradient of 1e30 neither average remembers another: the step is
    d (1 - b1) / sqrt(1 - b2), times the bias correction.
    """
    kicked = np.concatenate([gradients, np.full_like(gradients[:1], 1e30)])
    path = oracle(kicked, start, 1.0, **arguments)
    b1, b2 = arguments["b1"], arguments["b2"]
    unit = (1 - b1) / np.sqrt(1 - b2)
    if arguments.get("bias_correction"):
        unit *= np.sqrt(1 - b2 ** len(kicked)) / (1 - b1 ** len(kicked))
    return np.abs(path[-1] - path[-2]).max() / unit


def travelled(oracle, gradients, start, **arguments):
    """DoG's or DoWG's estimate: the farthest they have been from the start, or the first one."""
    path = oracle(gradients, start, 1.0, **arguments)
    path = path[0] if isinstance(path, tuple) else path
    return max(arguments["initial_distance"], np.abs(path - start).max())


CORRECTED = {**PRODIGY, "bias_correction": True}
FROM_1E_4 = {**DOWG, "initial_distance": 1e-4}
ESTIMATES = [  # (rule, arguments, what reads its estimate, steps, bounds of estimate / distance)
    (prodigy, PRODIGY, estimate, 40, 0.38, 0.84),
    (prodigy, CORRECTED, estimate, 60, 0.51, 0.71),
    (dadapt_adam, CORRECTED, estimate, 60, 1.62, 2.35),
    (dog, DOG, travelled, 160, 1.01, 1.17),
    (dowg, FROM_1E_4, travelled, 60, 1.34, 1.84),
]


@pytest.mark.parametrize("distance", 10.0 ** np.arange(-3, 4))
@pytest.mark.parametrize(("oracle", "arguments", "read", "steps", "least", "most"), ESTIMATES)
def test_estimates_are_within_a_factor_of_4_of_the_distance(
    oracle, arguments, read, steps, least, most, distance
):
    """On |x - distance|, from 0; no later step of 20 000 takes them out of these bounds."""
    start = np.zeros(1)
    _, gradients = descend(oracle, lambda p: np.sign(p - distance), start, steps, 1.0, **arguments)
    ratio = read(oracle, gradients, start, **arguments) / distance
    assert 1 / 4 < least < ratio < most < 4


def test_d_adaptation_without_bias_correction_overshoots():
    """By 3.3 to 4.9: the root of v is too small at first, as in Adam without its correction."""
    ratios = []
    for distance in 10.0 ** np.arange(-3, 4):
        field = {"gradient": lambda p, x=distance: np.sign(p - x), "start": np.zeros(1)}
        _, gradients = descend(dadapt_adam, count=40, rate=1.0, **field, **PRODIGY)
        ratios.append(estimate(dadapt_adam, gradients, np.zeros(1), **PRODIGY) / distance)
    np.testing.assert_allclose(ratios, [3.30, 4.13, 4.69, 4.90, 4.76, 4.34, 3.75], atol=0.006)


def test_a_first_estimate_above_the_distance_stays():
    """DoWG's default is 1e-2; below a quarter of it no factor of 4 can hold."""
    start = np.zeros(1)
    _, gradients = descend(dowg, lambda p: np.sign(p - 1e-3), start, 40, 1.0, **DOWG)
    assert travelled(dowg, gradients, start, **DOWG) == 1e-2


def test_second_estimates_by_hand():
    """Under the constant gradient 1, for d0 = 1 and hardly an eps; r is 0 at the first step."""
    how = {**PRODIGY, "d0": 1.0, "eps": 1e-30}
    ones, start, c = np.ones((2, 1)), np.zeros(1), np.sqrt(0.999)
    first = 0.1 / np.sqrt(0.001)
    for oracle, second in ((prodigy, first / (1 + c)), (dadapt_adam, 1 / np.sqrt(0.001) / (1 + c))):
        np.testing.assert_allclose(oracle(ones, start, 1.0, **how)[0], -first, rtol=1e-13)
        np.testing.assert_allclose(estimate(oracle, ones[:1], start, **how), 1.0, rtol=1e-12)
        np.testing.assert_allclose(estimate(oracle, ones, start, **how), second, rtol=1e-12)


def test_prodigy_that_does_not_adapt_is_adam():
    gradients, rate = noise(40, 3), 0.1 / np.arange(1, 41)
    how = {**CORRECTED, "d0": 0.5, "d_coef": 0.0, "eps": 1e-2}
    found = prodigy(gradients, np.ones(3), rate, **how)
    raw = {**ADAM, "eps": 1e-2, "eps_placement": "uncorrected"}
    expected = adam(gradients, np.ones(3), 0.5 * rate, **raw)
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_d_adaptation_that_does_not_adapt_is_prodigy_that_does_not():
    gradients, how = noise(40, 3), {**PRODIGY, "eps": 1e-2, "weight_decay": 0.2}
    found = dadapt_adam(gradients, np.ones(3), 5e-7, **{**how, "d0": 1e6})  # above all estimates
    expected = prodigy(gradients, np.ones(3), 1.0, **{**how, "d0": 0.5, "d_coef": 0.0})
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_zero_gradients_leave_the_decay():
    """At the first d; nothing is divided by 0, though s is 0."""
    rate = 0.1 / np.arange(1, 41)
    for oracle in (prodigy, dadapt_adam):
        path = oracle(np.zeros((40, 2)), np.ones(2), rate, **PRODIGY, weight_decay=2e5)
        np.testing.assert_allclose(path[:, 0], np.cumprod(1 - 0.2 * rate), rtol=1e-12)


@pytest.mark.parametrize("safeguard", [True, False])
def test_safeguard_keeps_the_rate_out_of_the_denominator(safeguard):
    """The second estimate under the gradient 1 is that by hand at rate 1, but for powers of it.

    The numerator has the rate twice, once for the way gone; the denominator once, or not at all.
    """
    how = {**PRODIGY, "d0": 1.0, "eps": 1e-30, "safeguard_warmup": safeguard, "d_coef": 1e6}
    kicked, rate = np.array([[1.0], [1.0], [1e30]]), np.array([0.01, 0.01, 1.0])
    path = prodigy(kicked, np.zeros(1), rate, **how)
    unit = 0.1 / np.sqrt(0.001)
    expected = 1e6 * 0.01 ** (2 if safeguard else 1) * unit / (1 + np.sqrt(0.999))
    np.testing.assert_allclose((path[1] - path[2]) / unit, expected, rtol=1e-11)


def test_estimates_ignore_where_the_start_is():
    gradients = noise(40, 3)
    for oracle in (prodigy, dadapt_adam):
        how = {**PRODIGY, "d0": 1e-2}
        paths = [oracle(gradients, np.full(3, at), 1.0, **how) - at for at in (0.0, 8.0)]
        np.testing.assert_allclose(*paths, atol=1e-13)


SCALES = [  # (rule, arguments, powers of the gradients' and of the distances' scale in eps)
    (prodigy, {**PRODIGY, "eps": 1e-2, "d0": 1e-2}, 1, 0, "d0"),
    (prodigy, {**CORRECTED, "eps": 1e-2, "d0": 1e-2}, 1, 0, "d0"),
    (dadapt_adam, {**PRODIGY, "eps": 1e-2, "d0": 1e-2}, 1, 0, "d0"),
    (dog, {"initial_distance": 1e-2, "eps": 1e-2}, 2, 0, "initial_distance"),
    (dowg, {"initial_distance": 1e-2, "eps": 1e-2}, 1, 1, "initial_distance"),
]


@pytest.mark.parametrize(("oracle", "arguments", "power", "length", "first"), SCALES)
def test_parameter_free_rules_follow_the_units(oracle, arguments, power, length, first):
    """Gradients in other units change nothing, parameters in other units the path alone."""
    gradients, c = noise(40, 3), 1024.0
    path = np.array(oracle(gradients, np.zeros(3), 1.0, **arguments))
    other = {**arguments, "eps": c**power * arguments["eps"]}
    found = np.array(oracle(c * gradients, np.zeros(3), 1.0, **other))
    np.testing.assert_allclose(found, path, rtol=1e-11)
    other = {**arguments, "eps": c**length * arguments["eps"], first: c * arguments[first]}
    found = np.array(oracle(gradients, np.zeros(3), 1.0, **other))
    np.testing.assert_allclose(found, c * path, rtol=1e-11)


def test_first_steps_of_dog_and_dowg_are_as_long_as_their_first_distance():
    gradient, start = noise(1, 5), noise(5, seed=1)
    path, averages = dog(gradient, start, 1.0, initial_distance=0.1, eps=0.0)
    length = 0.1 * (1 + np.linalg.norm(start))
    np.testing.assert_allclose(np.linalg.norm(path[0] - start), length, rtol=1e-13)
    np.testing.assert_allclose(averages[0], path[0], rtol=1e-15)
    path = dowg(gradient, start, 1.0, initial_distance=0.1, eps=0.0)
    np.testing.assert_allclose(np.linalg.norm(path[0] - start), 0.1, rtol=1e-13)


def test_dog_and_dowg_under_a_constant_gradient():
    """DoG multiplies its distance by 1 + 1 / sqrt(t); DoWG by hand."""
    ones, start = -7 * np.ones((30, 1)), np.zeros(1)
    path, _ = dog(ones, start, 1.0, initial_distance=1.0, eps=0.0)
    expected = np.cumprod(np.append(1, 1 + np.arange(2, 31) ** -0.5))
    np.testing.assert_allclose(path[:, 0], expected, rtol=1e-13)
    path = dowg(ones[:3], start, 1.0, initial_distance=1.0, eps=0.0)
    second = 1 + 0.5**0.5
    third = second + second**2 / (2 + second**2) ** 0.5
    np.testing.assert_allclose(path[:, 0], [1, second, third], rtol=1e-13)


def test_dogs_average_of_the_numbers_1_to_t_is_9_t_plus_1_tenths():
    """The weight of step i is that of (i + 7 choose 8); the rates here make each step 1 long."""
    t = np.arange(1, 51)
    rate = np.sqrt(t) / np.maximum(1, t - 1)
    path, averages = dog(-np.ones((50, 1)), np.zeros(1), rate, initial_distance=1.0, eps=0.0)
    np.testing.assert_allclose(path[:, 0], t, rtol=1e-12)
    np.testing.assert_allclose(averages[:, 0], (9 * t + 1) / 10, rtol=1e-12)


def test_decay_of_dog_and_dowg_is_multiplied_by_their_step():
    for oracle, how in ((dog, DOG), (dowg, DOWG)):
        gradients, start = noise(1, 3), noise(3, seed=1)
        plain, decayed = (
            np.array(oracle(gradients, start, 1.0, **how, weight_decay=decay)).reshape(-1, 3)[0]
            for decay in (0.0, 0.5)
        )
        step = np.linalg.norm(plain - start) / np.linalg.norm(gradients)
        np.testing.assert_allclose(decayed, plain - step * 0.5 * start, rtol=1e-12)
