"""Prodigy: Adam that finds its own rate (Mishchenko & Defazio, 2024, arXiv:2306.06101).

    s = learning_rate d                             d, the distance to the solution, first d0
    r <- b3 r + d / d0 s <g, p_0 - p>               over the whole tree
    grad_sum <- b3 grad_sum + d / d0 s g
    mu <- b1 mu + (1 - b1) d g        nu <- b2 nu + (1 - b2) d^2 g^2
    d <- max(d, d_coef r / |grad_sum|_1)
    p <- p - s (mu / (sqrt(nu) + d eps) + weight_decay p)        s of the old d

Four slots per parameter. When to use it: where no learning rate is to be tuned; keep the rate at 1
and give it a schedule such as a cosine. The first steps have the size d0: where per parameter is so
large, or its dtype so narrow, that it cannot move by that, d does not grow; raise d0.
Departures: none from the authors' code, which scales r and grad_sum by 1 / d0 and leaves out
(1 - b3), both without effect, and multiplies eps by the new d. `bias_correction` makes s of
learning_rate d sqrt(1 - b2^t) / (1 - b1^t), as optax always does.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    bias,
    denominator,
    divided,
    ema,
    ema_of_squares,
    inner_product,
    real_slot,
    scaled,
    wide,
    zeros_slot,
)
from adaptive_optax.core.checks import (
    check_fraction,
)
from adaptive_optax.core.lifting import DOWNHILL, lift
from adaptive_optax.core.roles import Signed, Squares
from adaptive_optax.core.rule import Moved, Step, TreeRule
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
from adaptive_optax.optimizers.record import OptimizerRecord


class ProdigyShared(NamedTuple):
    """What the tree shares."""

    distance: Any  # d
    numerator: Any  # r


class ProdigySlots(NamedTuple):
    """What a leaf remembers."""

    mu: Signed  # average of d g
    nu: Squares  # average of |d g|^2
    grad_sum: Any  # weighted sum of the gradients
    anchor: Any  # p_0


class Measures(NamedTuple):
    """A leaf's share of what d is made of."""

    inner: Any  # <g, p_0 - p>
    length: Any  # 1-norm of the new grad_sum


class AtStep(NamedTuple):
    """What all leaves share at one update."""

    distance: Any  # d before it
    rate: Any  # s
    weight: Any  # of g in grad_sum
    eps: Any  # beside the root of nu


