"""AdEMAMix: Adam with a second, very slow mean.

Pagliardini, Ablin & Grangier, 2024, arXiv:2409.03137:

    mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) g^2
    mu_slow <- b3_t mu_slow + (1 - b3_t) g
    d = (mu / (1 - b1^t) + alpha_t mu_slow) / (sqrt(nu / (1 - b2^t)) + eps)

Three slots per parameter. When to use it: long runs of language models, with warmup_steps the whole
run: alpha_t rises linearly to alpha, and b3_t from b1 to b3 so that the half-life of mu_slow
grows linearly. Departures: none; without warmup_steps alpha and b3 are constant.
"""

from typing import Any, NamedTuple

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
from adaptive_optax.core.checks import (
    caller,
    check_steps,
)
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.roles import NonNegative, Signed
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.adam import EpsPlacement
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class AdemamixSlots(NamedTuple):
    """What AdEMAMix remembers."""

    mu: Signed  # average gradient
    mu_slow: Signed  # average gradient over a far longer past
    nu: NonNegative  # average of |g|^2


class Ademamix(Rule):
    """AdEMAMix's direction.

    Args:
      b1: decay of the mean, in [0, 1), and above 0 where b3 is scheduled.
      b2: decay of the second moment, in [0, 1).
      b3: decay of the slow mean, in [0, 1), at least b1.
      alpha: weight of the slow mean, at least 0; the paper tries 2 to 10.
      warmup_steps: steps of the schedules of alpha and b3, at least 1; None has none.
      eps: keeps the denominator off zero, at least 0.
      eps_placement: as in `scale_by_adam`.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.999
    b3: Fraction = 0.9999
    alpha: AtLeastZero = 5.0
    warmup_steps: int | None = None
    eps: AtLeastZero = 1e-8
    eps_placement: EpsPlacement = "outside"

    Slots = AdemamixSlots
    scale_invariant = True

    def check(self) -> None:
        if self.warmup_steps is not None:
            check_steps(warmup_steps=self.warmup_steps)
            for name, decay in (("b1", self.b1), ("b3", self.b3)):
                if isinstance(decay, int | float) and decay == 0:
                    raise ValueError(
                        f"{caller()}({name}=0): with warmup_steps {name} must be above 0."
                    )

    def init(self, p: Any) -> AdemamixSlots:
        return AdemamixSlots(mu=zeros_slot(p), mu_slow=zeros_slot(p), nu=real_slot(p))

    def per_step(self, step: Step) -> Any:
        weight, decay = _mixture(step.count, self.b1, self.b3, self.alpha, self.warmup_steps)
        return bias(self.b1, step.count), bias(self.b2, step.count), weight, decay

    def update(self, g: Array, slots: AdemamixSlots, p: Any, step: Step) -> Moved[AdemamixSlots]:
        mu_bias, nu_bias, weight, decay = step.shared
        mu, nu = ema(slots.mu, g, self.b1), ema_of_squares(slots.nu, g, self.b2)
        mu_slow = ema(slots.mu_slow, g, decay)
        mixed = debias(mu, mu_bias) + scaled(mu_slow, weight)
        root = denominator(nu, self.eps, self.eps_placement, correction=nu_bias)
        return divided(mixed, root), AdemamixSlots(mu, mu_slow, nu)


scale_by_ademamix = direction_of(Ademamix, "scale_by_ademamix")


@constructor
def ademamix(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: Scalar = 0.9999,
    alpha: Scalar = 5.0,
    warmup_steps: int | None = None,
    eps: Scalar = 1e-8,
    eps_placement: EpsPlacement = "outside",
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """AdEMAMix, the direction of `scale_by_ademamix` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = ademamix(0.25, b3=0.9, alpha=4.0)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 6)
    -0.35
    """
    direction = Ademamix(b1, b2, b3, alpha, warmup_steps, eps, eps_placement)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)


def _mixture(
    count: Array, b1: Scalar, b3: Scalar, alpha: Scalar, warmup_steps: int | None
) -> tuple[Scalar, Scalar]:
    """alpha_t and b3_t."""
    if warmup_steps is None:
        return alpha, b3
    done = jnp.minimum(divided(elapsed(count), warmup_steps), 1.0)
    # exp(log b1 log b3 / ((1 - x) log b3 + x log b1)): 1 / log b3_t goes linearly between the two.
    inverse = scaled(1 - done, 1 / log(b1)) + scaled(done, 1 / log(b3))
    return scaled(done, alpha), jnp.exp(1 / inverse)


RECORDS = (
    OptimizerRecord(
        constructor=ademamix,
        rule=Ademamix,
        formula="d = (mu_hat + alpha mu_slow) / (√nu_hat + eps)",
        when="long runs of language models",
        slots=3,
        quadratic_rate=0.01,
        gallery_rate=0.03,
        presets={"paper": {}, "optax": {}},
        variants={"ademamix-warm-up": Variant({"warmup_steps": 1000})},
    ),
)
