"""AdaBelief: Adam over the spread about its mean (Zhuang et al., 2020, arXiv:2010.07468).

    mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) (g - mu)^2 + eps_root
    d = mu / (1 - b1^t) / (sqrt(nu / (1 - b2^t)) + eps)

Steps are long where the gradient is steady, short where it changes. Two slots per parameter. When
to use it: convolutions and GANs, as the paper does; where gradients hardly vary its steps grow up
to |g| sqrt((1 - b2) / eps_root) times the rate, so that eps_root is a choice, not a detail.
Departures: none. The authors' rectification is RAdam's and not part of the paper's algorithm;
later they and optax take 1e-16 for the paper's 1e-8.
"""

from typing import Any

from adaptive_optax.core.arrays import (
    add_square,
    bias,
    debias,
    denominator,
    divided,
    ema,
    real_slot,
    scaled,
    shifted,
    zeros_slot,
)
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.adam import AdamSlots
from adaptive_optax.optimizers.record import OptimizerRecord


class Adabelief(Rule):
    """AdaBelief's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the spread, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_root: added to nu at every step, where it collects to eps_root / (1 - b2), at least 0;
        None takes eps, the paper's one epsilon.

    Raises:
      ValueError: for an option out of range.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.999
    eps: AtLeastZero = 1e-8
    eps_root: AtLeastZero | None = None

    Slots = AdamSlots
    scale_invariant = True

    def init(self, p: Any) -> AdamSlots:
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(self, step: Step) -> Any:
        return bias(self.b1, step.count), bias(self.b2, step.count)

    def update(self, g: Array, slots: AdamSlots, p: Any, step: Step) -> Moved[AdamSlots]:
        mu_bias, nu_bias = step.shared
        mu = ema(slots.mu, g, self.b1)
        inside = self.eps if self.eps_root is None else self.eps_root
        nu = add_square(shifted(scaled(slots.nu, self.b2), inside), g - mu, 1 - self.b2)
        root = denominator(nu, self.eps, "outside", correction=nu_bias)
        return divided(debias(mu, mu_bias), root), AdamSlots(mu, nu)


scale_by_adabelief = direction_of(Adabelief, "scale_by_adabelief")


@constructor
def adabelief(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar | None = None,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """AdaBelief, the direction of `scale_by_adabelief` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = adabelief(0.25)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(4.0), tx.init(params), params)
    >>> round(float(updates), 4)
    -0.2778
    """
    direction = Adabelief(b1, b2, eps, eps_root)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)


RECORDS = (
    OptimizerRecord(
        constructor=adabelief,
        rule=Adabelief,
        formula="Adam with nu of (g - mu)²",
        when="convolutions, GANs; mind eps_root where gradients are steady",
        quadratic_rate=0.01,
        presets={"paper": {}, "optax": {"eps": 1e-16, "eps_root": 1e-16}},
    ),
)