class Prodigy(TreeRule):
    """Prodigy's step, uphill, with its learning rate and weight decay in it.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      b3: decay of r and grad_sum, in [0, 1); None takes the root of b2.
      eps: keeps the denominator off zero, at least 0.
      d0: the first distance, above 0, and below the true one.
      d_coef: factor of the estimate, above 0; what to change to tune.
      bias_correction: corrects Adam's biases, which makes the first steps longer.
      safeguard_warmup: keeps the learning rate out of grad_sum, for long warm-ups.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.999
    b3: Scalar | None = None
    eps: AtLeastZero = 1e-8
    d0: AboveZero = 1e-6
    d_coef: AboveZero = 1.0
    bias_correction: bool = False
    safeguard_warmup: bool = False

    Slots = ProdigySlots
    takes_rate = True
    takes_decay = True
    scale_invariant = True

    def check(self) -> None:
        check_fraction(b3=self.sum_decay)

    @property
    def sum_decay(self) -> Scalar:
        """Decay of the sums."""
        return self.b2**0.5 if self.b3 is None else self.b3

    def start(self, leaves: list[Array]) -> ProdigyShared:
        return ProdigyShared(wide(self.d0), wide(0.0))

    def init(self, p: Any) -> ProdigySlots:
        return ProdigySlots(zeros_slot(p), real_slot(p), zeros_slot(p), anchor=p)

    def per_step(self, step: Step) -> Any:
        """The learning rate, with the factor of both biases."""
        rate: Any = 1.0 if step.learning_rate is None else step.learning_rate
        if not self.bias_correction:
            return rate * 1.0
        return rate * (jnp.sqrt(bias(self.b2, step.count)) / bias(self.b1, step.count))

    def weight(self, shared: ProdigyShared, rate: Any) -> Any:
        """The weight of g in grad_sum."""
        factor = 1 if self.safeguard_warmup else rate
        return divided(shared.distance, self.d0) * shared.distance * factor

    def summed(self, g: Array, slots: ProdigySlots, weight: Any) -> Array:
        """The new grad_sum."""
        return scaled(slots.grad_sum, self.sum_decay) + scaled(g, weight)

    def measure(self, g: Array, slots: ProdigySlots, p: Array, step: Step) -> Measures:
        grad_sum = self.summed(g, slots, self.weight(step.tree, step.shared))
        return Measures(inner_product(g, slots.anchor - p), jnp.sum(jnp.abs(grad_sum)))

    def settle(self, measures: Measures, step: Step) -> tuple[ProdigyShared, AtStep]:
        shared, rate = step.tree, step.shared
        share = divided(shared.distance, self.d0) * shared.distance * rate
        numerator = scaled(shared.numerator, self.sum_decay) + share * jnp.sum(measures.inner)
        length = jnp.sum(measures.length)
        found = scaled(numerator, self.d_coef) / jnp.where(length > 0, length, 1.0)
        distance = jnp.maximum(shared.distance, jnp.where(length > 0, found, 0.0))
        at = AtStep(
            distance=shared.distance,
            rate=rate * shared.distance,
            weight=self.weight(shared, rate),
            eps=scaled(distance, self.eps),
        )
        return ProdigyShared(distance, numerator), at

    def update(self, g: Array, slots: ProdigySlots, p: Any, step: Step) -> Moved[ProdigySlots]:
        at: AtStep = step.shared
        mu = ema(slots.mu, scaled(g, at.distance), self.b1)
        nu = ema_of_squares(slots.nu, scaled(g, at.distance), self.b2)
        u = divided(mu, denominator(nu, at.eps, "outside"))
        u = u if step.decay is None else u + scaled(p, step.decay)
        grad_sum = self.summed(g, slots, at.weight)
        return scaled(u, at.rate), ProdigySlots(mu, nu, grad_sum, slots.anchor)


@constructor
def scale_by_prodigy(
    learning_rate: Scalar | Schedule = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: Scalar | None = None,
    eps: Scalar = 1e-8,
    d0: Scalar = 1e-6,
    d_coef: Scalar = 1.0,
    bias_correction: bool = False,
    safeguard_warmup: bool = False,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """Prodigy's step, uphill, with its learning rate and weight decay in it.

    Args:
      learning_rate: factor of the distance, at least 0; a number, an array or a schedule.
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      b3: decay of r and grad_sum, in [0, 1); None takes the root of b2.
      eps: keeps the denominator off zero, at least 0.
      d0: the first distance, above 0, and below the true one.
      d_coef: factor of the estimate, above 0; what to change to tune.
      bias_correction: corrects Adam's biases, which makes the first steps longer.
      safeguard_warmup: keeps the learning rate out of grad_sum, for long warm-ups.
      weight_decay: at least 0, times s; a number, an array or a schedule.
      mask: which leaves decay, as in `descend`.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """
    return lift(
        Prodigy(b1, b2, b3, eps, d0, d_coef, bias_correction, safeguard_warmup),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    ).transformation()


@constructor
def prodigy(
    learning_rate: Scalar | Schedule = 1.0,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: Scalar | None = None,
    eps: Scalar = 1e-8,
    d0: Scalar = 1e-6,
    d_coef: Scalar = 1.0,
    bias_correction: bool = False,
    safeguard_warmup: bool = False,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """Prodigy, the step of `scale_by_prodigy`. Leave the learning rate at 1, or schedule it to 1.

    >>> import jax, jax.numpy as jnp
    >>> tx = prodigy()
    >>> params = jnp.array(100.0)
    >>> state = tx.init(params)
    >>> for _ in range(200):
    ...     updates, state = tx.update(jnp.sign(params), state, params)
    ...     params = params + updates
    >>> 25 < float(state.shared.distance) < 400
    True
    """
    return lift(
        Prodigy(b1, b2, b3, eps, d0, d_coef, bias_correction, safeguard_warmup),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        descent=DOWNHILL,
    ).transformation()


RECORDS = (
    OptimizerRecord(
        constructor=prodigy,
        rule=Prodigy,
        family="no rate",
        formula="Adam times d, d from <g, p_0 - p>",
        when="no learning rate to tune",
        slots=4,
        learning_rate=1.0,
        quadratic_rate=1.0,
        gallery_rate=1.0,
        presets={"paper": {}, "optax": {"bias_correction": True}},
    ),
)
