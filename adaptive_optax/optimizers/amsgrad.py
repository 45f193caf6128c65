"""AMSGrad: Adam with a second moment that never falls (Reddi, Kale & Kumar, 2018, ICLR).

    mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) g^2
    nu_max <- max(nu_max, nu)
    d = mu / (sqrt(nu_max) + eps)

Three slots per parameter. When to use it: where Adam's rate for rare, large gradients is too large
to converge, such as online convex problems; in deep learning it is seldom better than Adam.
Departures: eps, which the paper has not. Its algorithm corrects no bias, so the first steps are
(1 - b1) / sqrt(1 - b2) times the rate; libraries correct it, after the maximum (torch, Keras) or
before it (optax): `bias_correction`.
"""

from typing import Any, Literal, NamedTuple

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
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.roles import Signed, Squares
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.adam import ADAM_MOMENTS, EpsPlacement
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class AmsgradSlots(NamedTuple):
    """What AMSGrad remembers."""

    mu: Signed  # average gradient
    nu: Squares  # average of |g|^2
    nu_max: Any  # the largest nu so far


class Amsgrad(Rule):
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

    b1: Fraction = 0.9
    b2: Fraction = 0.999
    eps: AtLeastZero = 1e-8
    eps_placement: EpsPlacement = "outside"
    bias_correction: Literal["none", "after", "before"] = "none"

    Slots = AmsgradSlots
    scale_invariant = True
    moments = ADAM_MOMENTS

    def init(self, p: Any) -> AmsgradSlots:
        return AmsgradSlots(mu=zeros_slot(p), nu=real_slot(p), nu_max=real_slot(p))

    def per_step(self, step: Step) -> Any:
        if self.bias_correction == "none":
            return 1.0, 1.0
        return bias(self.b1, step.count), bias(self.b2, step.count)

    def update(self, g: Array, slots: AmsgradSlots, p: Any, step: Step) -> Moved[AmsgradSlots]:
        mu_bias, nu_bias = step.shared
        before = self.bias_correction == "before"
        mu, nu = ema(slots.mu, g, self.b1), ema_of_squares(slots.nu, g, self.b2)
        most = jnp.finfo(nu.dtype).max / 2
        nu_hat = jnp.minimum(debias(nu, nu_bias), most) if before else nu
        nu_max = jnp.maximum(slots.nu_max, nu_hat)
        correction = 1.0 if before else nu_bias
        root = denominator(nu_max, self.eps, self.eps_placement, correction=correction)
        return divided(debias(mu, mu_bias), root), AmsgradSlots(mu, nu, nu_max)


scale_by_amsgrad = direction_of(Amsgrad, "scale_by_amsgrad")


@constructor
def amsgrad(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_placement: EpsPlacement = "outside",
    bias_correction: Literal["none", "after", "before"] = "none",
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
    direction = Amsgrad(b1, b2, eps, eps_placement, bias_correction)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)


RECORDS = (
    OptimizerRecord(
        constructor=amsgrad,
        rule=Amsgrad,
        formula="d = mu / (√nu_max + eps), nu_max = max(nu_max, nu)",
        when="online convex problems with rare large gradients",
        slots=3,
        quadratic_rate=0.02,
        presets={
            "paper": {},
            "torch": {"bias_correction": "after"},
            "keras": {"eps_placement": "uncorrected", "eps": 1e-07, "bias_correction": "after"},
            "optax": {"bias_correction": "before"},
        },
        variants={
            "amsgrad-after": Variant({"bias_correction": "after"}, quadratic_rate=0.05),
            "amsgrad-before": Variant({"bias_correction": "before"}, quadratic_rate=0.05),
        },
    ),
)
