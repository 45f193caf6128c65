"""AdaMax: Adam over the largest recent gradient (Kingma & Ba, 2015, arXiv:1412.6980, section 7).

    mu <- b1 mu + (1 - b1) g        nu <- max(b2 nu, |g|)
    d = mu / (1 - b1^t) / nu

Two slots per parameter. When to use it: gradients with rare large values, such as embeddings; no
step exceeds the rate by much. Departures: none by default; d is 0 where nu is. Libraries add an
eps: Keras beside nu, torch and optax to |g| inside the maximum (`eps_placement="inside"`).
"""

from typing import Any, Literal, NamedTuple

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
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.roles import NonNegative, Signed
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord


class AdamaxSlots(NamedTuple):
    """What AdaMax remembers."""

    mu: Signed  # average gradient
    nu: NonNegative  # largest |g|, fading; not squared


class Adamax(Rule):
    """AdaMax's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the maximum, in [0, 1).
      eps: keeps the denominator off zero, at least 0; 0 in the paper.
      eps_placement: "outside" adds it to the maximum, "inside" to |g| before the maximum.

    Raises:
      ValueError: for an option out of range.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.999
    eps: AtLeastZero = 0.0
    eps_placement: Literal["outside", "inside"] = "outside"

    Slots = AdamaxSlots
    scale_invariant = True

    def init(self, p: Any) -> AdamaxSlots:
        return AdamaxSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(self, step: Step) -> Any:
        return bias(self.b1, step.count)

    def update(self, g: Array, slots: AdamaxSlots, p: Any, step: Step) -> Moved[AdamaxSlots]:
        inside, outside = (self.eps, 0.0) if self.eps_placement == "inside" else (0.0, self.eps)
        mu = ema(slots.mu, g, self.b1)
        nu = jnp.maximum(shifted(jnp.abs(g), inside), scaled(slots.nu, self.b2))
        return divided(debias(mu, step.shared), floored(shifted(nu, outside))), AdamaxSlots(mu, nu)


scale_by_adamax = direction_of(Adamax, "scale_by_adamax")


@constructor
def adamax(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 0.0,
    eps_placement: Literal["outside", "inside"] = "outside",
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
    direction = Adamax(b1, b2, eps, eps_placement)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)


RECORDS = (
    OptimizerRecord(
        constructor=adamax,
        rule=Adamax,
        formula="d = mu_hat / nu, nu = max(b2 nu, |g|)",
        when="embeddings; rare large gradients",
        learning_rate=0.002,
        presets={
            "paper": {},
            "torch": {"eps_placement": "inside", "eps": 1e-8},
            "keras": {"eps": 1e-07},
            "optax": {"eps_placement": "inside", "eps": 1e-8},
        },
    ),
)
