"""MARS: AdamW on a variance-reduced gradient (Yuan et al., 2024, arXiv:2411.10438).

    c = g + gamma b1 / (1 - b1) (g - before)        before <- g, and 0 at the first step
    c <- c / max(1, |c|)                            the norm of the leaf
    mu <- b1 mu + (1 - b1) c        nu <- b2 nu + (1 - b2) c^2
    d = mu / (1 - b1^t) / (sqrt(nu / (1 - b2^t)) + eps)

Three slots per parameter. When to use it: language models, at about AdamW's rate or more. This is
the published approximation, with the last step's gradient for `before`; the exact form takes the
gradient at the last parameters on this step's examples: `variance_reduced(inner, "mars")`, over
any optimizer. Departures: none from the paper's algorithm; the authors' code leaves leaves of one
axis to AdamW.
"""

from typing import Any, NamedTuple

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
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.roles import Signed, Squares
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord


class MarsSlots(NamedTuple):
    """What MARS remembers."""

    mu: Signed  # average corrected gradient
    nu: Squares  # average of its square
    before: Signed  # the last gradient


class Mars(Rule):
    """MARS's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      gamma: strength of the correction, at least 0; 0 has none.

    Raises:
      ValueError: for an option out of range.
    """

    b1: Fraction = 0.95
    b2: Fraction = 0.99
    eps: AtLeastZero = 1e-8
    gamma: AtLeastZero = 0.025

    Slots = MarsSlots
    elementwise = False
    scale_invariant = True

    def init(self, p: Any) -> MarsSlots:
        return MarsSlots(mu=zeros_slot(p), nu=real_slot(p), before=zeros_slot(p))

    def per_step(self, step: Step) -> Any:
        return bias(self.b1, step.count), bias(self.b2, step.count)

    def update(self, g: Array, slots: MarsSlots, p: Any, step: Step) -> Moved[MarsSlots]:
        mu_bias, nu_bias = step.shared
        c = corrected(g, slots.before, self.gamma * self.b1 / (1 - self.b1))
        mu, nu = ema(slots.mu, c, self.b1), ema_of_squares(slots.nu, c, self.b2)
        root = denominator(nu, self.eps, "outside", correction=nu_bias)
        return divided(debias(mu, mu_bias), root), MarsSlots(mu, nu, g)


scale_by_mars = direction_of(Mars, "scale_by_mars")


@constructor
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
    direction = Mars(b1, b2, eps, gamma)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)


RECORDS = (
    OptimizerRecord(
        constructor=mars,
        rule=Mars,
        formula="Adam on c = g + k (g - g_before), clipped",
        when="language models",
        slots=3,
        learning_rate=0.003,
        presets={"paper": {}},
    ),
)
