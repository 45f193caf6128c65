"""Lion: the sign of an interpolated momentum (Chen et al., 2023, arXiv:2302.06675).

    d = sign(b1 mu + (1 - b1) g)        mu <- b2 mu + (1 - b2) g

One slot per parameter. Every coordinate moves by exactly the learning rate: take it 3 to 10 times
smaller than Adam's, and the weight decay as many times larger. When to use it: large batches and
transformers, where a slot of memory counts. Departures: none; a complex sign has modulus 1.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import ema, zeros_slot
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.rule import Moment, Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, Fraction, Mask, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord, Variant


class LionSlots(NamedTuple):
    """What Lion remembers."""

    mu: Signed  # average gradient


class Lion(Rule):
    """The sign of the interpolated momentum.

    Args:
      b1: weight of the old momentum in the sign, in [0, 1).
      b2: decay of the momentum that is kept, in [0, 1).

    Raises:
      ValueError: for an option out of range.
    """

    b1: Fraction = 0.9
    b2: Fraction = 0.99

    Slots = LionSlots
    scale_invariant = True
    moments = {"mu": Moment("gradient", "b2", "plain")}

    def init(self, p: Any) -> LionSlots:
        return LionSlots(mu=zeros_slot(p))

    def update(self, g: Array, slots: LionSlots, p: Any, step: Step) -> Moved[LionSlots]:
        b1, b2 = self.b1, self.b2
        known = isinstance(b1, float | int) and isinstance(b2, float | int) and b1 <= b2 and b2 > 0
        mu = ema(slots.mu, g, b2)
        # b1 mu + (1 - b1) g, computed from the new mu, so that XLA can update the buffer in place.
        between = ema(mu, g, b1 / b2) if known else ema(slots.mu, g, b1)
        return jnp.sign(between), LionSlots(mu)


scale_by_lion = direction_of(Lion, "scale_by_lion")


scale_by_sign_momentum = direction_of(Lion, "scale_by_sign_momentum")


@constructor
def lion(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    independent_decay: bool = False,
) -> Transformation:
    """Lion, the direction of `scale_by_lion` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = lion(0.5)
    >>> params = jnp.zeros(3)
    >>> updates, _ = tx.update(jnp.array([3.0, -4.0, 0.0]), tx.init(params), params)
    >>> (params + updates).tolist()
    [-0.5, 0.5, 0.0]
    """
    return descend(
        Lion(b1, b2),
        learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        independent_decay=independent_decay,
    )


RECORDS = (
    OptimizerRecord(
        constructor=lion,
        rule=Lion,
        family="sign",
        formula="d = sign(b1 mu + (1-b1) g), mu = b2 mu + (1-b2) g",
        when="large batches; one slot; a 3 to 10 times smaller rate",
        slots=1,
        learning_rate=0.0003,
        quadratic_rate=0.01,
        gallery_rate=0.03,
        presets={"paper": {}, "keras": {}, "optax": {"weight_decay": 0.001}},
        variants={"lion-decay": Variant({"weight_decay": 0.1})},
        other_names=("scale_by_sign_momentum",),
    ),
)
