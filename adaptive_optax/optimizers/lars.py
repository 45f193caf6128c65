"""LARS: momentum with one rate a layer (You, Gitman & Ginsburg, 2017, arXiv:1708.03888).

    q = trust_coefficient |p| / (|g| + weight_decay |p| + eps)        the norms of the leaf
    trace <- momentum trace + learning_rate q (g + weight_decay p)
    p <- p - trace

One slot per parameter. When to use it: convolutions in batches of thousands of examples, with a
warm-up. Departures: none; q is 1 where a norm is 0. As in the paper the rate is inside the trace,
so that a change of it takes effect over 1 / (1 - momentum) steps; other rules here have it outside.
optax divides by |g + weight_decay p| instead (`decay_in_norm`).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import norm, scaled, zeros_slot
from adaptive_optax.core.checks import (
    check_params,
)
from adaptive_optax.core.lifting import DOWNHILL, lift
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord


class LarsSlots(NamedTuple):
    """What LARS remembers."""

    trace: Signed  # undamped sum of steps


class Lars(Rule):
    """LARS's step, uphill, with its learning rate and weight decay in it.

    Args:
      momentum: share of the trace that is kept, in [0, 1).
      nesterov: looks one step of momentum ahead.
      trust_coefficient: share of |p| that a step of rate 1 has, at least 0.
      eps: added to the denominator of q, at least 0.
      decay_in_norm: takes |g + weight_decay p| for the denominator.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """

    momentum: Fraction = 0.9
    nesterov: bool = False
    trust_coefficient: AtLeastZero = 1e-3
    eps: AtLeastZero = 0.0
    decay_in_norm: bool = False

    Slots = LarsSlots
    counted = False
    takes_rate = True
    takes_decay = True
    elementwise = False
    scale_invariant = True

    def init(self, p: Any) -> LarsSlots:
        return LarsSlots(trace=zeros_slot(p))

    def update(self, g: Array, slots: LarsSlots, p: Any, step: Step) -> Moved[LarsSlots]:
        check_params("lars", "their norms", p)
        decay = step.decay
        u = g if decay is None else g + scaled(p, decay)
        length, size = norm(p), norm(u if self.decay_in_norm else g)
        if decay is not None and not self.decay_in_norm:
            size = size + scaled(length, decay)
        size = size + jnp.asarray(self.eps, size.dtype)
        moves = (length > 0) & (size > 0)
        ratio = scaled(length, self.trust_coefficient) / jnp.where(moves, size, 1.0)
        u = scaled(scaled(u, jnp.where(moves, ratio, 1.0)), step.learning_rate)
        trace = scaled(slots.trace, self.momentum) + u
        return u + scaled(trace, self.momentum) if self.nesterov else trace, LarsSlots(trace)


@constructor
def scale_by_lars(
    learning_rate: Scalar | Schedule = 1.0,
    momentum: Scalar = 0.9,
    nesterov: bool = False,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    trust_coefficient: Scalar = 1e-3,
    eps: Scalar = 0.0,
    decay_in_norm: bool = False,
) -> Transformation:
    """LARS's step, uphill, with its learning rate and weight decay in it.

    Args:
      learning_rate: at least 0; a number, an array or a schedule. 1 leaves it to what follows.
      momentum: share of the trace that is kept, in [0, 1).
      nesterov: looks one step of momentum ahead.
      weight_decay: weight of p beside g, at least 0; a number, an array or a schedule.
      mask: which leaves decay, as in `descend`.
      trust_coefficient: share of |p| that a step of rate 1 has, at least 0.
      eps: added to the denominator of q, at least 0.
      decay_in_norm: takes |g + weight_decay p| for the denominator.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """
    return lift(
        Lars(momentum, nesterov, trust_coefficient, eps, decay_in_norm),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    ).transformation()


@constructor
def lars(
    learning_rate: Scalar | Schedule,
    *,
    momentum: Scalar = 0.9,
    nesterov: bool = False,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    trust_coefficient: Scalar = 1e-3,
    eps: Scalar = 0.0,
    decay_in_norm: bool = False,
) -> Transformation:
    """LARS, the step of `scale_by_lars`.

    >>> import jax.numpy as jnp
    >>> tx = lars(1.0, trust_coefficient=0.1)
    >>> params = jnp.array([3.0, 4.0])
    >>> updates, _ = tx.update(jnp.array([2.0, 0.0]), tx.init(params), params)
    >>> [round(float(u), 4) for u in updates]
    [-0.5, -0.0]
    """
    return lift(
        Lars(momentum, nesterov, trust_coefficient, eps, decay_in_norm),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        descent=DOWNHILL,
    ).transformation()


RECORDS = (
    OptimizerRecord(
        constructor=lars,
        rule=Lars,
        family="layer",
        formula="momentum of g c |p| / |g| by leaf",
        when="convolutions in batches of thousands, with a warm-up",
        slots=1,
        learning_rate=3.0,
        quadratic_rate=1.0,
        gallery_rate=1.0,
        presets={"paper": {}, "optax": {"decay_in_norm": True}},
    ),
)
