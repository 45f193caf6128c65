"""Spread over seeds, divergence, steps to a target, and whether a difference is more than luck."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.975  # of each of the two intervals of `tied`, so that both hold with 95 %


def mean(values: Sequence[float]) -> float:
    """The mean; NaN where there are none."""
    return float(np.mean(values)) if len(values) else math.nan


def spread(values: Sequence[float]) -> float:
    """The standard deviation over seeds (n - 1 below the line); NaN for fewer than two.

    >>> spread([1.0, 3.0])
    1.4142135623730951
    """
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def diverged(train_loss: Sequence[float], validation_loss: Sequence[float]) -> bool:
    """Whether a run met a loss that is not finite, or ended worse than it began.

    Args:
      train_loss: one an epoch.
      validation_loss: one an epoch, and one before training in front.

    >>> diverged([1.0, float("nan")], [2.0, 1.0, 1.0]), diverged([1.0], [2.0, 1.0])
    (True, False)
    """
    losses = [*train_loss, *validation_loss]
    return not np.all(np.isfinite(losses)) or validation_loss[-1] > validation_loss[0]


def steps_to_target(
    metrics: Sequence[float], target: float | None, larger_is_better: bool, every: int
) -> int | None:
    """Steps done at the first evaluation that reached the target; None where none did.

    Args:
      metrics: on the validation split, one an evaluation, the first before training.
      target: None is never reached.
      larger_is_better: whether the metric grows as the model improves.
      every: steps from one evaluation to the next.

    >>> steps_to_target([0.1, 0.6, 0.9], 0.5, True, 33)
    33
    """
    if target is None:
        return None
    for at, metric in enumerate(metrics):
        if metric >= target if larger_is_better else metric <= target:
            return at * every
    return None


def interval(
    values: Sequence[float], confidence: float = 0.95, draws: int = 10_000
) -> tuple[float, float]:
    """The bootstrap's interval of a mean: between what lies as far out among resampled means.

    Args:
      values: such as paired differences, one a seed; at least one.
      confidence: share of the resampled means that lie inside, in (0, 1).
      draws: resampled means; always the same ones.

    >>> interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    """
    table = np.asarray(values, float)
    rows = np.random.RandomState(0).randint(len(table), size=(draws, len(table)))
    out = (1 - confidence) / 2
    low, high = np.quantile(table[rows].mean(1), [out, 1 - out])
    return float(low), float(high)


def tied(best: Sequence[float], other: Sequence[float], every: Sequence[Sequence[float]]) -> bool:
    """Whether two optimizers' metrics, one a seed, are no further apart than luck explains.

    The spread of the two alone is uncertain with few seeds, and that of all is wide where one of
    them is erratic; the smaller `margin` counts. Each holds with 97.5 %, so that two optimizers
    that differ by luck alone are called a tie in at least 95 % of comparisons.

    Args:
      best: metrics of one, (seeds,).
      other: metrics of the other at the same seeds.
      every: metrics of all optimizers, (optimizers, seeds).

    >>> tied([0.90, 0.95, 0.99], [0.89, 0.94, 0.98], [[0.90, 0.95, 0.99], [0.89, 0.94, 0.98]])
    False
    """
    return abs(mean(best) - mean(other)) <= min(margin(every), margin([best, other]))


def margin(metrics: Sequence[Sequence[float]]) -> float:
    """How far two optimizers' means may lie apart by luck alone.

    Paired over shared seeds: at one seed all had the same first parameters and batches, so what a
    seed does to all of them is taken out first. What is left over, pooled over optimizers, gives
    the 97.5 % t-interval of the difference of two means; for two it is the paired t-test.

    Args:
      metrics: (optimizers, seeds), finite.

    Returns:
      The half-width of the interval; inf where there are fewer than two of either.

    >>> margin([[0.90, 0.95, 0.99], [0.80, 0.85, 0.89]]) < 1e-9
    True
    >>> margin([[0.9], [0.8]])
    inf
    """
    table = np.asarray(metrics, float)
    count, seeds = table.shape if table.ndim == 2 else (0, 0)
    if count < 2 or seeds < 2:
        return math.inf
    freedom = (count - 1) * (seeds - 1)
    rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    quantile = stdtrit(freedom, (1 + CONFIDENCE) / 2)
    return float(quantile * math.sqrt(2 / seeds * np.sum(rest**2) / freedom))
