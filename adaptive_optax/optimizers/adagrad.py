"""AdaGrad: each coordinate by the root of its summed squares (Duchi, Hazan & Singer, 2011).

    nu <- nu + g^2        d = g / (sqrt(nu) + eps)

One slot per parameter. Under a constant gradient the step shrinks as 1 / sqrt(t). When to use it:
sparse features and convex problems; in deep networks the steps die away.
Departures: none; the paper's delta is eps.
"""

from typing import Any, Literal, NamedTuple

from adaptive_optax.core.arrays import add_square, denominator, divided, real_slot
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord


class AdagradSlots(NamedTuple):
    """What AdaGrad remembers."""

    nu: Any  # sum of |g|^2


class Adagrad(Rule):
    """The gradient over the root of the sum of all squares so far.

    Args:
      initial_accumulator_value: what the sum starts from, at least 0.
      eps: keeps the denominator off zero, at least 0.
      eps_placement: "outside" the root, as in the paper, or "inside".

    Raises:
      ValueError: for an option out of range.
    """

    initial_accumulator_value: AtLeastZero = 0.0
    eps: AtLeastZero = 1e-10
    eps_placement: Literal["outside", "inside"] = "outside"

    Slots = AdagradSlots
    scale_invariant = True

    def init(self, p: Any) -> AdagradSlots:
        return AdagradSlots(nu=real_slot(p, self.initial_accumulator_value))

    def update(self, g: Array, slots: AdagradSlots, p: Any, step: Step) -> Moved[AdagradSlots]:
        nu = add_square(slots.nu, g)
        return divided(g, denominator(nu, self.eps, self.eps_placement)), AdagradSlots(nu)


scale_by_adagrad = direction_of(Adagrad, "scale_by_adagrad")


scale_by_rss = direction_of(Adagrad, "scale_by_rss")


@constructor
def adagrad(
    learning_rate: Scalar | Schedule,
    *,
    initial_accumulator_value: Scalar = 0.0,
    eps: Scalar = 1e-10,
    eps_placement: Literal["outside", "inside"] = "outside",
) -> Transformation:
    """AdaGrad, the direction of `scale_by_adagrad`.

    >>> import jax.numpy as jnp
    >>> tx = adagrad(1.0)
    >>> params = jnp.array(0.0)
    >>> state = tx.init(params)
    >>> for _ in range(4):
    ...     updates, state = tx.update(jnp.array(3.0), state, params)
    >>> float(updates)
    -0.5
    """
    return descend(Adagrad(initial_accumulator_value, eps, eps_placement), learning_rate)


RECORDS = (
    OptimizerRecord(
        constructor=adagrad,
        rule=Adagrad,
        formula="nu = nu + g², d = g / (√nu + eps)",
        when="sparse features, convex problems",
        slots=1,
        learning_rate=0.01,
        quadratic_rate=0.1,
        gallery_rate=0.3,
        presets={
            "paper": {},
            "torch": {},
            "keras": {"eps": 1e-07, "initial_accumulator_value": 0.1, "eps_placement": "inside"},
            "optax": {"eps": 1e-07, "initial_accumulator_value": 0.1, "eps_placement": "inside"},
        },
        other_names=("scale_by_rss",),
    ),
)
