import math

import numpy as np
import pytest

from adaptive_optax.comparison import rate_grid


def peak_at(best):
    """An evaluation whose score falls with the distance from a rate, and what it was asked."""
    asked = []

    def evaluate(some):
        asked.append(some)
        return [rate_grid.Score(0, -abs(math.log(rate / best)), 0.0) for rate in some]

    return evaluate, asked


def test_an_inner_best_ends_the_search():
    evaluate, asked = peak_at(1e-3)
    assert rate_grid.search(1e-3, 3, evaluate) == (1e-3, 0)
    assert asked == [[0.000316, 0.001, 0.00316]]


@pytest.mark.parametrize(("best", "passes"), [(0.1, 3), (1e-5, 3), (0.00316, 2)])
def test_an_edge_widens_towards_the_best(best, passes):
    evaluate, asked = peak_at(best)
    found, widened = rate_grid.search(1e-3, 3, evaluate)
    assert found == best
    assert (len(asked), widened) == (passes, passes - 1)
    assert all(len(some) == 3 for some in asked)
    assert len({rate for some in asked for rate in some}) == 3 * passes


def test_widening_is_bounded():
    evaluate, asked = peak_at(1e9)
    _, widened = rate_grid.search(1e-3, 3, evaluate)
    assert widened == rate_grid.WIDENINGS == len(asked) - 1


def test_one_point_is_not_widened():
    evaluate, asked = peak_at(10.0)
    assert rate_grid.search(0.01, 1, evaluate) == (0.01, 0)
    assert asked == [[0.01]]


def test_divergence_counts_before_the_metric():
    steady = rate_grid.score([0.5, 0.5], [1.0, 1.0], [False, False], True)
    better_but_lost = rate_grid.score([0.9, np.nan], [0.1, np.nan], [False, True], True)
    all_lost = rate_grid.score([np.nan] * 2, [np.nan] * 2, [True, True], True)
    assert steady > better_but_lost > all_lost


def test_the_smaller_metric_wins_where_it_should_and_loss_breaks_ties():
    assert rate_grid.score([0.1], [1], [False], False) > rate_grid.score([0.2], [1], [False], False)
    assert rate_grid.score([0.9], [0.1], [False], True) > rate_grid.score(
        [0.9], [0.2], [False], True
    )


def test_words_for_the_learning_rate():
    assert rate_grid.parse(None) == (None, "constant")
    assert rate_grid.parse("0.001") == (0.001, "constant")
    assert rate_grid.parse("step") == (None, "step")
    assert rate_grid.parse("1e-2:exponential") == (0.01, "exponential")
    with pytest.raises(ValueError, match=r"'stepp'.*did you mean 'step'"):
        rate_grid.parse("stepp")
    with pytest.raises(ValueError, match="'x' is no number"):
        rate_grid.parse("x:step")
    with pytest.raises(ValueError, match="above 0"):
        rate_grid.parse("-1")


def test_schedules_end_at_a_hundredth():
    falling = rate_grid.scheduled(1.0, "exponential", 300)
    assert np.isclose(float(falling(300)), 0.01, rtol=1e-5)
    stairs = rate_grid.scheduled(1.0, "step", 300)
    found = [float(stairs(t)) for t in (0, 99, 100, 199, 200, 299)]
    np.testing.assert_allclose(found, [1, 1, 0.1, 0.1, 0.01, 0.01], rtol=1e-5)
    assert rate_grid.scheduled(0.5, "constant", 300) == 0.5
