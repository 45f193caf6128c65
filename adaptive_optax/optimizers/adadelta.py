"""AdaDelta: steps in the units of the parameters (Zeiler, 2012, arXiv:1212.5701).

    nu <- rho nu + (1 - rho) g^2
    d = sqrt(nu_step + eps) / sqrt(nu + eps) g
    nu_step <- rho nu_step + (1 - rho) d^2

Two slots per parameter. It needs no learning rate, so that its default is 1. When to use it: rarely
today; it starts slowly (the first step is about sqrt(eps / (1 - rho))) and has no rate to tune.
Departures: a learning rate, which multiplies the step but not nu_step, as in torch and optax.
"""

from typing import Any, NamedTuple

from adaptive_optax.core.arrays import denominator, ema_of_squares, floored, real_slot, scaled
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.roles import NonNegative
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord


class AdadeltaSlots(NamedTuple):
    """What AdaDelta remembers."""

    nu: NonNegative  # average of |g|^2
    nu_step: NonNegative  # average of |d|^2


class Adadelta(Rule):
    """The gradient times the ratio of the root mean squares of past steps and gradients.

    Args:
      rho: decay of both averages, in [0, 1).
      eps: under both roots; sets the first steps. At least 0, and 0 never leaves the start.

    Raises:
      ValueError: for an option out of range.
    """

    rho: Fraction = 0.95
    eps: AtLeastZero = 1e-06

    Slots = AdadeltaSlots
    scale_invariant = True

    def init(self, p: Any) -> AdadeltaSlots:
        return AdadeltaSlots(nu=real_slot(p), nu_step=real_slot(p))

    def update(self, g: Array, slots: AdadeltaSlots, p: Any, step: Step) -> Moved[AdadeltaSlots]:
        nu = ema_of_squares(slots.nu, g, self.rho)
        # Floored, though it is so already: XLA then divides, once. Of a bare root it makes rsqrt,
        # and arrays of both roots, which the step and its average each read.
        root = floored(denominator(nu, self.eps, "inside"))
        d = scaled(g, denominator(slots.nu_step, self.eps, "inside") / root)
        return d, AdadeltaSlots(nu, ema_of_squares(slots.nu_step, d, self.rho))


scale_by_adadelta = direction_of(Adadelta, "scale_by_adadelta")


@constructor
def adadelta(
    learning_rate: Scalar | Schedule = 1.0, *, rho: Scalar = 0.95, eps: Scalar = 1e-6
) -> Transformation:
    """AdaDelta, the direction of `scale_by_adadelta`; descends with its defaults.

    >>> import jax.numpy as jnp
    >>> tx = adadelta(rho=0.9)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 6)
    -0.003162
    """
    return descend(Adadelta(rho, eps), learning_rate)


RECORDS = (
    OptimizerRecord(
        constructor=adadelta,
        rule=Adadelta,
        formula="d = g √(nu_step + eps) / √(nu + eps)",
        when="no learning rate to set; starts slowly",
        learning_rate=1.0,
        quadratic_rate=1.0,
        gallery_rate=10.0,
        presets={
            "paper": {},
            "torch": {"rho": 0.9},
            "keras": {"eps": 1e-07},
            "optax": {"rho": 0.9},
        },
    ),
)
