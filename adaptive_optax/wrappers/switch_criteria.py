"""When a switch goes on from one member to another.

A criterion sees each update after it is made, and says which member makes the next one. These two
go from each member to the one after it, and back never; `swats.py` and `bandit.py` have others.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from adaptive_optax.core.feedback import value_of
from adaptive_optax.wrappers.trend import Trend, followed, no_trend, slope


class Seen(NamedTuple):
    """One update, as a criterion sees it."""

    count: Any  # updates done, with this one; int32, shape ()
    active: Any  # the number of the member that made it, int32, shape ()
    grads: Any
    updates: Any
    extra_args: dict[str, Any]


class Criterion(NamedTuple):
    """A rule of switching."""

    start: Callable[[], Any]  # -> what it remembers
    decide: Callable[[Any, Seen], tuple[Any, Any]]  # memory, seen -> next member, memory
    onward: bool = True  # whether each member is followed by the next one only
    begin: Callable[..., Any] | None = None  # memory, fresh state of the next member -> state


class Stalled(NamedTuple):
    """What "plateau" remembers."""

    trend: Any  # `Trend` of the window
    windows: Any  # without a fall, one after another; int32, shape ()


def at_steps(members: int, at: Sequence[int]) -> Criterion:
    """Each member until the step of its number.

    Raises:
      TypeError, ValueError: where at is not one rising step for each change.
    """
    kinds = [type(x) for x in at] if isinstance(at, Sequence) else [str]
    if bool in kinds or not all(issubclass(kind, int | np.integer) for kind in kinds):
        raise TypeError(f"switch(at={at!r}): at must be a list of steps, integers.")
    steps = [int(x) for x in at]
    if len(steps) != members - 1 or steps != sorted(set(steps)) or (steps and steps[0] < 1):
        raise ValueError(
            f"switch(at={at!r}): at must be {members - 1} rising steps of at least 1, one for each "
            f"change between {members} members."
        )

    def decide(memory, seen):
        return jnp.sum(seen.count >= jnp.asarray(steps, jnp.int32)).astype(jnp.int32), memory

    return Criterion(lambda: None, decide)


def plateau(members: int, window: int, patience: int) -> Criterion:
    """The next member once the loss has not fallen, beyond its noise, in patience + 1 windows."""

    def decide(memory, seen):
        trend = followed(memory.trend, value_of("switch", seen.extra_args))
        found = slope(trend)
        falls = found.slope < -2 * jnp.sqrt(found.variance)
        full = trend.count >= window
        windows = jnp.where(full, jnp.where(falls, 0, memory.windows + 1), memory.windows)
        on = (windows > patience) & (seen.active < members - 1)
        new = Trend(*(jnp.where(full, a, b) for a, b in zip(no_trend(), trend, strict=True)))
        active = seen.active + on.astype(jnp.int32)
        return active, Stalled(new, jnp.where(on, 0, windows))

    return Criterion(lambda: Stalled(no_trend(), jnp.zeros((), jnp.int32)), decide)
