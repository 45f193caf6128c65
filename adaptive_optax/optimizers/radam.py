"""RAdam: Adam whose rate waits for its variance (Liu et al., 2020, arXiv:1908.03265).

    mu, nu, mu_hat, nu_hat as Adam's
    rho_inf = 2 / (1 - b2) - 1        rho_t = rho_inf - 2 t b2^t / (1 - b2^t)
    r_t = sqrt((rho_t - 4) (rho_t - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho_t))
    d = r_t mu_hat / (sqrt(nu_hat) + eps)   where rho_t > threshold
    d = mu_hat                              before that

Two slots per parameter. When to use it: instead of a warm-up; its first steps (five or so) have the
size of the gradient, unless they are skipped.
Departures: none by default. Libraries rectify from rho_t > 5 on (`threshold=5.0`); the authors'
code does not move before (`before_rectification="skip"`). rho_t is rewritten to keep its digits.
"""

from typing import Any, Literal

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    bias,
    debias,
    denominator,
    divided,
    elapsed,
    ema,
    ema_of_squares,
    log,
    real_slot,
    scaled,
    zeros_slot,
)
from adaptive_optax.core.checks import caller
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Scalar, Schedule
from adaptive_optax.optimizers.adam import ADAM_MOMENTS, AdamSlots, EpsPlacement
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class Radam(Rule):
    """RAdam's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0; the paper has none.
      eps_root: added to nu_hat under the root, at least 0.
      eps_placement: as in `scale_by_adam`.
      threshold: rectifies where rho_t is above it, at least 4, as in the paper.
      before_rectification: "momentum" steps along mu_hat, as in the paper; "skip" does not move.

    Raises:
      ValueError: for an option out of range.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.999
    eps: AtLeastZero = 1e-8
    eps_root: AtLeastZero = 0.0
    eps_placement: EpsPlacement = "outside"
    threshold: AtLeastZero = 4.0
    before_rectification: Literal["momentum", "skip"] = "momentum"

    Slots = AdamSlots
    scale_invariant = True
    moments = ADAM_MOMENTS

    def check(self) -> None:
        if isinstance(self.threshold, int | float) and self.threshold < 4:
            raise ValueError(
                f"{caller()}(threshold={self.threshold}): threshold must be at least 4."
            )

    def init(self, p: Any) -> AdamSlots:
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(self, step: Step) -> Any:
        rho = _length(self.b2, elapsed(step.count))
        return (
            bias(self.b1, step.count),
            bias(self.b2, step.count),
            _rectifier(self.b2, rho),
            rho > self.threshold,
        )

    def update(self, g: Array, slots: AdamSlots, p: Any, step: Step) -> Moved[AdamSlots]:
        mu_bias, nu_bias, rectifier, ready = step.shared
        mu, nu = ema(slots.mu, g, self.b1), ema_of_squares(slots.nu, g, self.b2)
        mu_hat = debias(mu, mu_bias)
        root = denominator(nu, self.eps, self.eps_placement, self.eps_root, nu_bias)
        rectified = divided(scaled(mu_hat, rectifier), root)
        early = mu_hat if self.before_rectification == "momentum" else jnp.zeros_like(mu_hat)
        return jnp.where(ready, rectified, early), AdamSlots(mu, nu)


scale_by_radam = direction_of(Radam, "scale_by_radam")


@constructor
def radam(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: EpsPlacement = "outside",
    threshold: Scalar = 4.0,
    before_rectification: Literal["momentum", "skip"] = "momentum",
) -> Transformation:
    """RAdam, the direction of `scale_by_radam`.

    >>> import jax.numpy as jnp
    >>> tx = radam(1.0, threshold=5.0)
    >>> params = jnp.array(0.0)
    >>> state = tx.init(params)
    >>> for _ in range(6):
    ...     updates, state = tx.update(jnp.array(3.0), state, params)
    >>> round(float(updates), 5)
    -0.02582
    """
    direction = Radam(b1, b2, eps, eps_root, eps_placement, threshold, before_rectification)
    return descend(direction, learning_rate)


def _length(b2: Scalar, t: Array) -> Array:
    """rho_t, the length of the simple moving average that nu amounts to.

    The formula subtracts two numbers of the size of rho_inf. With x = -log b2 and Langevin's
    L(z) = coth z - 1/z it is t + L(x/2) - t L(t x/2), which does not cancel while t x is small.
    """
    x = scaled(-jnp.ones_like(t), log(b2))
    early = t + _langevin(jnp.minimum(x / 2, 1.0)) - t * _langevin(jnp.minimum(t * x / 2, 1.0))
    late = 1 / jnp.tanh(x / 2) - 2 * t / jnp.expm1(t * x)
    return jnp.where(t * x < 2, early, late)


def _langevin(z: Array) -> Array:
    """Coth z - 1/z for 0 <= z <= 1, by its continued fraction."""
    tail = jnp.zeros_like(z)
    for odd in range(19, 3, -2):
        tail = z * z / (odd + tail)
    return z / (3 + tail)


def _rectifier(b2: Scalar, rho: Array) -> Array:
    """r_t, or 1 where it is not defined."""
    last = divided(scaled(jnp.ones_like(rho), 1 + b2), 1 - b2)
    ratio = (rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)
    return jnp.sqrt(jnp.where(rho > 4, ratio, 1.0))


RECORDS = (
    OptimizerRecord(
        constructor=radam,
        rule=Radam,
        formula="Adam times a rectifier r(t); mu_hat before it is defined",
        when="instead of tuning a warm-up",
        presets={
            "paper": {},
            "torch": {"eps_placement": "uncorrected", "threshold": 5.0},
            "optax": {"threshold": 5.0},
        },
        variants={"radam-skip": Variant({"before_rectification": "skip"})},
    ),
)
