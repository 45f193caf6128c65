"""AMSGrad: Adam with a second moment that never falls (Reddi, Kale & Kumar, 2018, ICLR).

    mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) g^2
    nu_max <- max(nu_max, nu)
    d = mu / (sqrt(nu_max) + eps)

Three slots a parameter. When to use it: where Adam's rate for rare, large gradients is too large
to converge, such as online convex problems; in deep learning it is seldom better than Adam.
Departures: eps, which the paper has not. Its algorithm corrects no bias, so the first steps are
(1 - b1) / sqrt(1 - b2) times the rate; libraries correct it, after the maximum (torch, Keras) or
before it (optax): `bias_correction`.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    bias,
    debias,
    denominator,
    divided,
    ema,
    ema_of_squares,
    real_slot,
    zeros_slot,
)
from adaptive_optax.core.checks import check_choice, check_fraction, check_non_negative
from adaptive_optax.core.descend import descend
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.roles import Signed, Squares
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation
from adaptive_optax.optimizers.adam import EPS_PLACEMENTS


class AmsgradSlots(NamedTuple):
    """What AMSGrad remembers."""

    mu: Signed  # average gradient
    nu: Squares  # average of |g|^2
    nu_max: Any  # the largest nu so far


def scale_by_amsgrad(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_placement: str = "outside",
    bias_correction: str = "none",
) -> Transformation:
    """AMSGrad's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_placement: as in `scale_by_adam`.
      bias_correction: "none", as in the paper; "after" corrects mu and the largest nu; "before"
        corrects mu, and nu before it is compared.

    Raises:
      ValueError: for an option out of range.
    """
    check_fraction("amsgrad", b1=b1, b2=b2)
    check_non_negative("amsgrad", eps=eps)
    check_choice("amsgrad", EPS_PLACEMENTS, eps_placement=eps_placement)
    check_choice("amsgrad", ("none", "after", "before"), bias_correction=bias_correction)
    before, corrected = bias_correction == "before", bias_correction != "none"

    def init(p):
        return AmsgradSlots(mu=zeros_slot(p), nu=real_slot(p), nu_max=real_slot(p))

    def per_step(count):
        return (bias(b1, count), bias(b2, count)) if corrected else (1.0, 1.0)

    def update(g, slots, p, biases):
        mu, nu = ema(slots.mu, g, b1), ema_of_squares(slots.nu, g, b2)
        most = jnp.finfo(nu.dtype).max / 2
        nu_hat = jnp.minimum(debias(nu, biases[1]), most) if before else nu
        nu_max = jnp.maximum(slots.nu_max, nu_hat)
        correction = 1.0 if before else biases[1]
        root = denominator(nu_max, eps, eps_placement, correction=correction)
        return divided(debias(mu, biases[0]), root), AmsgradSlots(mu, nu, nu_max)

    return leafwise(AmsgradSlots, init, update, per_step=per_step)


def amsgrad(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_placement: str = "outside",
    bias_correction: str = "none",
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """AMSGrad, the direction of `scale_by_amsgrad` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = amsgrad(0.1)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 4)
    -0.3162
    """
    direction = scale_by_amsgrad(b1, b2, eps, eps_placement, bias_correction)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)
