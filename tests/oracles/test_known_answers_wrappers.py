"""What the mathematics says of Schedule-Free and of cautious steps."""

import numpy as np
import pytest

from .adam import adam
from .fields import noise
from .sgd import sgd
from .tree_rules import TREE_ORACLES

AVERAGE = {"b1": 0.9, "weight_power": 2.0}  # of Schedule-Free
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}


# Schedule-Free ------------------------------------------------------------------------------------


@pytest.mark.parametrize("b1", [0.0, 0.5, 0.9, 1.0])
def test_schedule_free_at_a_constant_rate_averages_its_inner_rule(b1):
    """x is the mean of z, which is the inner rule's path: y at b1 = 0; y is x at b1 = 1."""
    gradients, start, how = noise(40, 3), noise(3, seed=1), {**AVERAGE, "b1": b1}
    inner = {"b2": 0.9, "eps": 1e-2}
    for y, x, z in (
        (
            *TREE_ORACLES["schedule_free_sgd"](gradients, start, 0.1, **how),
            sgd(gradients, start, 0.1),
        ),
        (
            *TREE_ORACLES["schedule_free_adam"](gradients, start, 0.1, **how, **inner),
            adam(gradients, start, 0.1, b1=0.0, **inner),
        ),
    ):
        mean = np.cumsum(z, 0) / np.arange(1, 41)[:, None]
        np.testing.assert_allclose(x, mean, atol=1e-13)
        np.testing.assert_allclose(y, (1 - b1) * z + b1 * x, atol=1e-15)


def test_schedule_free_weights_are_squares_of_the_largest_rate_at_the_count_of_z():
    """Also while the rate falls after a warm-up; nothing else passes for it."""
    gradients, count = noise(40, 3), np.arange(40)
    rate = 0.1 * np.minimum((count + 1) / 10, np.minimum(1, (60 - count) / 40))
    _, x = TREE_ORACLES["schedule_free_sgd"](gradients, np.ones(3), rate, **AVERAGE)

    def average(of_z, of_weight, power=2.0):
        z = sgd(gradients, np.ones(3), of_z)
        w = np.maximum.accumulate(of_weight)[:, None] ** power
        return np.cumsum(w * z, 0) / np.cumsum(w, 0)

    np.testing.assert_allclose(x, average(rate, rate), atol=1e-14)
    before = np.append(0.0, rate[:-1])  # z one count behind its weight, as in optax 0.2.8
    assert np.abs(x - average(before, rate)).max() > 1e-2
    assert np.abs(x - average(rate, np.append(rate[1:], rate[-1]))).max() > 1e-3
    assert np.abs(x - average(rate, rate, 1.0)).max() > 1e-3
    uniform = {**AVERAGE, "weight_power": 0.0}
    _, x = TREE_ORACLES["schedule_free_sgd"](gradients, np.ones(3), rate, **uniform)
    np.testing.assert_allclose(x, average(rate, rate, 0.0), atol=1e-14)


def test_schedule_free_from_a_rate_of_0_stays_until_it_rises():
    gradients, rate = noise(4, 3), np.array([0.0, 0.0, 0.1, 0.2])
    for path in TREE_ORACLES["schedule_free_sgd"](gradients, np.ones(3), rate, **AVERAGE):
        np.testing.assert_array_equal(path[:2], 1.0)
        np.testing.assert_allclose(path[2], 1 - 0.1 * gradients[2], rtol=1e-15)


def test_schedule_free_decays_z_by_y():
    """Zero gradients, rate 0.1, decay 1 from 1: z = .9, .81, .72495 and y = .9, .8505 by hand."""
    how = {**AVERAGE, "weight_decay": 1.0}
    y, x = TREE_ORACLES["schedule_free_sgd"](np.zeros(3), 1.0, 0.1, **how)
    np.testing.assert_allclose(x, [0.9, 0.855, (0.9 + 0.81 + 0.72495) / 3], rtol=1e-14)
    np.testing.assert_allclose(y[:2], [0.9, 0.8505], rtol=1e-14)


# Cautious -----------------------------------------------------------------------------------------

CAUTIOUS = [
    (TREE_ORACLES["cautious_sgd"], sgd, {"momentum": 0.9}),
    (TREE_ORACLES["cautious_sgd"], sgd, {"momentum": 0.9, "nesterov": True}),
    (TREE_ORACLES["cautious_adam"], adam, ADAM),
]


@pytest.mark.parametrize(("outer", "inner", "arguments"), CAUTIOUS)
def test_cautious_where_all_agree_is_its_inner_rule(outer, inner, arguments):
    gradients = np.abs(noise(40, 3)) * [1.0, -1.0, 1.0]
    found = outer(gradients, np.ones(3), 0.1, **arguments)
    np.testing.assert_allclose(found, inner(gradients, np.ones(3), 0.1, **arguments), rtol=1e-13)


@pytest.mark.parametrize(("outer", "inner", "arguments"), CAUTIOUS)
def test_cautious_stays_where_all_disagree_and_its_inner_rule_goes_on(outer, inner, arguments):
    gradients = np.concatenate([np.full((3, 2), 5.0), np.full((2, 2), -0.1), np.full((1, 2), 5.0)])
    found = outer(gradients, np.ones(2), 0.1, **arguments)
    expected = inner(gradients, np.ones(2), 0.1, **arguments)
    np.testing.assert_array_equal(found[3:5], found[[2, 2]])
    np.testing.assert_allclose(found[5] - found[4], expected[5] - expected[4], rtol=1e-12)


def test_cautious_scales_by_the_mean_of_the_mask_down_to_1e_3():
    """Of n coordinates one agrees: it moves n times as far, but at most 1000 times."""
    for count, factor in ((1, 1), (4, 4), (1000, 1000), (4000, 1000)):
        gradients = np.stack([np.full(count, 2.0), np.full(count, -0.5)])
        gradients[1, 0] = 0.5
        path = TREE_ORACLES["cautious_sgd"](gradients, np.zeros(count), 0.1, momentum=0.9)
        steps = path[1] - path[0]
        np.testing.assert_allclose(steps[0], -0.1 * factor * (0.9 * 2 + 0.5), rtol=1e-12)
        np.testing.assert_array_equal(steps[1:], 0)


def test_a_coordinate_without_gradient_counts_as_one_that_disagrees():
    for oracle, arguments in (("cautious_sgd", {}), ("cautious_adam", ADAM)):
        path = TREE_ORACLES[oracle](np.array([[1.0, 0.0]]), np.zeros(2), 0.1, **arguments)
        np.testing.assert_allclose(path, [[-0.2, 0.0]], rtol=1e-7)


def test_cautious_never_goes_uphill():
    gradients = noise(60, 5)
    for outer, inner, arguments in CAUTIOUS:
        for oracle, never in ((outer, True), (inner, False)):
            path = oracle(gradients, np.zeros(5), 0.1, **arguments)
            steps = np.diff(path, axis=0, prepend=np.zeros((1, 5)))
            assert (np.max(steps * gradients) <= 0) == never
