"""D-Adaptation for Adam (Defazio & Mishchenko, 2023, arXiv:2301.07733).

    s = learning_rate d sqrt(1 - b2^t) / (1 - b1^t)     d, the distance to the solution, first d0
    r <- b3 r + (1 - b3) s <g, grad_sum / (sqrt(nu) + eps)>    b3 = sqrt(b2); before nu's update
    grad_sum <- b3 grad_sum + (1 - b3) s g
    mu <- b1 mu + (1 - b1) s g        nu <- b2 nu + (1 - b2) g^2
    p <- p - mu / (sqrt(nu) + eps) - s weight_decay p
    d <- max(d, r / ((1 - b3) |grad_sum|_1))        r and the 1-norm over the whole tree

Three slots per parameter. When to use it: where no learning rate is to be tuned; `prodigy`, which
followed it, does better in its authors' tests. Departures: the paper corrects no bias
(`bias_correction=False`, its preset), but then d overshoots: on |x| by up to 4.9 times, with the
correction by 2.3. The old nu in r is of the authors' code; the paper's algorithm has the new one.
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
from adaptive_optax.core.lifting import DOWNHILL, lift
from adaptive_optax.core.roles import NonNegative, Signed
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


class DadaptShared(NamedTuple):
    """What the tree shares."""

    distance: Any  # d
    numerator: Any  # r


class DadaptSlots(NamedTuple):
    """What a leaf remembers."""

    mu: Signed  # average of s g
    nu: NonNegative  # average of |g|^2
    grad_sum: Any  # average of s g, over a longer past


class Measures(NamedTuple):
    """A leaf's share of what d is made of."""

    inner: Any  # <g, grad_sum / (sqrt(nu) + eps)>
    length: Any  # 1-norm of the new grad_sum


class DadaptAdam(TreeRule):
    """D-Adapted Adam's step, uphill, with its learning rate and weight decay in it.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      d0: the first distance, above 0, and below the true one.
      bias_correction: multiplies s by sqrt(1 - b2^t) / (1 - b1^t).

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.999
    eps: AtLeastZero = 1e-8
    d0: AboveZero = 1e-6
    bias_correction: bool = True

    Slots = DadaptSlots
    takes_rate = True
    takes_decay = True
    scale_invariant = True

    @property
    def b3(self) -> Scalar:
        """Decay of the sums."""
        return self.b2**0.5

    def start(self, leaves: list[Array]) -> DadaptShared:
        return DadaptShared(wide(self.d0), wide(0.0))

    def init(self, p: Any) -> DadaptSlots:
        return DadaptSlots(zeros_slot(p), real_slot(p), zeros_slot(p))

    def per_step(self, step: Step) -> Any:
        """The learning rate, with the factor of both biases."""
        rate: Any = 1.0 if step.learning_rate is None else step.learning_rate
        if not self.bias_correction:
            return rate * 1.0
        return rate * (jnp.sqrt(bias(self.b2, step.count)) / bias(self.b1, step.count))

    def measure(self, g: Array, slots: DadaptSlots, p: Array, step: Step) -> Measures:
        whitened = divided(slots.grad_sum, denominator(slots.nu, self.eps, "outside"))
        grad_sum = ema(slots.grad_sum, scaled(g, step.shared * step.tree.distance), self.b3)
        return Measures(inner_product(g, whitened), jnp.sum(jnp.abs(grad_sum)))

    def settle(self, measures: Measures, step: Step) -> tuple[DadaptShared, Array]:
        shared = step.tree
        step_size = step.shared * shared.distance
        numerator = ema(shared.numerator, step_size * jnp.sum(measures.inner), self.b3)
        length = scaled(jnp.sum(measures.length), 1 - self.b3)
        found = numerator / jnp.where(length > 0, length, 1.0)
        distance = jnp.maximum(shared.distance, jnp.where(length > 0, found, 0.0))
        return DadaptShared(distance, numerator), step_size

    def update(self, g: Array, slots: DadaptSlots, p: Any, step: Step) -> Moved[DadaptSlots]:
        step_size = step.shared
        mu = ema(slots.mu, scaled(g, step_size), self.b1)
        nu = ema_of_squares(slots.nu, g, self.b2)
        u = divided(mu, denominator(nu, self.eps, "outside"))
        u = u if step.decay is None else u + scaled(scaled(p, step.decay), step_size)
        return u, DadaptSlots(mu, nu, ema(slots.grad_sum, scaled(g, step_size), self.b3))


@constructor
def scale_by_dadapt_adam(
    learning_rate: Scalar | Schedule = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    d0: Scalar = 1e-6,
    bias_correction: bool = True,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """D-Adapted Adam's step, uphill, with its learning rate and weight decay in it.

    Args:
      learning_rate: factor of the distance, at least 0; a number, an array or a schedule.
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      d0: the first distance, above 0, and below the true one.
      bias_correction: multiplies s by sqrt(1 - b2^t) / (1 - b1^t).
      weight_decay: at least 0, times s; a number, an array or a schedule.
      mask: which leaves decay, as in `descend`.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """
    return lift(
        DadaptAdam(b1, b2, eps, d0, bias_correction),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
    ).transformation()


@constructor
def dadapt_adam(
    learning_rate: Scalar | Schedule = 1.0,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    d0: Scalar = 1e-6,
    bias_correction: bool = True,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """D-Adapted Adam, the step of `scale_by_dadapt_adam`. Leave the learning rate at 1.

    >>> import jax.numpy as jnp
    >>> tx = dadapt_adam()
    >>> params = jnp.array(1.0)
    >>> state = tx.init(params)
    >>> for _ in range(300):
    ...     updates, state = tx.update(jnp.sign(params), state, params)
    ...     params = params + updates
    >>> 0.25 < float(state.shared.distance) < 4
    True
    """
    return lift(
        DadaptAdam(b1, b2, eps, d0, bias_correction),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        descent=DOWNHILL,
    ).transformation()


RECORDS = (
    OptimizerRecord(
        constructor=dadapt_adam,
        rule=DadaptAdam,
        family="no rate",
        formula="Adam times d, d from <g, sum of g>",
        when="no learning rate to tune",
        slots=3,
        learning_rate=1.0,
        quadratic_rate=1.0,
        gallery_rate=1.0,
        presets={"paper": {"bias_correction": False}, "optax": {}},
        optax_name="dadapt_adamw",
    ),
)
