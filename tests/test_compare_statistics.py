import math

import numpy as np
import pytest
from scipy.stats import t as students

from adaptive_optax.comparison import statistics


def test_the_margin_of_two_is_the_paired_t_interval():
    a, b = np.array([0.9, 0.94, 0.97, 0.91]), np.array([0.88, 0.95, 0.93, 0.9])
    differences = a - b
    expected = students.ppf(0.9875, 3) * differences.std(ddof=1) / math.sqrt(4)
    assert np.isclose(statistics.margin([a, b]), expected, rtol=1e-12)


def test_what_a_seed_does_to_all_is_no_spread():
    seeds = np.array([0.0, 5.0, -3.0])
    noise = np.random.RandomState(0).randn(6, 3)
    assert np.isclose(statistics.margin(noise), statistics.margin(noise + seeds))


def test_an_erratic_optimizer_does_not_tie_the_others():
    metrics = np.array([[0.90, 0.95, 0.99], [0.88, 0.931, 0.97], [0.1, 0.9, 0.2]])
    assert statistics.margin(metrics) > 0.3
    assert not statistics.tied(metrics[0], metrics[1], metrics)


@pytest.mark.parametrize("count", [2, 4, 22])
def test_pure_luck_is_a_tie_most_of_the_time(count):
    draws = np.random.RandomState(1)
    held = ties = 0
    for _ in range(1000):
        metrics = draws.randn(count, 3) + draws.randn(3)
        held += abs(metrics[0].mean() - metrics[1].mean()) <= statistics.margin(metrics)
        ties += statistics.tied(metrics[0], metrics[1], metrics)
    assert 0.96 <= held / 1000 <= 0.99  # 0.975 in the mean, with two deviations of 1,000 draws
    assert 0.94 <= ties / 1000 <= held / 1000  # 0.95 or more in the mean


@pytest.mark.parametrize("few", [[], [[1.0, 2.0]], [[1.0], [2.0]]])
def test_too_few_tell_nothing(few):
    assert statistics.margin(few) == math.inf


def test_divergence():
    assert statistics.diverged([1.0, np.inf], [1.0, 0.5, 0.5])
    assert statistics.diverged([1.0, 0.5], [1.0, 0.5, np.nan])
    assert statistics.diverged([1.0, 0.5], [1.0, 0.5, 1.1])
    assert not statistics.diverged([1.0, 5.0], [1.0, 7.0, 0.9])


def test_steps_to_target():
    assert statistics.steps_to_target([0.1, 0.5, 0.95, 0.2], 0.9, True, 10) == 20
    assert statistics.steps_to_target([3.0, np.nan, 0.5], 1.0, False, 7) == 14
    assert statistics.steps_to_target([0.1], 0.9, True, 10) is None
    assert statistics.steps_to_target([0.1], None, True, 10) is None


def test_the_bootstrap_holds_the_mean_about_as_often_as_it_says():
    draws, held = np.random.RandomState(2), 0
    for _ in range(500):
        low, high = statistics.interval(draws.randn(30), 0.9, draws=500)
        held += low <= 0 <= high
    assert 0.84 <= held / 500 <= 0.93
    assert statistics.interval([3.0]) == (3.0, 3.0)
    wide, narrow = (statistics.interval([1.0, 2.0, 4.0], share) for share in (0.99, 0.5))
    assert wide[0] < narrow[0] < 7 / 3 < narrow[1] < wide[1]


def test_spread_of_one_is_unknown():
    assert math.isnan(statistics.spread([1.0]))
    assert math.isnan(statistics.mean([]))
