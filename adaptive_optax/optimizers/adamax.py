"""AdaMax: Adam over the largest recent gradient (Kingma & Ba, 2015, arXiv:1412.6980, section 7).

    mu <- b1 mu + (1 - b1) g        nu <- max(b2 nu, |g|)
    d = mu / (1 - b1^t) / nu

Two slots a parameter. When to use it: gradients with rare large values, such as embeddings; no
step exceeds the rate by much. Departures: none by default; d is 0 where nu is. Libraries add an
eps: Keras beside nu, torch and optax to |g| inside the maximum (`eps_placement="inside"`).
"""

from typing import NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    bias,
    debias,
    divided,
    ema,
    floored,
    real_slot,
    scaled,
    shifted,
    zeros_slot,
)
from adaptive_optax.core.checks import check_choice, check_fraction, check_non_negative
from adaptive_optax.core.descend import descend
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.roles import NonNegative, Signed
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation


class AdamaxSlots(NamedTuple):
    """What AdaMax remembers."""

    mu: Signed  # average gradient
    nu: NonNegative  # largest |g|, fading; not squared


def scale_by_adamax(
    b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 0.0, eps_placement: str = "outside"
) -> Transformation:
    """AdaMax's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the maximum, in [0, 1).
      eps: keeps the denominator off zero, at least 0; 0 in the paper.
      eps_placement: "outside" adds it to the maximum, "inside" to |g| before the maximum.

    Raises:
      ValueError: for an option out of range.
    """
    check_fraction("adamax", b1=b1, b2=b2)
    check_non_negative("adamax", eps=eps)
    check_choice("adamax", ("outside", "inside"), eps_placement=eps_placement)
    inside, outside = (eps, 0.0) if eps_placement == "inside" else (0.0, eps)

    def init(p):
        return AdamaxSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(count):
        return bias(b1, count)

    def update(g, slots, p, mu_bias):
        mu = ema(slots.mu, g, b1)
        nu = jnp.maximum(shifted(jnp.abs(g), inside), scaled(slots.nu, b2))
        return divided(debias(mu, mu_bias), floored(shifted(nu, outside))), AdamaxSlots(mu, nu)

    return leafwise(AdamaxSlots, init, update, per_step=per_step)


def adamax(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 0.0,
    eps_placement: str = "outside",
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """AdaMax, the direction of `scale_by_adamax` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = adamax(0.25)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 6)
    -0.25
    """
    direction = scale_by_adamax(b1, b2, eps, eps_placement)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)
