"""LARS: momentum with one rate a layer (You, Gitman & Ginsburg, 2017, arXiv:1708.03888).

    q = trust_coefficient |p| / (|g| + weight_decay |p| + eps)        the norms of the leaf
    trace <- momentum trace + learning_rate q (g + weight_decay p)
    p <- p - trace

One slot a parameter. When to use it: convolutions in batches of thousands of examples, with a
warm-up. Departures: none; q is 1 where a norm is 0. As in the paper the rate is inside the trace,
so that a change of it takes effect over 1 / (1 - momentum) steps; other rules here have it outside.
optax divides by |g + weight_decay p| instead (`decay_in_norm`).
"""

from typing import NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import norm, scaled, zeros_slot
from adaptive_optax.core.checks import (
    check_flag,
    check_fraction,
    check_non_negative,
    check_params,
    check_rate,
)
from adaptive_optax.core.descend import decaying, downhill
from adaptive_optax.core.leafwise import lift
from adaptive_optax.core.lift import Rule
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation


class LarsSlots(NamedTuple):
    """What LARS remembers."""

    trace: Signed  # undamped sum of steps


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
    check_flag("lars", nesterov=nesterov, decay_in_norm=decay_in_norm)
    check_rate("lars", learning_rate=learning_rate, weight_decay=weight_decay)
    check_fraction("lars", momentum=momentum)
    check_non_negative("lars", trust_coefficient=trust_coefficient, eps=eps)
    decayed = decaying("lars", weight_decay, mask)

    def init(p):
        return LarsSlots(trace=zeros_slot(p))

    def update(g, slots, p, at, rate, decay):
        check_params("lars", "their norms", p)
        step = g if decay is None else g + scaled(p, decay)
        length, size = norm(p), norm(step if decay_in_norm else g)
        if decay is not None and not decay_in_norm:
            size = size + scaled(length, decay)
        size = size + jnp.asarray(eps, size.dtype)
        moves = (length > 0) & (size > 0)
        ratio = scaled(length, trust_coefficient) / jnp.where(moves, size, 1.0)
        step = scaled(scaled(step, jnp.where(moves, ratio, 1.0)), rate)
        trace = scaled(slots.trace, momentum) + step
        return step + scaled(trace, momentum) if nesterov else trace, LarsSlots(trace)

    def extras(call):
        return [(call.rate, decay) for (decay,) in decayed(call)]

    counted = callable(learning_rate) or callable(weight_decay)
    rule = Rule("scale_by_lars", LarsSlots, init, update, extras=extras, counted=counted)
    return lift(rule._replace(learning_rate=learning_rate))


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
    direction = scale_by_lars(
        learning_rate,
        momentum,
        nesterov,
        weight_decay,
        mask,
        trust_coefficient,
        eps,
        decay_in_norm,
    )
    return downhill(direction)
