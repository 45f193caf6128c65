"""A bandit of optimizers: each is tried now and then, and the best goes on.

A trial gives each member two windows of steps, one on the way out and one on the way back (a, b, c,
c, b, a), so that none has the better half of a loss that falls ever slower:

    score of a member = mean slope of the loss over its two windows
    the best takes over where the active member's score is more than 3 standard errors above it

The first trial starts after as many windows as it takes, and each next after a rest four times as
long: the share of steps spent on trials goes to nothing, and where members differ by noise alone
the first one stays. Departures: explore then commit, as in Garivier, Kaufmann & Lattimore, 2016,
arXiv:1605.08988, with trials repeated since what is best changes as training goes on.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.feedback import value_of
from adaptive_optax.wrappers.switch_criteria import Criterion, Seen
from adaptive_optax.wrappers.trend import Trend, followed, no_trend, slope

LONGER = 4  # each rest than the one before
_MOST = 2**24  # windows, of a rest that can still grow


class BanditState(NamedTuple):
    """What the criterion remembers."""

    trend: Any  # `Trend` of the window
    keeper: Any  # the member that is active between trials, int32, shape ()
    windows: Any  # done of this rest and trial, int32, shape ()
    rest: Any  # windows before this trial, int32, shape ()
    slopes: Any  # of the trial's windows, float32, shape (2 members,)
    variances: Any  # of these


class Bandit(Criterion):
    """The member that makes the loss fall fastest, of those tried."""

    size: int
    window: int

    onward = False

    def start(self) -> BanditState:
        trial = 2 * self.size
        return BanditState(
            trend=no_trend(),
            keeper=jnp.zeros((), jnp.int32),
            windows=jnp.zeros((), jnp.int32),
            rest=jnp.full((), trial, jnp.int32),
            slopes=jnp.zeros(trial, jnp.float32),
            variances=jnp.zeros(trial, jnp.float32),
        )

    def best(self, memory: BanditState) -> Any:
        """The member to keep, after a trial."""
        outward = jnp.arange(self.size)
        back = 2 * self.size - 1 - outward
        scores = (memory.slopes[outward] + memory.slopes[back]) / 2
        errors = (memory.variances[outward] + memory.variances[back]) / 4
        found = jnp.argmin(scores)
        better = scores[0] - scores[found] > 3 * jnp.sqrt(errors[0] + errors[found])
        return (memory.keeper + jnp.where(better, found, 0).astype(jnp.int32)) % self.size

    def decide(self, memory: BanditState, seen: Seen) -> tuple[jax.Array, BanditState]:
        trial = 2 * self.size
        trend = followed(memory.trend, value_of("switch", seen.extra_args))
        full = trend.count >= self.window
        place = memory.windows - memory.rest  # in the trial; below 0 before it
        found = slope(trend)
        here = full & (jnp.arange(trial) == place)
        windows = memory.windows + full.astype(jnp.int32)
        tried = memory._replace(
            trend=Trend(*(jnp.where(full, a, b) for a, b in zip(no_trend(), trend, strict=True))),
            windows=windows,
            slopes=jnp.where(here, found.slope, memory.slopes),
            variances=jnp.where(here, found.variance, memory.variances),
        )
        over = windows >= memory.rest + trial
        tried = tried._replace(
            keeper=jnp.where(over, self.best(tried), memory.keeper),
            windows=jnp.where(over, 0, windows),
            rest=jnp.where(over, jnp.minimum(memory.rest, _MOST) * LONGER, memory.rest),
        )
        place = tried.windows - tried.rest
        offset = jnp.where(place < 0, 0, jnp.minimum(place, trial - 1 - place))
        return ((tried.keeper + offset) % self.size).astype(jnp.int32), tried
