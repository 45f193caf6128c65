"""Learning rates: the grid of an optimizer, its widening, the choice, and schedules over it."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from adaptive_optax.core.checks import check_choice, check_positive
from adaptive_optax.learning_rate import schedules

WIDENINGS = 3  # at most so often is a grid widened
SCHEDULES = ("constant", "exponential", "step")


class Score(NamedTuple):
    """How good a learning rate is on the validation split; the larger tuple is the better rate."""

    failures: int  # runs that diverged, negated
    metric: float  # mean over seeds, negated where smaller is better
    loss: float  # mean over seeds, negated


def grid(centre: float, indices: Iterable[int]) -> list[float]:
    """Learning rates half a decade apart, counted from the centre.

    >>> grid(1e-3, (-1, 0, 1, 2))
    [0.000316, 0.001, 0.00316, 0.01]
    """
    return [float(f"{centre * 10 ** (k / 2):.3g}") for k in indices]


def search(
    centre: float, points: int, evaluate: Callable[[list[float]], Sequence[Score]]
) -> tuple[float, int]:
    """The best learning rate, widening the grid while the best lies at an edge of it.

    Args:
      centre: of the first grid, above 0.
      points: rates at a time, at least 1; with 1 there is nothing to choose.
      evaluate: `evaluate(rates) -> scores` for `points` rates at a time.

    Returns:
      The rate, and how often the grid was widened (at most WIDENINGS times).
    """
    scores: dict[int, Score] = {}
    first, widened = -(points // 2), 0
    while True:
        some = range(first, first + points)
        scores.update(zip(some, evaluate(grid(centre, some)), strict=True))
        best = max(scores, key=lambda k: scores[k])
        low, high = min(scores), max(scores)
        if points == 1 or low < best < high or widened == WIDENINGS:
            return grid(centre, [best])[0], widened
        first, widened = high + 1 if best == high else low - points, widened + 1


def score(metrics: Any, losses: Any, diverged: Any, larger_is_better: bool) -> Score:
    """The score of one learning rate from its runs, one entry a seed."""
    kept = ~np.asarray(diverged, bool)
    sign = 1 if larger_is_better else -1
    if not kept.any():
        return Score(-len(kept), -math.inf, -math.inf)
    metric = sign * float(np.mean(np.asarray(metrics)[kept]))
    return Score(-int(np.sum(~kept)), metric, -float(np.mean(np.asarray(losses)[kept])))


def parse(text: str | float | None) -> tuple[float | None, str]:
    """A rate (None: search for it) and a schedule from `0.01`, `step` or `0.01:step`.

    Raises:
      ValueError: for what is neither; says what would be.

    >>> parse("0.01:step"), parse("exponential"), parse(0.1)
    ((0.01, 'step'), (None, 'exponential'), (0.1, 'constant'))
    """
    if text is None:
        return None, "constant"
    number, _, word = str(text).partition(":")
    try:
        rate = float(number)
    except ValueError:
        if word:
            raise ValueError(
                f"compare(learning_rate={text!r}): {number!r} is no number; write 0.01:step."
            ) from None
        check_choice("compare", SCHEDULES, learning_rate=number)
        return None, number
    check_positive("compare", learning_rate=rate)
    check_choice("compare", SCHEDULES, learning_rate=word or "constant")
    return rate, word or "constant"


def scheduled(rate: Any, word: str, steps: int) -> Any:
    """The schedule of that name over a run of `steps`, from rate down to a hundredth of it.

    "exponential" falls a little at every step; "step" to a tenth after each third of the run.
    """
    if word == "constant":
        return rate
    if word == "exponential":
        return schedules.exponential(rate, 0.01, every=steps)
    return schedules.step(rate, 0.1, every=steps / 3)
