"""When a switch goes on from one member to another.

A criterion sees each update after it is made, and says which member makes the next one. These two
go from each member to the one after it and never back; `swats.py` and `bandit.py` have others.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.core.checks import caller
from adaptive_optax.core.feedback import value_of
from adaptive_optax.core.value import Value
from adaptive_optax.wrappers.trend import Trend, followed, no_trend, slope


class Seen(NamedTuple):
    """One update, as a criterion sees it."""

    count: Any  # updates done, with this one; int32, shape ()
    active: Any  # the number of the member that made it, int32, shape ()
    grads: Any
    updates: Any
    extra_args: dict[str, Any]


class Criterion(Value):
    """A rule of switching."""

    onward: ClassVar[bool] = True  # whether each member is followed by the next one only

    def start(self) -> Any:
        """What it remembers before the first update."""
        return None

    def decide(self, memory: Any, seen: Seen) -> tuple[jax.Array, Any]:
        """The number of the member that makes the next update, and what it remembers."""
        raise NotImplementedError

    def begin(self, memory: Any, fresh: Any, params: Any) -> Any:
        """The state of a member that takes over, from its fresh one."""
        return fresh


class Stalled(NamedTuple):
    """What "plateau" remembers."""

    trend: Any  # `Trend` of the window
    windows: Any  # without a fall, one after another; int32, shape ()


class AtSteps(Criterion):
    """Each member until the step of its number."""

    size: int
    at: Sequence[int]

    def check(self) -> None:
        at = self.at
        kinds = [type(x) for x in at] if isinstance(at, Sequence) else [str]
        if bool in kinds or not all(issubclass(kind, int | np.integer) for kind in kinds):
            raise TypeError(f"{caller()}(at={at!r}): at must be a list of steps, integers.")
        steps = [int(x) for x in at]
        rising = steps == sorted(set(steps)) and not (steps and steps[0] < 1)
        if len(steps) != self.size - 1 or not rising:
            raise ValueError(
                f"{caller()}(at={at!r}): at must be {self.size - 1} rising steps of at least 1, "
                f"one for each change between {self.size} members."
            )

    def decide(self, memory: Any, seen: Seen) -> tuple[jax.Array, Any]:
        steps = jnp.asarray([int(x) for x in self.at], jnp.int32)
        return jnp.sum(seen.count >= steps).astype(jnp.int32), memory


class Plateau(Criterion):
    """The next member once the loss has not fallen, beyond its noise, in patience + 1 windows."""

    size: int
    window: int
    patience: int

    def start(self) -> Stalled:
        return Stalled(no_trend(), jnp.zeros((), jnp.int32))

    def decide(self, memory: Stalled, seen: Seen) -> tuple[jax.Array, Stalled]:
        trend = followed(memory.trend, value_of("switch", seen.extra_args))
        found = slope(trend)
        falls = found.slope < -2 * jnp.sqrt(found.variance)
        full = trend.count >= self.window
        windows = jnp.where(full, jnp.where(falls, 0, memory.windows + 1), memory.windows)
        on = (windows > self.patience) & (seen.active < self.size - 1)
        new = Trend(*(jnp.where(full, a, b) for a, b in zip(no_trend(), trend, strict=True)))
        active = seen.active + on.astype(jnp.int32)
        return active, Stalled(new, jnp.where(on, 0, windows))
