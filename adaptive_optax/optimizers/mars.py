"""MARS: AdamW on a variance-reduced gradient (Yuan et al., 2024, arXiv:2411.10438).

    c = g + gamma b1 / (1 - b1) (g - before)        before <- g, and 0 at the first step
    c <- c / max(1, |c|)                            the norm of the leaf
    mu <- b1 mu + (1 - b1) c        nu <- b2 nu + (1 - b2) c^2
    d = mu / (1 - b1^t) / (sqrt(nu / (1 - b2^t)) + eps)

Three slots a parameter. When to use it: language models, at about AdamW's rate or more. This is
the published approximation, with the last step's gradient for `before`; the exact form takes the
gradient at the last parameters on this step's examples: `variance_reduced(inner, "mars")`, over
any optimizer. Departures: none from the paper's algorithm; the authors' code leaves leaves of one
axis to AdamW.
"""

from typing import NamedTuple

from adaptive_optax.core.arrays import (
    bias,
    corrected,
    debias,
    denominator,
    divided,
    ema,
    ema_of_squares,
    real_slot,
    zeros_slot,
)
from adaptive_optax.core.checks import check_fraction, check_non_negative
from adaptive_optax.core.descend import descend
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.roles import Signed, Squares
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation


class MarsSlots(NamedTuple):
    """What MARS remembers."""

    mu: Signed  # average corrected gradient
    nu: Squares  # average of its square
    before: Signed  # the last gradient


def scale_by_mars(
    b1: Scalar = 0.95, b2: Scalar = 0.99, eps: Scalar = 1e-8, gamma: Scalar = 0.025
) -> Transformation:
    """MARS's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      gamma: strength of the correction, at least 0; 0 has none.

    Raises:
      ValueError: for an option out of range.
    """
    check_fraction("mars", b1=b1, b2=b2)
    check_non_negative("mars", eps=eps, gamma=gamma)

    def init(p):
        return MarsSlots(mu=zeros_slot(p), nu=real_slot(p), before=zeros_slot(p))

    def per_step(count):
        return bias(b1, count), bias(b2, count)

    def update(g, slots, p, biases):
        c = corrected(g, slots.before, gamma * b1 / (1 - b1))
        mu, nu = ema(slots.mu, c, b1), ema_of_squares(slots.nu, c, b2)
        root = denominator(nu, eps, "outside", correction=biases[1])
        return divided(debias(mu, biases[0]), root), MarsSlots(mu, nu, g)

    return leafwise(MarsSlots, init, update, per_step=per_step)


def mars(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.95,
    b2: Scalar = 0.99,
    eps: Scalar = 1e-8,
    gamma: Scalar = 0.025,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """MARS, the direction of `scale_by_mars` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = mars(0.25)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 6)
    -0.25
    """
    direction = scale_by_mars(b1, b2, eps, gamma)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)
