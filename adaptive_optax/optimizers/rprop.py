"""Rprop: a step size for each coordinate, from signs of gradients (Riedmiller & Braun, 1993).

    scale <- min(scale eta_plus, largest_step / rate)      if the gradient kept its sign
    scale <- max(scale eta_minus, smallest_step / rate)    if it changed: no move, g counts as 0
    d = scale sign(g)                                      scale starts at 1

Two slots per parameter. When to use it: full-batch training of small nets; the noise of
mini-batches changes signs at random. The learning rate, 1e-3 to 0.1, is only where the steps start.
Source: "A direct adaptive method for faster backpropagation learning", ICNN 1993; without weight
backtracking, as torch has it: iRprop- of Igel & Huesken, 2000. Departures: the step sizes are kept
over the learning rate, so that a schedule or a rate that is set scales all of them.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import real_slot, scaled, zeros_slot
from adaptive_optax.core.checks import caller, check_range
from adaptive_optax.core.lifting import DOWNHILL, lift
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import AboveZero, Array, Fraction, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class RpropSlots(NamedTuple):
    """What Rprop remembers."""

    scale: Any  # the step size over the learning rate
    before: Any  # the last gradient; 0 after a change of sign


class Rprop(Rule):
    """Rprop's step, uphill, with its learning rate in it."""

    eta_minus: Fraction = 0.5
    eta_plus: AboveZero = 1.2
    smallest_step: AboveZero = 1e-6
    largest_step: AboveZero = 50.0

    Slots = RpropSlots
    counted = False
    takes_rate = True
    scale_invariant = True

    def check(self) -> None:
        check_range("be at least 1", lambda x: x >= 1, eta_plus=self.eta_plus)
        bounds = self.smallest_step, self.largest_step
        if all(isinstance(x, int | float) for x in bounds) and bounds[0] > bounds[1]:
            raise ValueError(
                f"{caller()}(smallest_step={bounds[0]}, largest_step={bounds[1]}): smallest_step "
                f"must be at most largest_step."
            )

    def init(self, p: Any) -> RpropSlots:
        return RpropSlots(scale=real_slot(p, 1.0), before=zeros_slot(p))

    def update(self, g: Array, slots: RpropSlots, p: Any, step: Step) -> Moved[RpropSlots]:
        rate = 1.0 if step.learning_rate is None else step.learning_rate
        rate = jnp.asarray(rate, slots.scale.dtype)
        unit = jnp.where(rate > 0, rate, 1.0)
        agrees = (jnp.sign(g) * jnp.sign(slots.before).conj()).real  # no square that vanishes
        grown = jnp.minimum(scaled(slots.scale, self.eta_plus), self.largest_step / unit)
        shrunk = jnp.maximum(scaled(slots.scale, self.eta_minus), self.smallest_step / unit)
        scale = jnp.where(agrees > 0, grown, jnp.where(agrees < 0, shrunk, slots.scale))
        g = jnp.where(agrees < 0, jnp.zeros_like(g), g)
        return scaled(scaled(jnp.sign(g), scale), rate), RpropSlots(scale, g)


@constructor
def scale_by_rprop(
    learning_rate: Scalar | Schedule = 1.0,
    eta_minus: Scalar = 0.5,
    eta_plus: Scalar = 1.2,
    smallest_step: Scalar = 1e-6,
    largest_step: Scalar = 50.0,
) -> Transformation:
    """Rprop's step, uphill, with its learning rate in it.

    Args:
      learning_rate: the first step size, and a factor on all of them; at least 0; a number, an
        array or a schedule.
      eta_minus: factor on the step size after a change of sign, in [0, 1).
      eta_plus: factor on the step size otherwise, at least 1.
      smallest_step: what steps do not shrink below, in units of the parameter, above 0.
      largest_step: what steps do not grow above, in units of the parameter.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.
    """
    rule = Rprop(eta_minus, eta_plus, smallest_step, largest_step)
    return lift(rule, learning_rate=learning_rate).transformation()


@constructor
def rprop(
    learning_rate: Scalar | Schedule,
    *,
    eta_minus: Scalar = 0.5,
    eta_plus: Scalar = 1.2,
    smallest_step: Scalar = 1e-6,
    largest_step: Scalar = 50.0,
) -> Transformation:
    """Rprop, the step of `scale_by_rprop`.

    Args:
      learning_rate: the first step size, and a factor on all of them; at least 0; a number, an
        array or a schedule.
      eta_minus: factor on the step size after a change of sign, in [0, 1).
      eta_plus: factor on the step size otherwise, at least 1.
      smallest_step: what steps do not shrink below, in units of the parameter, above 0.
      largest_step: what steps do not grow above, in units of the parameter.

    >>> import jax.numpy as jnp
    >>> tx = rprop(0.5)
    >>> params = jnp.array(0.0)
    >>> state, steps = tx.init(params), []
    >>> for g in (3.0, 2.0, -1.0, -1.0):
    ...     updates, state = tx.update(jnp.array(g), state, params)
    ...     steps.append(round(float(updates), 4))
    >>> steps
    [-0.5, -0.6, -0.0, 0.3]
    """
    rule = Rprop(eta_minus, eta_plus, smallest_step, largest_step)
    return lift(rule, learning_rate=learning_rate, descent=DOWNHILL).transformation()


RECORDS = (
    OptimizerRecord(
        constructor=rprop,
        rule=Rprop,
        family="sign",
        formula="d = scale sign(g), scale times 1.2 or 0.5 as g keeps its sign or not",
        when="full-batch training of small nets",
        gallery_rate=0.03,
        presets={"paper": {}, "torch": {}},
        variants={"rprop-slow": Variant({"eta_plus": 1.05, "eta_minus": 0.8})},
    ),
)
