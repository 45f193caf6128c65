"""Schedules: functions from a count of updates (0 at the first) to a learning rate.

Durations. Every duration (`length`, `every`, `cycle`, `warm_up`, `decay`, `duration`, `at`) is a
number in units of `steps_per_epoch` updates: leave that at 1 to count steps, give the number of
batches in an epoch to count epochs. Where a schedule has a length, its parts may be `fraction(0.1)`
of it instead. Ends of phases fall on the nearest whole update.

Ends. A schedule of length T has its first value at count 0, its final value at count T, and keeps
it. A training of T updates uses the counts 0 to T - 1, so its last update stands one step before
the end: as with torch's CosineAnnealingLR(T_max=T), LinearLR and PolynomialLR. To end a training
of N updates on the final value, as torch's OneCycleLR(total_steps=N) does, take length=N - 1.

Schedules. Each is a `RateSchedule`: call it, print it (the call that makes it again), compare it,
`plot` it, and compose it:

>>> quarter = 0.25 * linear(0.5, length=90).warmed_up(10).then(constant(0.125))
>>> quarter
linear(0.5, length=90).warmed_up(10).then(constant(0.125)).scaled(0.25)
>>> [float(quarter(count)) for count in (0, 5, 10, 55, 100)]
[0.0, 0.0625, 0.125, 0.0625, 0.03125]
"""

import jax.numpy as jnp
import optax

from adaptive_optax.core.checks import check_non_negative, check_positive, check_steps
from adaptive_optax.core.types import Scalar
from adaptive_optax.learning_rate.cycles import one_cycle as one_cycle
from adaptive_optax.learning_rate.cycles import slanted_triangular as slanted_triangular
from adaptive_optax.learning_rate.cycles import warm_restarts as warm_restarts
from adaptive_optax.learning_rate.cycles import warmup_stable_decay as warmup_stable_decay
from adaptive_optax.learning_rate.phases import Duration, updates
from adaptive_optax.learning_rate.phases import Fraction as Fraction
from adaptive_optax.learning_rate.phases import fraction as fraction
from adaptive_optax.learning_rate.ramps import SHAPES, Ramp, Shape, path, polynomial_shape
from adaptive_optax.learning_rate.schedule import RateSchedule as RateSchedule
from adaptive_optax.learning_rate.schedule import remembered


@remembered
def constant(learning_rate: Scalar) -> RateSchedule:
    """The same rate for ever.

    Args:
      learning_rate: above 0.

    Raises:
      TypeError, ValueError: for a rate of the wrong kind or range.

    >>> float(constant(0.5)(1000))
    0.5
    """
    check_positive("constant", learning_rate=learning_rate)
    return RateSchedule(lambda t: jnp.where(t >= 0, learning_rate, learning_rate), None)


@remembered
def linear(
    learning_rate: Scalar, length: Duration, *, final: Scalar = 0.0, steps_per_epoch: int = 1
) -> RateSchedule:
    """A straight line from learning_rate to `final`: learning_rate + (final - learning_rate) t / T.

    Args:
      learning_rate: at the start, at least 0.
      length: T, units from the start to the final value, above 0.
      final: at the end and after it, at least 0; above learning_rate the rate rises.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> falling = linear(1.0, length=4, final=0.5)
    >>> [float(falling(t)) for t in (0, 1, 2, 4, 9)]
    [1.0, 0.875, 0.75, 0.5, 0.5]
    """
    shape = SHAPES["linear"]
    return _falling("linear", learning_rate, length, final, steps_per_epoch, shape)


@remembered
def polynomial(
    learning_rate: Scalar,
    length: Duration,
    *,
    power: Scalar,
    final: Scalar = 0.0,
    steps_per_epoch: int = 1,
) -> RateSchedule:
    """The polynomial decay final + (learning_rate - final) (1 - t / T)^power.

    Args:
      learning_rate: at the start, at least 0.
      length: T, units from the start to the final value, above 0.
      power: above 0; 1 is `linear`, above 1 it falls fast and then slowly.
      final: at the end and after it, at least 0.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> falling = polynomial(1.0, length=4, power=2)
    >>> [float(falling(t)) for t in (0, 1, 2, 4, 9)]
    [1.0, 0.5625, 0.25, 0.0, 0.0]
    """
    check_positive("polynomial", power=power)
    shape = polynomial_shape(power)
    return _falling("polynomial", learning_rate, length, final, steps_per_epoch, shape)


