"""`RateSchedule`: what every function of `schedules` returns, and how schedules are composed."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.core.checks import check_non_negative, check_steps
from adaptive_optax.core.types import Scalar
from adaptive_optax.learning_rate.phases import MOST, Duration, Fraction, updates
from adaptive_optax.learning_rate.ramps import Ramp, path

P = ParamSpec("P")
POINTS = 2000  # at most this many intervals are drawn


def remembered(factory: "Callable[P, RateSchedule]") -> "Callable[P, RateSchedule]":
    """The factory, whose schedules remember the call that made them.

    Arrays whose values are known become Python numbers, so that calls can be compared and printed.
    """
    signature = inspect.signature(factory)
    build: Any = factory

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> "RateSchedule":
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{factory.__name__}(): {error}.") from None
        bound.apply_defaults()
        arguments = {name: _plain(value) for name, value in bound.arguments.items()}
        made = build(**arguments)
        return dataclasses.replace(made, make=make, arguments=tuple(arguments.items()))

    return make


@dataclasses.dataclass(frozen=True, repr=False)
class RateSchedule:
    """A schedule: a function from the updates done, 0 at the first, to a rate.

    It prints as the call that makes it again. Two schedules are equal where their calls are, so
    10 epochs of 5 updates and 50 updates are not, although their rates are the same. The rate is
    float32 or wider, of the count's shape, and weakly typed as optax's are: times a bfloat16
    array it stays bfloat16.

    Attributes:
      length: updates until it stands at its last value; None where it has no end.

    >>> from adaptive_optax import schedules
    >>> warm = schedules.linear(0.5, length=90).warmed_up(10)
    >>> warm
    linear(0.5, length=90).warmed_up(10)
    >>> warm.length, [float(warm(t)) for t in (0, 5, 10, 55, 100, 1000)]
    (100, [0.0, 0.25, 0.5, 0.25, 0.0, 0.0])
    """

    rate: Callable[[jax.Array], Any] = dataclasses.field(compare=False)  # of a count >= 0
    length: int | None = dataclasses.field(compare=False)
    make: Any = dataclasses.field(default_factory=object)  # what was called; an object: nothing yet
    arguments: tuple[tuple[str, Any], ...] = ()  # all of that call

    __array_ufunc__ = None  # so that np.float64(0.5) * schedule asks the schedule

    def __call__(self, count: Any) -> jax.Array:
        """The rate after `count` updates, an integer (or a float) or an array of them."""
        if isinstance(count, int):
            count = min(count, MOST)
        # strict promotion would take no integer beside a Python float, which alone stays weak
        with jax.numpy_dtype_promotion("standard"):
            return self.rate(_counted(jnp.asarray(count)))

    def __repr__(self) -> str:
        return self._call("")

    @property
    def expression(self) -> str:
        """The call with the module's name before it, for the repr of an optimizer."""
        return self._call("schedules.")

    def _call(self, prefix: str) -> str:
        """The call that makes it, with a prefix before each function of the module."""
        words = []
        defaults = inspect.signature(self.make).parameters if self.arguments else {}
        bare = None if "self" in defaults else next(iter(defaults), None)
        for name, value in self.arguments:
            if name == "self":
                bare = list(defaults)[1]
            elif isinstance(value, jax.core.Tracer) or value != defaults[name].default:
                word = value._call(prefix) if isinstance(value, RateSchedule) else repr(value)
                if isinstance(value, Fraction):
                    word = f"{prefix}{value!r}"
                words.append(word if name == bare else f"{name}={word}")
        call = f"{getattr(self.make, '__name__', 'RateSchedule')}({', '.join(words)})"
        if "self" in defaults:
            return f"{self.arguments[0][1]._call(prefix)}.{call}"
        return f"{prefix}{call}"

    def __reduce__(self) -> Any:
        return _called, (self.make, self.arguments)

    def __mul__(self, factor: Scalar) -> "RateSchedule":
        return self.scaled(factor)

    __rmul__ = __mul__

    @property
    def steps_per_epoch(self) -> int | None:
        """Updates in the unit of its durations; None where it has none, as a constant."""
        arguments = dict(self.arguments)
        parts = [value for value in arguments.values() if isinstance(value, RateSchedule)]
        units = [arguments.get("steps_per_epoch"), *(part.steps_per_epoch for part in parts)]
        return next((unit for unit in units if unit is not None), None)

    @remembered
    def scaled(self, factor: Scalar) -> "RateSchedule":
        """The schedule times a number of at least 0; also `schedule * factor`.

        Raises:
          TypeError, ValueError: for a factor of the wrong kind or range.
        """
        check_non_negative("scaled", factor=factor)
        return RateSchedule(lambda t: self.rate(t) * factor, self.length)

    @remembered
    def then(
        self,
        following: "RateSchedule",
        *,
        at: Duration | None = None,
        steps_per_epoch: int | None = None,
    ) -> "RateSchedule":
        """This schedule up to its end, and from there the following one, from its own start.

        Args:
          following: a schedule of this library.
          at: when the following one starts, above 0; in units, or a fraction of this schedule's
            length. None is this schedule's length.
          steps_per_epoch: updates in a unit; None is the unit that both schedules have.

        Raises:
          TypeError, ValueError: for an argument of the wrong kind or range; where this schedule
            has no end and `at` is not given, or where the two count in different units.

        >>> from adaptive_optax import schedules
        >>> joined = schedules.constant(1.0).then(schedules.step(0.5, 0.1, every=10), at=20)
        >>> [float(joined(t)) for t in (0, 19, 20, 29)]
        [1.0, 1.0, 0.5, 0.5]
        """
        if not isinstance(following, RateSchedule):
            raise TypeError(
                f"then(following={following!r}): following must be a schedule of "
                f"adaptive_optax.schedules; others are joined by optax.join_schedules, which takes "
                f"any."
            )
        units = {self.steps_per_epoch, following.steps_per_epoch} - {None}
        if len(units) > 1 and steps_per_epoch is None:
            raise ValueError(
                f"then(steps_per_epoch=None): {self!r} counts in units of {self.steps_per_epoch} "
                f"updates and {following!r} in units of {following.steps_per_epoch}; give "
                f"steps_per_epoch, the unit of the whole."
            )
        unit = _unit("then", steps_per_epoch, *units)
        if at is not None:
            begin = updates("then", "at", at, unit, whole=self.length)
        elif self.length is not None:
            begin = self.length
        else:
            raise ValueError(
                f"then(at=None): {self!r} has no end; give at, when the following one starts."
            )
        length = None if following.length is None else begin + following.length
        return RateSchedule(_joined(self.rate, following.rate, begin), length)

    @remembered
    def warmed_up(
        self, duration: Duration, *, start: Scalar = 0.0, steps_per_epoch: int | None = None
    ) -> "RateSchedule":
        """A linear warm-up to the first value of this schedule, and then all of it.

        Args:
          duration: of the warm-up, above 0; in units, or a fraction of the length that this
            schedule has without it. The length grows by as much.
          start: where the warm-up starts, in first values, at least 0; at 0 the first update
            moves nothing.
          steps_per_epoch: updates in a unit; None is this schedule's own unit.

        Raises:
          TypeError, ValueError: for an argument of the wrong kind or range.
        """
        check_non_negative("warmed_up", start=start)
        unit = _unit("warmed_up", steps_per_epoch, self.steps_per_epoch)
        rising = updates("warmed_up", "duration", duration, unit, whole=self.length)
        length = None if self.length is None else rising + self.length
        ramp = path(Ramp(start, 1.0, rising))

        def warming(t):
            return self.rate(jnp.zeros((), jnp.int32)) * ramp(t)

        return RateSchedule(_joined(warming, self.rate, rising), length)

    def plot(self, steps: int | None = None, ax: Any = None) -> Any:
        """Draws the rate over the updates, and returns the matplotlib axes.

        Args:
          steps: updates to draw, at least 1; None is the length.
          ax: axes to draw on; None makes a figure.

        Raises:
          TypeError, ValueError: for steps of the wrong kind or range, or not given where the
            schedule has no end.
        """
        if steps is None and self.length is None:
            raise ValueError(f"plot(steps=None): {self!r} has no end; give steps.")
        last: Any = self.length if steps is None else steps
        check_steps("plot", steps=last)
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots(layout="constrained")[1]
        counts = np.unique(np.linspace(0, last, min(last, POINTS) + 1).round().astype(np.int32))
        ax.plot(counts, np.asarray(self(counts)), label=repr(self))
        ax.set(xlabel="updates done", ylabel="rate")
        return ax


