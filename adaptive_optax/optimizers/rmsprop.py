"""RMSProp: each coordinate by its running root mean square (Hinton, 2012, lecture 6e).

    nu <- decay nu + (1 - decay) g^2                plain
    mu <- decay mu + (1 - decay) g                  centered (Graves, 2013, arXiv:1308.0850)
    nu <- decay nu + (1 - decay) / decay (g - mu)^2
    u = g / (sqrt(nu) + eps)
    d = u,  or with momentum  trace <- momentum trace + u,  d = trace

One slot a parameter, one more for `centered` and for `momentum` each. No bias correction: at decay
0.9 the first step is 3.16 learning rates. When to use it: recurrent networks and reinforcement
learning recipes that were tuned with it.
Departures: the centered moment is E[g^2] - E[g]^2 by a recursion that equals it exactly and is
never negative (the subtraction is, and gives NaN), written about the new mean, from which g is
away decay times as far as from the old; Graves has eps inside the root
(`eps_placement="inside"`); the learning rate is applied after the momentum, as torch does.
"""

from typing import NamedTuple

from adaptive_optax.core.arrays import (
    add_square,
    denominator,
    divided,
    ema,
    ema_of_squares,
    real_slot,
    scaled,
    zeros_slot,
)
from adaptive_optax.core.checks import check_choice, check_flag, check_fraction, check_non_negative
from adaptive_optax.core.descend import descend
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.roles import NonNegative, Signed
from adaptive_optax.core.types import Scalar, Schedule, Transformation


class RmspropSlots(NamedTuple):
    """What RMSProp remembers."""

    nu: NonNegative  # average of |g|^2, about the mean where centered
    mu: Signed  # average gradient; None unless centered
    trace: Signed  # sum of scaled gradients; None without momentum


def scale_by_rmsprop(
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    centered: bool = False,
    momentum: Scalar | None = None,
    nesterov: bool = False,
    eps_placement: str = "outside",
) -> Transformation:
    """The gradient over its running root mean square, then momentum.

    Args:
      decay: of the averages, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      centered: takes the second moment about the running mean.
      momentum: share of the trace that is kept, in [0, 1); None keeps no trace.
      nesterov: looks one step of momentum ahead.
      eps_placement: "outside" the root, or "inside".

    Raises:
      ValueError: for an option out of range, or nesterov without momentum.
    """
    check_flag("rmsprop", centered=centered, nesterov=nesterov)
    check_fraction("rmsprop", decay=decay)
    if centered and isinstance(decay, int | float) and decay == 0:
        raise ValueError("rmsprop(decay=0, centered=True): a spread needs decay above 0.")
    check_non_negative("rmsprop", eps=eps)
    check_choice("rmsprop", ("outside", "inside"), eps_placement=eps_placement)
    if momentum is not None:
        check_fraction("rmsprop", momentum=momentum)
    elif nesterov:
        raise ValueError("rmsprop(nesterov=True): give a momentum too, such as momentum=0.9.")

    def init(p):
        return RmspropSlots(
            nu=real_slot(p),
            mu=zeros_slot(p) if centered else None,
            trace=None if momentum is None else zeros_slot(p),
        )

    def update(g, slots, p, count):
        if centered:
            mu = ema(slots.mu, g, decay)
            nu = add_square(scaled(slots.nu, decay), g - mu, (1 - decay) / decay)
        else:
            nu, mu = ema_of_squares(slots.nu, g, decay), None
        u = divided(g, denominator(nu, eps, eps_placement))
        if momentum is None:
            return u, RmspropSlots(nu, mu, None)
        trace = scaled(slots.trace, momentum) + u
        return u + scaled(trace, momentum) if nesterov else trace, RmspropSlots(nu, mu, trace)

    return leafwise(RmspropSlots, init, update)


def scale_by_rms(
    decay: Scalar = 0.9, eps: Scalar = 1e-8, eps_placement: str = "outside"
) -> Transformation:
    """The gradient over its running root mean square: `scale_by_rmsprop` and nothing else."""
    return scale_by_rmsprop(decay, eps, eps_placement=eps_placement)


def rmsprop(
    learning_rate: Scalar | Schedule,
    *,
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    centered: bool = False,
    momentum: Scalar | None = None,
    nesterov: bool = False,
    eps_placement: str = "outside",
) -> Transformation:
    """RMSProp, the direction of `scale_by_rmsprop`.

    >>> import jax.numpy as jnp
    >>> tx = rmsprop(1.0)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 3)
    -3.162
    """
    rule = scale_by_rmsprop(decay, eps, centered, momentum, nesterov, eps_placement)
    return descend(rule, learning_rate)
