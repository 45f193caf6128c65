"""Adam: a running mean over a running root mean square (Kingma & Ba, 2015, arXiv:1412.6980).

    mu <- b1 mu + (1 - b1) g          mu_hat = mu / (1 - b1^t)
    nu <- b2 nu + (1 - b2) g^2        nu_hat = nu / (1 - b2^t)
    d = mu_hat / (sqrt(nu_hat) + eps)

`adam` can add the gradient l2 p of an L2 penalty to g, which then enters the moments; `adamw`
decays the weights beside the step instead (Loshchilov & Hutter, 2019, arXiv:1711.05101).
Two slots a parameter. When to use it: the first to try; `adamw` for whatever is regularized.
Departures: none by default. Where other libraries put eps: `eps_placement`, `eps_root`.
"""

from typing import Any, Literal, NamedTuple, TypeAlias

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
    check_params,
)
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.roles import Signed, Squares
from adaptive_optax.core.rule import Moment, Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord, Variant

EpsPlacement: TypeAlias = Literal["outside", "inside", "uncorrected"]
ADAM_MOMENTS = {
    "mu": Moment("gradient", "b1", "corrected"),
    "nu": Moment("square", "b2", "corrected"),
}


class AdamSlots(NamedTuple):
    """What Adam remembers."""

    mu: Signed  # average gradient
    nu: Squares  # average of |g|^2


class Adam(Rule):
    """Adam's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_root: added to nu_hat under the root, at least 0; 0 in the paper.
      eps_placement: "outside" the root of nu_hat, as in the paper's algorithm; "inside" that root;
        "uncorrected", beside the root of nu before its bias correction (the paper's epsilon-hat).
      l2: weight of the L2 penalty l2/2 |p|^2 whose gradient is added to g, at least 0.

    Raises:
      ValueError: for an option out of range; at update, if l2 is on and params are missing.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.999
    eps: AtLeastZero = 1e-8
    eps_root: AtLeastZero = 0.0
    eps_placement: EpsPlacement = "outside"
    l2: AtLeastZero = 0.0

    Slots = AdamSlots
    scale_invariant = True
    moments = ADAM_MOMENTS

    def init(self, p: Any) -> AdamSlots:
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(self, step: Step) -> tuple[Array, Array]:
        return bias(self.b1, step.count), bias(self.b2, step.count)

    def update(self, g: Array, slots: AdamSlots, p: Any, step: Step) -> Moved[AdamSlots]:
        mu_bias, nu_bias = step.shared
        if not (isinstance(self.l2, int | float) and self.l2 == 0):
            check_params("adam", "l2", p)
            g = g + scaled(p, self.l2)
        mu, nu = ema(slots.mu, g, self.b1), ema_of_squares(slots.nu, g, self.b2)
        root = denominator(nu, self.eps, self.eps_placement, self.eps_root, nu_bias)
        return divided(debias(mu, mu_bias), root), AdamSlots(mu, nu)


scale_by_adam = direction_of(Adam, "scale_by_adam")
scale_by_adamw = direction_of(Adam, "scale_by_adamw")


@constructor
def adam(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: EpsPlacement = "outside",
    l2: Scalar = 0.0,
) -> Transformation:
    """Adam, the direction of `scale_by_adam`; under a constant gradient every step is the rate.

    >>> import jax.numpy as jnp
    >>> tx = adam(0.25)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 6)
    -0.25
    """
    return descend(Adam(b1, b2, eps, eps_root, eps_placement, l2), learning_rate)


@constructor
def adamw(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: EpsPlacement = "outside",
    weight_decay: Scalar | Schedule = 1e-2,
    mask: Mask | None = None,
    independent_decay: bool = False,
) -> Transformation:
    """Adam with decoupled weight decay, as `descend` explains it.

    The paper's decay is independent of the learning rate; torch, Keras and optax multiply it by
    the rate, and so does the default here: a paper's value is `weight_decay * learning_rate`.

    >>> import jax.numpy as jnp
    >>> tx = adamw(0.25, weight_decay=0.1)
    >>> params = jnp.array(2.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 6)
    -0.3
    """
    return descend(
        Adam(b1, b2, eps, eps_root, eps_placement),
        learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        independent_decay=independent_decay,
    )


RECORDS = (
    OptimizerRecord(
        constructor=adam,
        rule=Adam,
        formula="d = mu_hat / (√nu_hat + eps)",
        when="the first to try",
        presets={
            "paper": {},
            "torch": {},
            "keras": {"eps": 1e-7, "eps_placement": "uncorrected"},
            "optax": {},
        },
        variants={"adam-l2": Variant({"l2": 0.01})},
    ),
    OptimizerRecord(
        constructor=adamw,
        rule=Adam,
        formula="Adam's d + weight_decay p",
        when="the default for transformers and whatever is regularized",
        presets={
            "paper": {"independent_decay": True},
            "torch": {},
            "keras": {"eps": 1e-7, "eps_placement": "uncorrected", "weight_decay": 4e-3},
            "optax": {"weight_decay": 1e-4},
        },
        variants={"adamw-independent": Variant({"weight_decay": 1e-3, "independent_decay": True})},
    ),
)
