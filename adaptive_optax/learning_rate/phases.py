"""Durations of schedules: numbers in units of `steps_per_epoch` updates, or fractions of a whole.

Where a phase begins or ends is a whole number of updates, the nearest, so that a schedule counts
in integers: it meets its end points exactly, and float32 does not lose the last of many updates.
"""

import dataclasses
import math
from typing import TypeAlias

import numpy as np

from adaptive_optax.core.checks import check_non_negative, check_positive

MOST = 2**31 - 1  # updates that an int32 counts; optax's counts stop there


@dataclasses.dataclass(frozen=True)
class Fraction:
    """A share of the whole length of a schedule; `fraction` makes it."""

    share: float  # in [0, 1]

    def __repr__(self) -> str:
        return f"fraction({self.share!r})"


Duration: TypeAlias = float | Fraction


def fraction(share: float) -> Fraction:
    """A duration that is this share of the whole `length` of its schedule.

    Args:
      share: in [0, 1].

    Raises:
      TypeError, ValueError: where it is no number, or out of range.

    >>> fraction(0.1)
    fraction(0.1)
    """
    check_non_negative("fraction", share=share)
    if not share <= 1:
        raise ValueError(
            f"fraction(share={share}): share must lie in [0, 1]; a number of steps or epochs "
            f"stands alone, without fraction."
        )
    return Fraction(float(share))


def updates(
    function: str,
    argument: str,
    duration: Duration,
    steps_per_epoch: int,
    *,
    whole: int | None = None,
    least: int = 1,
) -> int:
    """The duration in updates, to the nearest whole number.

    Args:
      function: what errors call the function.
      argument: what errors call the duration.
      duration: in units, finite and at least 0, or a fraction.
      steps_per_epoch: updates in a unit, at least 1.
      whole: updates in the schedule of which a fraction is taken; None takes no fractions.
      least: updates, 0 or 1.

    Raises:
      TypeError, ValueError: for a duration of the wrong kind or range.

    >>> updates("cosine", "length", 2.5, 10), updates("then", "at", fraction(0.3), 1, whole=10)
    (25, 3)
    """
    called = f"{function}({argument}={duration!r}): {argument}"
    if isinstance(duration, Fraction):
        if whole is None:
            raise ValueError(
                f"{called} is a fraction of a length that is not known here; give a number, "
                f"in units of steps_per_epoch updates."
            )
        exact = duration.share * whole
    elif isinstance(duration, int | float | np.number) and not isinstance(duration, bool):
        check = check_positive if least else check_non_negative
        check(function, **{argument: duration})
        exact = float(duration) * steps_per_epoch
    else:
        raise TypeError(
            f"{called} must be a number or fraction(...), known when the schedule is built."
        )
    found = math.floor(exact + 0.5)
    if found < least:
        raise ValueError(f"{called} must come to at least one update, not to {exact:.3g} of one.")
    if found > MOST:
        raise ValueError(f"{called} must come to fewer than 2**31 updates, not to {exact:.3g}.")
    return found
