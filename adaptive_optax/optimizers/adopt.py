"""ADOPT: Adam that converges for any b2 (Taniguchi et al., 2024, arXiv:2411.02853).

    t = 1:  nu = g^2, and no step
    u = clip(g / max(sqrt(nu), eps), +- (t - 1)^clip_power)
    mu <- b1 mu + (1 - b1) u        d = mu        then nu <- b2 nu + (1 - b2) g^2

The gradient is divided by the moment that does not hold it yet, and before the average. Two slots
a parameter. When to use it: as Adam, where b2 should not be tuned, and for rare large gradients.
Departures: none. The clip is of the paper's revision of November 2024; `clip_power=None` is the
first version.
"""

from typing import Any

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    add_square,
    clipped,
    divided,
    elapsed,
    ema,
    ema_of_squares,
    real_slot,
    root,
    zeros_slot,
)
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.adam import AdamSlots
from adaptive_optax.optimizers.record import OptimizerRecord


class Adopt(Rule):
    """ADOPT's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: the least denominator, at least 0.
      clip_power: the normalized gradient is at most (t - 1)^clip_power, at least 0; None does not
        clip it.

    Raises:
      ValueError: for an option out of range.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.9999
    eps: AtLeastZero = 1e-06
    clip_power: AtLeastZero | None = 0.25

    Slots = AdamSlots
    scale_invariant = True

    def init(self, p: Any) -> AdamSlots:
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(self, step: Step) -> Any:
        done = elapsed(jnp.maximum(step.count - 1, 1))
        return step.count == 1, None if self.clip_power is None else done**self.clip_power

    def waits(self, step: Step) -> Any:
        return step.shared[0]

    def update(self, g: Array, slots: AdamSlots, p: Any, step: Step) -> Moved[AdamSlots]:
        first, limit = step.shared
        u = divided(g, jnp.maximum(root(slots.nu), jnp.asarray(self.eps, slots.nu.dtype)))
        u = u if limit is None else clipped(u, limit)
        u = jnp.where(first, jnp.zeros_like(g), u)
        mu = ema(slots.mu, u, self.b1)
        start = add_square(jnp.zeros_like(slots.nu), g)
        nu = jnp.where(first, start, ema_of_squares(slots.nu, g, self.b2))
        return mu, AdamSlots(mu, nu)


scale_by_adopt = direction_of(Adopt, "scale_by_adopt")


@constructor
def adopt(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.9999,
    eps: Scalar = 1e-6,
    clip_power: Scalar | None = 0.25,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """ADOPT, the direction of `scale_by_adopt` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = adopt(1.0)
    >>> params = jnp.array(0.0)
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     updates, state = tx.update(jnp.array(3.0), state, params)
    >>> round(float(updates), 6)
    -0.1
    """
    direction = Adopt(b1, b2, eps, clip_power)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)


RECORDS = (
    OptimizerRecord(
        constructor=adopt,
        rule=Adopt,
        formula="mu of clip(g / √nu), nu without g yet",
        when="as Adam, whatever b2 is",
        presets={"paper": {}, "optax": {}},
    ),
)
