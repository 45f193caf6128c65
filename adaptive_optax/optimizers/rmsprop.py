"""RMSProp: each coordinate by its running root mean square (Hinton, 2012, lecture 6e).

    nu <- decay nu + (1 - decay) g^2                plain
    mu <- decay mu + (1 - decay) g                  centered (Graves, 2013, arXiv:1308.0850)
    nu <- decay nu + (1 - decay) / decay (g - mu)^2
    u = g / (sqrt(nu) + eps)
    d = u,  or with momentum  trace <- momentum trace + u,  d = trace

One slot per parameter, one more for `centered` and for `momentum` each. No bias correction: at
decay 0.9 the first step is 3.16 learning rates. When to use it: recurrent networks, and recipes of
reinforcement learning that were tuned with it.
Departures: the centered moment is E[g^2] - E[g]^2 by a recursion that equals it exactly and is
never negative (the subtraction is, and gives NaN), written about the new mean, from which g is
away decay times as far as from the old; Graves has eps inside the root
(`eps_placement="inside"`); the learning rate is applied after the momentum, as torch does.
"""

from typing import Any, Literal, NamedTuple

from adaptive_optax.core.arrays import (
    add_square,
    denominator,
    divided,
    ema,
    ema_of_squares,
    real_slot,
    scaled,
    zeros_slot,
)
from adaptive_optax.core.checks import (
    caller,
)
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.lifting import lift
from adaptive_optax.core.roles import NonNegative, Signed
from adaptive_optax.core.rule import Moment, Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class RmspropSlots(NamedTuple):
    """What RMSProp remembers."""

    nu: NonNegative  # average of |g|^2, about the mean where centered
    mu: Signed  # average gradient; None unless centered
    trace: Signed  # sum of scaled gradients; None without momentum


class Rmsprop(Rule):
    """The gradient over its running root mean square, then momentum.

    Args:
      decay: of the averages, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      centered: takes the second moment about the running mean.
      momentum: share of the trace that is kept, in [0, 1); None keeps no trace.
      nesterov: looks one step of momentum ahead.
      eps_placement: "outside" the root, or "inside".

    Raises:
      ValueError: for an option out of range, or nesterov without momentum.
    """

    decay: Fraction = 0.9
    eps: AtLeastZero = 1e-8
    centered: bool = False
    momentum: Fraction | None = None
    nesterov: bool = False
    eps_placement: Literal["outside", "inside"] = "outside"

    Slots = RmspropSlots
    scale_invariant = True
    moments = {"nu": Moment("square", "decay", "plain")}

    def check(self) -> None:
        if self.centered and isinstance(self.decay, int | float) and self.decay == 0:
            raise ValueError(f"{caller()}(decay=0, centered=True): a spread needs decay above 0.")
        if self.momentum is None and self.nesterov:
            raise ValueError(
                f"{caller()}(nesterov=True): give a momentum too, such as momentum=0.9."
            )

    def init(self, p: Any) -> RmspropSlots:
        return RmspropSlots(
            nu=real_slot(p),
            mu=zeros_slot(p) if self.centered else None,
            trace=None if self.momentum is None else zeros_slot(p),
        )

    def update(self, g: Array, slots: RmspropSlots, p: Any, step: Step) -> Moved[RmspropSlots]:
        if self.centered:
            mu = ema(slots.mu, g, self.decay)
            nu = add_square(scaled(slots.nu, self.decay), g - mu, (1 - self.decay) / self.decay)
        else:
            nu, mu = ema_of_squares(slots.nu, g, self.decay), None
        u = divided(g, denominator(nu, self.eps, self.eps_placement))
        if self.momentum is None:
            return u, RmspropSlots(nu, mu, None)
        trace = scaled(slots.trace, self.momentum) + u
        d = u + scaled(trace, self.momentum) if self.nesterov else trace
        return d, RmspropSlots(nu, mu, trace)


scale_by_rmsprop = direction_of(Rmsprop, "scale_by_rmsprop")


@constructor
def scale_by_rms(
    decay: Scalar = 0.9, eps: Scalar = 1e-8, eps_placement: Literal["outside", "inside"] = "outside"
) -> Transformation:
    """The gradient over its running root mean square: `scale_by_rmsprop` and nothing else."""
    return lift(Rmsprop(decay, eps, eps_placement=eps_placement)).transformation()


@constructor
def rmsprop(
    learning_rate: Scalar | Schedule,
    *,
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    centered: bool = False,
    momentum: Scalar | None = None,
    nesterov: bool = False,
    eps_placement: Literal["outside", "inside"] = "outside",
) -> Transformation:
    """RMSProp, the direction of `scale_by_rmsprop`.

    >>> import jax.numpy as jnp
    >>> tx = rmsprop(1.0)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 3)
    -3.162
    """
    rule = Rmsprop(decay, eps, centered, momentum, nesterov, eps_placement)
    return descend(rule, learning_rate)


RECORDS = (
    OptimizerRecord(
        constructor=rmsprop,
        rule=Rmsprop,
        formula="nu = r nu + (1-r) g², d = g / (√nu + eps)",
        when="recurrent nets, reinforcement learning recipes",
        slots=1,
        quadratic_rate=0.01,
        gallery_rate=0.01,
        presets={
            "paper": {},
            "torch": {"decay": 0.99},
            "keras": {"eps": 1e-07, "eps_placement": "inside"},
            "optax": {"eps_placement": "inside"},
        },
        variants={
            "rmsprop-centered": Variant({"centered": True, "eps": 0.001}, slots=2),
            "rmsprop-momentum": Variant({"momentum": 0.9}, slots=2, quadratic_rate=0.003),
        },
        other_names=("scale_by_rms",),
    ),
)
