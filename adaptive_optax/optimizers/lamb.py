"""LAMB: Adam with one rate a layer (You et al., 2020, arXiv:1904.00962).

    r = mu_hat / (sqrt(nu_hat) + eps) + weight_decay p          mu_hat, nu_hat as Adam's
    d = phi(|p|) / |r| r                                        the norms of the leaf

Every leaf moves by the learning rate times its own norm. Two slots per parameter. When to use it:
batches of tens of thousands of examples. Departures: none; phi is the identity or a clip
(`norm_bounds`), and the ratio is 1 where a norm is 0, such as that of a bias at its start.
"""

from typing import Any

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    bias,
    debias,
    denominator,
    divided,
    ema,
    ema_of_squares,
    norm,
    real_slot,
    scaled,
    zeros_slot,
)
from adaptive_optax.core.checks import (
    caller,
    check_numbers,
    check_params,
)
from adaptive_optax.core.lifting import COUPLED, lift
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.adam import ADAM_MOMENTS, AdamSlots
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class Lamb(Rule):
    """LAMB's direction, which holds its weight decay: `step.decay`.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_root: added to nu_hat under the root, at least 0; 0 in the paper.
      norm_bounds: least and largest |p| that counts, 0 <= least <= largest; None has no bounds.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.999
    eps: AtLeastZero = 1e-6
    eps_root: AtLeastZero = 0.0
    norm_bounds: tuple[float, float] | None = None

    Slots = AdamSlots
    takes_decay = True
    elementwise = False
    scale_invariant = True
    moments = ADAM_MOMENTS

    def check(self) -> None:
        if self.norm_bounds is not None:
            check_numbers(2, norm_bounds=self.norm_bounds)
            if not 0 <= self.norm_bounds[0] <= self.norm_bounds[1]:
                raise ValueError(
                    f"{caller()}(norm_bounds={self.norm_bounds}): norm_bounds must be (least, "
                    f"largest) with 0 <= least <= largest."
                )

    def init(self, p: Any) -> AdamSlots:
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(self, step: Step) -> tuple[Array, Array]:
        return bias(self.b1, step.count), bias(self.b2, step.count)

    def update(self, g: Array, slots: AdamSlots, p: Any, step: Step) -> Moved[AdamSlots]:
        check_params("lamb", "their norms", p)
        mu_bias, nu_bias = step.shared
        mu, nu = ema(slots.mu, g, self.b1), ema_of_squares(slots.nu, g, self.b2)
        root = denominator(nu, self.eps, "outside", self.eps_root, correction=nu_bias)
        r = divided(debias(mu, mu_bias), root)
        r = r if step.decay is None else r + scaled(p, step.decay)
        length, size = norm(p), norm(r)
        if self.norm_bounds is not None:
            length = jnp.clip(length, *self.norm_bounds)
        moves = (length > 0) & (size > 0)
        ratio = jnp.where(moves, length / jnp.where(moves, size, 1.0), 1.0)
        return scaled(r, ratio), AdamSlots(mu, nu)


@constructor
def scale_by_lamb(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-6,
    eps_root: Scalar = 0.0,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    norm_bounds: tuple[float, float] | None = None,
) -> Transformation:
    """LAMB's direction, which holds its weight decay.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_root: added to nu_hat under the root, at least 0; 0 in the paper.
      weight_decay: weight of p in r, at least 0; a number, an array or a schedule.
      mask: which leaves decay, as in `descend`.
      norm_bounds: least and largest |p| that counts, 0 <= least <= largest; None has no bounds.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """
    rule = Lamb(b1, b2, eps, eps_root, norm_bounds)
    return lift(rule, weight_decay=weight_decay, mask=mask).transformation()


@constructor
def lamb(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-6,
    eps_root: Scalar = 0.0,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    norm_bounds: tuple[float, float] | None = None,
) -> Transformation:
    """LAMB, the direction of `scale_by_lamb`; its decay is part of what the ratio scales.

    >>> import jax.numpy as jnp
    >>> tx = lamb(0.1)
    >>> params = jnp.array([3.0, 4.0])
    >>> updates, _ = tx.update(jnp.array([1.0, 0.0]), tx.init(params), params)
    >>> [round(float(u), 4) for u in updates]
    [-0.5, -0.0]
    """
    return lift(
        Lamb(b1, b2, eps, eps_root, norm_bounds),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        descent=COUPLED,
    ).transformation()


RECORDS = (
    OptimizerRecord(
        constructor=lamb,
        rule=Lamb,
        family="layer",
        formula="r = Adam's d + weight_decay p, d = r |p| / |r| by leaf",
        when="batches of tens of thousands",
        learning_rate=0.01,
        quadratic_rate=0.01,
        presets={"paper": {}, "keras": {"eps": 1e-07}, "optax": {}},
        variants={"lamb-decay": Variant({"weight_decay": 0.1})},
    ),
)