@remembered
def cosine(
    learning_rate: Scalar, length: Duration, *, final: Scalar = 0.0, steps_per_epoch: int = 1
) -> RateSchedule:
    """Half a cosine wave, final + (learning_rate - final) (1 + cos(pi t / T)) / 2.

    Loshchilov & Hutter, 2017, arXiv:1608.03983, without restarts. `final` is a rate; optax's
    alpha is final / learning_rate.

    Args:
      learning_rate: at the start, at least 0.
      length: T, units from the start to the final value, above 0.
      final: at the end and after it, at least 0.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> falling = cosine(1.0, length=10, final=0.5, steps_per_epoch=100)
    >>> [float(falling(t)) for t in (0, 1000, 2000)]
    [1.0, 0.5, 0.5]
    """
    shape = SHAPES["cosine"]
    return _falling("cosine", learning_rate, length, final, steps_per_epoch, shape)


@remembered
def exponential(
    learning_rate: Scalar, rate: Scalar, every: Scalar, *, steps_per_epoch: int = 1
) -> RateSchedule:
    """The "dynamic" decay learning_rate * rate^(t / every), a little smaller at every update.

    It has no end. The arithmetic is optax's.

    Args:
      learning_rate: at the start, above 0.
      rate: factor per `every` units, above 0; below 1 it decays.
      every: units, above 0; fractions of a unit are fine.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> float(exponential(0.5, 0.25, every=10)(20))
    0.03125
    """
    period = _period("exponential", learning_rate, rate, every, steps_per_epoch)
    return RateSchedule(optax.schedules.exponential_decay(learning_rate, period, rate), None)


@remembered
def inverse_time(
    learning_rate: Scalar, rate: Scalar, every: Scalar, *, steps_per_epoch: int = 1
) -> RateSchedule:
    """The decay learning_rate / (1 + rate t / every). It has no end.

    Its sum is infinite and the sum of its squares finite, as Robbins & Monro, 1951, ask for.

    Args:
      learning_rate: at the start, above 0.
      rate: by how much of the start the divisor grows in `every` units, above 0.
      every: units, above 0; fractions of a unit are fine.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> halving = inverse_time(1.0, 1.0, every=10)
    >>> [float(halving(t)) for t in (0, 10, 30)]
    [1.0, 0.5, 0.25]
    """
    period = _period("inverse_time", learning_rate, rate, every, steps_per_epoch)
    return RateSchedule(lambda t: learning_rate / (1 + rate * (t / period)), None)


@remembered
def step(
    learning_rate: Scalar, rate: Scalar, every: Scalar, *, steps_per_epoch: int = 1
) -> RateSchedule:
    """The step decay learning_rate * rate^floor(t / every): constant, then `rate` times that.

    It has no end. Drops fall on the whole update nearest to each multiple of `every`; optax's
    staircase divides floats, and may come an update late.

    Args:
      learning_rate: at the start, above 0.
      rate: factor at each drop, above 0; below 1 it decays.
      every: units from drop to drop, above 0; fractions of a unit are fine.
      steps_per_epoch: updates in a unit, at least 1.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range.

    >>> halved = step(1.0, 0.5, every=2, steps_per_epoch=10)
    >>> [float(halved(t)) for t in (0, 19, 20, 39, 40)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    period = _period("step", learning_rate, rate, every, steps_per_epoch)

    def value(t):
        if isinstance(period, float) and period.is_integer():
            drops = t // int(period)
        else:
            drops = jnp.floor((t + 0.5) / period)
        return learning_rate * rate ** (drops * 1.0)  # an int's power would be strongly typed

    return RateSchedule(value, None)


def _falling(
    name: str,
    learning_rate: Scalar,
    length: Duration,
    final: Scalar,
    steps_per_epoch: int,
    shape: Shape,
) -> RateSchedule:
    """One ramp from learning_rate to final."""
    check_non_negative(name, learning_rate=learning_rate, final=final)
    check_steps(name, steps_per_epoch=steps_per_epoch)
    whole = updates(name, "length", length, steps_per_epoch)
    return RateSchedule(path(Ramp(learning_rate, final, whole, shape)), whole)


def _period(
    name: str, learning_rate: Scalar, rate: Scalar, every: Scalar, steps_per_epoch: int
) -> Scalar:
    """Updates in `every` units, a float as long as it is known."""
    check_positive(name, learning_rate=learning_rate, rate=rate, every=every)
    check_steps(name, steps_per_epoch=steps_per_epoch)
    return every * float(steps_per_epoch)