def _joined(first: Callable, second: Callable, begin: int) -> Callable[[jax.Array], jax.Array]:
    """The first up to `begin`; the second sees no count below 0, whose slopes could be NaN."""
    return lambda t: jnp.where(t < begin, first(t), second(jnp.maximum(t - begin, 0)))


def _unit(function: str, given: int | None, *own: int | None) -> int:
    """The unit that was given, or else the schedule's own, or else one update."""
    unit = next((u for u in (given, *own) if u is not None), 1)
    check_steps(function, steps_per_epoch=unit)
    return unit


def _counted(t: jax.Array) -> jax.Array:
    """The count as an integer, or a float, of at least 32 bits and of at least 0."""
    if jnp.issubdtype(t.dtype, jnp.floating):
        t = t.astype(jnp.promote_types(t.dtype, jnp.float32))
    elif t.dtype.itemsize < 8:
        t = t.astype(jnp.int32)
    return jnp.maximum(t, 0)


def _plain(value: Any) -> Any:
    """A scalar whose value is known as a Python number; a traced one as float32 at least."""
    if isinstance(value, jax.core.Tracer):
        narrow = jnp.issubdtype(value.dtype, jnp.floating) and value.dtype.itemsize < 4
        return value.astype(jnp.float32) if narrow else value
    if isinstance(value, np.generic | np.ndarray | jax.Array) and value.ndim == 0:
        return value.item()
    return value


def _called(make: Callable, arguments: tuple[tuple[str, Any], ...]) -> Any:
    return make(**dict(arguments))
