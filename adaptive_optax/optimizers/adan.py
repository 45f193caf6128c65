"""Adan: Nesterov's momentum with the gradient's change (Xie et al., 2022, arXiv:2208.06677).

    c = g - g_before, 0 at the first step
    mu <- b1 mu + (1 - b1) g        nu <- b3 nu + (1 - b3) (g + b2 c)^2
    change <- b2 change + (1 - b2) c
    d = (mu / (1 - b1^t) + b2 change / (1 - b2^t)) / (sqrt(nu / (1 - b3^t)) + eps)
    p <- (p - learning_rate d) / (1 + learning_rate weight_decay)

Four slots per parameter. When to use it: vision transformers and large batches, at 5 to 10 times
Adam's rate. Departures: none from the authors' code. The paper writes 1 - b for each b here,
starts its averages at the first gradient instead of correcting them, and has eps inside the root.
The factor of `change` is b2: a version with 1 - b2 is in use elsewhere.
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
    scaled,
    zeros_slot,
)
from adaptive_optax.core.checks import (
    check_flag,
)
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.roles import NonNegative, Signed
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.adam import EpsPlacement
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class AdanSlots(NamedTuple):
    """What Adan remembers."""

    mu: Signed  # average gradient
    nu: NonNegative  # average of |g + b2 c|^2
    change: Signed  # average change of the gradient
    before: Signed  # the last gradient


class Adan(Rule):
    """Adan's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the mean change, and its weight in the step, in [0, 1).
      b3: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_placement: as in `scale_by_adam`.

    Raises:
      ValueError: for an option out of range.
    """

    b1: Fraction = 0.98
    b2: Fraction = 0.92
    b3: Fraction = 0.99
    eps: AtLeastZero = 1e-8
    eps_placement: EpsPlacement = "outside"

    Slots = AdanSlots
    scale_invariant = True

    def init(self, p: Any) -> AdanSlots:
        return AdanSlots(zeros_slot(p), real_slot(p), change=zeros_slot(p), before=zeros_slot(p))

    def per_step(self, step: Step) -> Any:
        return (
            step.count == 1,
            bias(self.b1, step.count),
            bias(self.b2, step.count),
            bias(self.b3, step.count),
        )

    def update(self, g: Array, slots: AdanSlots, p: Any, step: Step) -> Moved[AdanSlots]:
        first, mu_bias, change_bias, nu_bias = step.shared
        c = jnp.where(first, jnp.zeros_like(g), g - slots.before)
        mu, change = ema(slots.mu, g, self.b1), ema(slots.change, c, self.b2)
        nu = ema_of_squares(slots.nu, g + scaled(c, self.b2), self.b3)
        ahead = debias(mu, mu_bias) + scaled(debias(change, change_bias), self.b2)
        root = denominator(nu, self.eps, self.eps_placement, correction=nu_bias)
        return divided(ahead, root), AdanSlots(mu, nu, change, g)


def proximal_step(
    d: Array, p: Array, rate: Scalar, decay: Scalar | None, independent: bool
) -> Array:
    """The update that divides the moved parameters by 1 + rate decay."""
    if decay is None:
        return scaled(d, -rate)
    # A sum of one product, times one scalar: shards of any size round these alike.
    return scaled(d + scaled(p, decay), -rate / (1 + scaled(rate, decay)))


class ProximalAdan(Adan):
    """Adan with the paper's weight decay."""

    finish = staticmethod(proximal_step)


scale_by_adan = direction_of(Adan, "scale_by_adan")


@constructor
def adan(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.98,
    b2: Scalar = 0.92,
    b3: Scalar = 0.99,
    eps: Scalar = 1e-8,
    eps_placement: EpsPlacement = "outside",
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    proximal: bool = True,
) -> Transformation:
    """Adan, the direction of `scale_by_adan` with decoupled weight decay.

    Args:
      learning_rate: as in `descend`, like weight_decay and mask.
      b1: as in `scale_by_adan`, like b2, b3, eps and eps_placement.
      b2: decay of the mean change.
      b3: decay of the second moment.
      eps: keeps the denominator off zero.
      eps_placement: where eps stands.
      weight_decay: weight of the decay, at least 0.
      mask: which leaves decay.
      proximal: decays by dividing the moved parameters by 1 + learning_rate weight_decay, as the
        paper does; False decays as `descend` does.

    >>> import jax.numpy as jnp
    >>> tx = adan(0.25, weight_decay=1.0)
    >>> params = jnp.array(1.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(params + updates), 6)
    0.6
    """
    check_flag(proximal=proximal)
    rule = (ProximalAdan if proximal else Adan)(b1, b2, b3, eps, eps_placement)
    return descend(rule, learning_rate, weight_decay=weight_decay, mask=mask)


RECORDS = (
    OptimizerRecord(
        constructor=adan,
        rule=Adan,
        formula="d = (mu_hat + b2 change_hat) / (√nu_hat + eps), nu of (g + b2 c)²",
        when="vision transformers, large batches",
        slots=4,
        learning_rate=0.003,
        presets={"paper": {}},
        variants={"adan-decay": Variant({"weight_decay": 0.1})},
    ),
)
