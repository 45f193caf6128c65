"""Schedules: functions from the number of updates done (0 at the first) to a learning rate.

Durations are in units of `steps_per_epoch` updates: leave it at 1 to count steps, give the number
of batches in an epoch to count epochs. The arithmetic is optax's.
"""

import optax

from adaptive_optax.core.checks import check_positive, check_steps
from adaptive_optax.core.types import Scalar, Schedule


def constant(learning_rate: Scalar) -> Schedule:
    """The same rate for ever.

    >>> constant(0.1)(1000)
    0.1
    """
    check_positive("constant", learning_rate=learning_rate)
    return optax.schedules.constant_schedule(learning_rate)


def exponential(
    learning_rate: float, rate: float, every: float, *, steps_per_epoch: int = 1
) -> Schedule:
    """The "dynamic" decay learning_rate * rate^(t / every), a little smaller at every update.

    Args:
      learning_rate: at the start, above 0.
      rate: factor per `every` units, above 0; below 1 it decays.
      every: units, above 0; fractions are fine.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> float(exponential(0.5, 0.25, every=10)(20))
    0.03125
    """
    check_positive("exponential", learning_rate=learning_rate, rate=rate, every=every)
    check_steps("exponential", steps_per_epoch=steps_per_epoch)
    return optax.schedules.exponential_decay(learning_rate, every * steps_per_epoch, rate)


def step(learning_rate: float, rate: float, every: float, *, steps_per_epoch: int = 1) -> Schedule:
    """The step decay learning_rate * rate^floor(t / every): constant, then `rate` times that.

    Args:
      learning_rate: at the start, above 0.
      rate: factor at each drop, above 0; below 1 it decays.
      every: units from drop to drop, above 0; a drop comes with the first update after them.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> halved = step(1.0, 0.5, every=2, steps_per_epoch=10)
    >>> [float(halved(t)) for t in (0, 19, 20, 39, 40)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    check_positive("step", learning_rate=learning_rate, rate=rate, every=every)
    check_steps("step", steps_per_epoch=steps_per_epoch)
    return optax.schedules.exponential_decay(
        learning_rate, every * steps_per_epoch, rate, staircase=True
    )
