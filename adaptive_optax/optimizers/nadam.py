"""Nadam: Adam with Nesterov's momentum and a momentum schedule (Dozat, 2016, ICLR workshop).

    m_t = b1 (1 - 0.96^(t momentum_decay) / 2)
    mu <- m_t mu + (1 - m_t) g        nu <- b2 nu + (1 - b2) g^2
    mu_hat = m_{t+1} mu / (1 - m_1 ... m_{t+1}) + (1 - m_t) g / (1 - m_1 ... m_t)
    nu_hat = b2 nu / (1 - b2^t)
    d = mu_hat / (sqrt(nu_hat) + eps)

Two slots per parameter. When to use it: where Adam works and a faster start helps.
Departures: none by default, and the paper's b1 is 0.99. Other libraries drop the factor b2 of
nu_hat (`correct_nu=False`), average with a constant b1 (`scheduled_average=False`, torch), or have
no schedule (`momentum_decay=None`, optax). The product of the m_i is a closed form, not a state.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    bias,
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
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import (
    AboveZero,
    Array,
    AtLeastZero,
    Fraction,
    Mask,
    Scalar,
    Schedule,
)
from adaptive_optax.optimizers.adam import ADAM_MOMENTS, AdamSlots, EpsPlacement
from adaptive_optax.optimizers.record import OptimizerRecord


class NadamScalars(NamedTuple):
    """What all leaves share at one update."""

    decay: Any  # of mu
    of_mu: Any  # weight of mu in mu_hat
    of_g: Any  # weight of g in mu_hat
    nu_bias: Any


_TERMS = 64  # of the series below, whose k-th term is under 2^-k


class Nadam(Rule):
    """Nadam's direction.

    Args:
      b1: momentum that the schedule rises to, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_root: added to nu_hat under the root, at least 0; 0 in the paper.
      eps_placement: as in `scale_by_adam`.
      momentum_decay: speed of the schedule, above 0; None keeps b1 constant.
      scheduled_average: averages the gradient with m_t, as in the paper; False with b1.
      correct_nu: multiplies nu_hat by b2, as in the paper.

    Raises:
      ValueError: for an option out of range.
    """

    b1: Fraction = 0.99
    b2: Fraction = 0.999
    eps: AtLeastZero = 1e-8
    eps_root: AtLeastZero = 0.0
    eps_placement: EpsPlacement = "outside"
    momentum_decay: AboveZero | None = 0.004
    scheduled_average: bool = True
    correct_nu: bool = True

    Slots = AdamSlots
    scale_invariant = True
    moments = ADAM_MOMENTS

    def init(self, p: Any) -> AdamSlots:
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p))

    def momentum(self, t: Array) -> Array:
        """m_t of a real t."""
        if self.momentum_decay is None:
            return scaled(jnp.ones_like(t), self.b1)
        log_q = self.momentum_decay * math.log(0.96)
        return scaled(1 - 0.5 * jnp.exp(scaled(t, log_q)), self.b1)

    def momentum_bias(self, t: Array) -> Array:
        """1 - m_1 ... m_t of a real t.

        With q = 0.96^momentum_decay the product of b1 (1 - q^i / 2) has the logarithm
        t log b1 - sum_k (q/2)^k (1 - q^(k t)) / (k (1 - q^k)), by expanding each factor's
        logarithm.
        """
        if self.momentum_decay is None:
            return -jnp.expm1(scaled(t, log(self.b1)))
        k = jnp.arange(1, _TERMS + 1, dtype=t.dtype)
        powers = scaled(k, self.momentum_decay * math.log(0.96))
        weights = jnp.exp(powers) * 0.5**k / k
        series = jnp.sum(weights * jnp.expm1(t * powers) / jnp.expm1(powers))
        return -jnp.expm1(scaled(t, log(self.b1)) - series)

    def per_step(self, step: Step) -> NadamScalars:
        t = elapsed(step.count)
        now, ahead = self.momentum(t), self.momentum(t + 1)
        return NadamScalars(
            decay=now if self.scheduled_average else self.b1,
            of_mu=ahead / self.momentum_bias(t + 1),
            of_g=(1 - now) / self.momentum_bias(t),
            nu_bias=divided(bias(self.b2, step.count), self.b2 if self.correct_nu else 1.0),
        )

    def update(self, g: Array, slots: AdamSlots, p: Any, step: Step) -> Moved[AdamSlots]:
        at: NadamScalars = step.shared
        mu, nu = ema(slots.mu, g, at.decay), ema_of_squares(slots.nu, g, self.b2)
        mu_hat = scaled(mu, at.of_mu) + scaled(g, at.of_g)
        root = denominator(nu, self.eps, self.eps_placement, self.eps_root, at.nu_bias)
        return divided(mu_hat, root), AdamSlots(mu, nu)


scale_by_nadam = direction_of(Nadam, "scale_by_nadam")


scale_by_nadamw = direction_of(Nadam, "scale_by_nadamw")


@constructor
def nadam(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.99,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: EpsPlacement = "outside",
    momentum_decay: Scalar | None = 0.004,
    scheduled_average: bool = True,
    correct_nu: bool = True,
) -> Transformation:
    """Nadam, the direction of `scale_by_nadam`.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = nadam(1.0, **ao.preset("torch", "nadam"))
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 4)
    -1.0565
    """
    direction = Nadam(
        b1, b2, eps, eps_root, eps_placement, momentum_decay, scheduled_average, correct_nu
    )
    return descend(direction, learning_rate)


@constructor
def nadamw(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.99,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: EpsPlacement = "outside",
    momentum_decay: Scalar | None = 0.004,
    scheduled_average: bool = True,
    correct_nu: bool = True,
    weight_decay: Scalar | Schedule = 1e-2,
    mask: Mask | None = None,
    independent_decay: bool = False,
) -> Transformation:
    """Nadam with decoupled weight decay, as `descend` explains it and `adamw` has it.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = nadamw(1.0, **{**ao.preset("torch", "nadamw"), "weight_decay": 0.1})
    >>> params = jnp.array(2.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 4)
    -1.2565
    """
    direction = Nadam(
        b1, b2, eps, eps_root, eps_placement, momentum_decay, scheduled_average, correct_nu
    )
    return descend(
        direction,
        learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        independent_decay=independent_decay,
    )


RECORDS = (
    OptimizerRecord(
        constructor=nadam,
        rule=Nadam,
        formula="Adam with Nesterov's look ahead and a momentum schedule",
        when="where Adam works and a faster start helps",
        presets={
            "paper": {},
            "torch": {"b1": 0.9, "scheduled_average": False, "correct_nu": False},
            "keras": {
                "b1": 0.9,
                "eps": 1e-07,
                "scheduled_average": False,
                "correct_nu": False,
                "momentum_decay": 1.0,
            },
            "optax": {
                "b1": 0.9,
                "scheduled_average": False,
                "correct_nu": False,
                "momentum_decay": None,
            },
        },
    ),
    OptimizerRecord(
        constructor=nadamw,
        rule=Nadam,
        formula="Nadam's d + weight_decay p",
        when="where adamw works and a faster start helps",
        presets={
            "paper": {"independent_decay": True},
            "torch": {
                "b1": 0.9,
                "scheduled_average": False,
                "correct_nu": False,
                "weight_decay": 0.0,
            },
            "optax": {
                "b1": 0.9,
                "scheduled_average": False,
                "correct_nu": False,
                "momentum_decay": None,
                "weight_decay": 0.0001,
            },
        },
    ),
)
