"""Spread over seeds, divergence, steps to a target, and whether a difference is more than luck."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95  # of the interval of a paired difference


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
    metrics: Sequence[float], target: float | None, larger_is_better: bool, steps_per_epoch: int
) -> int | None:
    """Steps done at the first evaluation that reached the target; None where none did.

    Args:
      metrics: on the validation split, before training and after each epoch.
      target: None is never reached.
      larger_is_better: whether the metric grows as the model improves.
      steps_per_epoch: steps from one evaluation to the next.

    >>> steps_to_target([0.1, 0.6, 0.9], 0.5, True, 33)
    33
    """
    if target is None:
        return None
    for epoch, metric in enumerate(metrics):
        if metric >= target if larger_is_better else metric <= target:
            return epoch * steps_per_epoch
    return None


def tied(best: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two optimizers cannot be told apart by their metrics at the same seeds.

    Paired: at one seed both had the same first parameters and batches, so what a seed does to both
    cancels in their difference. They are tied where the 95 % t-interval of the mean difference
    holds zero; one seed tells nothing, and all are tied.

    >>> tied([0.90, 0.95, 0.99], [0.89, 0.94, 0.98])
    False
    >>> tied([0.90, 0.95, 0.99], [0.91, 0.90, 0.99])
    True
    """
    differences = np.asarray(best, float) - np.asarray(other, float)
    if not np.all(np.isfinite(differences)):
        return False
    if len(differences) < 2:
        return True
    error = np.std(differences, ddof=1) / math.sqrt(len(differences))
    quantile = stdtrit(len(differences) - 1, (1 + CONFIDENCE) / 2)
    rounding = 1e-12 * np.max(np.abs(best))
    return bool(abs(np.mean(differences)) <= quantile * error + rounding)
