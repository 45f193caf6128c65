"""Yogi: Adam whose second moment moves additively (Zaheer et al., 2018, NeurIPS).

    mu <- b1 mu + (1 - b1) g        nu <- nu - (1 - b2) sign(nu - g^2) g^2
    d = mu / (sqrt(nu) + eps)

A small gradient after large ones lowers nu by its own square only, so that the rate rises slowly.
Two slots per parameter. When to use it: sparse gradients, where Adam forgets too fast. Departures:
none. Others correct the biases of mu and nu (`bias_correction`), or start nu at 1e-6
(`initial_accumulator_value`); optax starts mu there as well, which moves parameters whose
gradients are 0, and is not offered.
"""

from typing import Any

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    add_square,
    bias,
    debias,
    denominator,
    divided,
    ema,
    real_slot,
    scaled,
    zeros_slot,
)
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.adam import AdamSlots
from adaptive_optax.optimizers.record import OptimizerRecord


class Yogi(Rule):
    """Yogi's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: 1 - b2 is the share of |g|^2 that nu moves by, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      initial_accumulator_value: start of nu, at least 0.
      bias_correction: divides mu by 1 - b1^t and nu by 1 - b2^t, which the paper does not.

    Raises:
      ValueError: for an option out of range.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.999
    eps: AtLeastZero = 0.001
    initial_accumulator_value: AtLeastZero = 0.0
    bias_correction: bool = False

    Slots = AdamSlots
    scale_invariant = True

    def init(self, p: Any) -> AdamSlots:
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p, self.initial_accumulator_value))

    def per_step(self, step: Step) -> Any:
        if not self.bias_correction:
            return 1.0, 1.0
        return bias(self.b1, step.count), bias(self.b2, step.count)

    def update(self, g: Array, slots: AdamSlots, p: Any, step: Step) -> Moved[AdamSlots]:
        mu_bias, nu_bias = step.shared
        mu, square = ema(slots.mu, g, self.b1), add_square(jnp.zeros_like(slots.nu), g)
        change = scaled(jnp.sign(square - slots.nu) * square, 1 - self.b2)
        nu = slots.nu + jnp.minimum(change, jnp.finfo(square.dtype).max / 2 - slots.nu)
        root = denominator(nu, self.eps, "outside", correction=nu_bias)
        return divided(debias(mu, mu_bias), root), AdamSlots(mu, nu)


scale_by_yogi = direction_of(Yogi, "scale_by_yogi")


@constructor
def yogi(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-3,
    initial_accumulator_value: Scalar = 0.0,
    bias_correction: bool = False,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """Yogi, the direction of `scale_by_yogi` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = yogi(0.01, eps=0.0)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 5)
    -0.03162
    """
    direction = Yogi(b1, b2, eps, initial_accumulator_value, bias_correction)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)


RECORDS = (
    OptimizerRecord(
        constructor=yogi,
        rule=Yogi,
        formula="d = mu / (√nu + eps), nu -= (1-b2) sign(nu - g²) g²",
        when="sparse gradients",
        learning_rate=0.003,
        quadratic_rate=0.01,
        presets={"paper": {}},
    ),
)
