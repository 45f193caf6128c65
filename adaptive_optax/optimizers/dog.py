"""DoG and DoWG: the distance from the start over the norm of the gradients.

DoG is of Ivgi, Hinder & Carmon, 2023, arXiv:2302.12022, and DoWG, which weighs the norms, of
Khaled, Mishchenko & Jin, 2023, arXiv:2305.16284.

    distance <- max(distance, |p - p_0|)            first initial_distance (1 + |p_0|) in DoG
    DoG     size^2 <- size^2 + |g|^2                     d = distance g / sqrt(size^2 + eps)
    DoWG    size^2 <- size^2 + distance^2 |g|^2          d = distance^2 g / (size + eps)

All norms are of the whole tree. One slot per parameter, p_0, and another for DoG's average. When to
use it: no learning rate to tune, a rate of 1; DoG is made to be evaluated at its average,
`eval_params(state, params)`. Departures: none. For weight decay chain
`optax.add_decayed_weights` before it, as part of the loss.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import norm, norm_of_all, scaled, wide
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.rule import Moved, Step, TreeRule
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import AboveZero, Array, AtLeastZero, Scalar, Schedule
from adaptive_optax.optimizers.record import OptimizerRecord
from adaptive_optax.wrappers.averaged import averaged


class DogShared(NamedTuple):
    """What the tree shares."""

    distance: Any  # the farthest from the start so far
    size: Any  # root of the sum of squared norms of the gradients, weighted in DoWG


class DogSlots(NamedTuple):
    """What a leaf remembers."""

    anchor: Any  # p_0


class Lengths(NamedTuple):
    """Norms of a leaf."""

    moved: Any  # of p - p_0
    gradient: Any


class Dog(TreeRule):
    """The gradient times DoG's step size.

    Args:
      initial_distance: the first distance in units of 1 + |p_0|, above 0; the paper takes 1e-4
        for nets with batch normalization.
      eps: added to the sum of squares under the root, at least 0.

    Raises:
      ValueError: for an option out of range; at update, where params are missing.
    """

    initial_distance: AboveZero = 1e-6
    eps: AtLeastZero = 1e-8

    Slots = DogSlots
    scale_invariant = True

    def start(self, leaves: list[Array]) -> DogShared:
        size = 1 + norm_of_all([norm(p) for p in leaves])
        return DogShared(scaled(size, self.initial_distance), wide(0.0))

    def init(self, p: Any) -> DogSlots:
        return DogSlots(anchor=p)

    def measure(self, g: Array, slots: DogSlots, p: Array, step: Step) -> Lengths:
        return Lengths(norm(p - slots.anchor), norm(g))

    def settle(self, measures: Lengths, step: Step) -> tuple[DogShared, Array]:
        distance = jnp.maximum(step.tree.distance, norm(measures.moved))
        size = norm_of_all([step.tree.size, norm(measures.gradient)])
        below = norm_of_all([size, jnp.sqrt(wide(self.eps))])
        return DogShared(distance, size), distance / jnp.where(below > 0, below, 1.0)

    def update(self, g: Array, slots: DogSlots, p: Any, step: Step) -> Moved[DogSlots]:
        return scaled(g, step.shared), slots


class Dowg(Dog):
    """The gradient times DoWG's step size.

    Args:
      initial_distance: the first distance, above 0.
      eps: added to the root of the weighted sum of squares, at least 0.

    Raises:
      ValueError: for an option out of range; at update, where params are missing.
    """

    initial_distance: AboveZero = 1e-2
    eps: AtLeastZero = 1e-4

    def start(self, leaves: list[Array]) -> DogShared:
        return DogShared(wide(self.initial_distance), wide(0.0))

    def settle(self, measures: Lengths, step: Step) -> tuple[DogShared, Array]:
        distance = jnp.maximum(step.tree.distance, norm(measures.moved))
        size = norm_of_all([step.tree.size, distance * norm(measures.gradient)])
        below = size + wide(self.eps)
        return DogShared(distance, size), distance * (distance / jnp.where(below > 0, below, 1.0))


scale_by_dog = direction_of(Dog, "scale_by_dog")
scale_by_dowg = direction_of(Dowg, "scale_by_dowg")


@constructor
def dog(
    learning_rate: Scalar | Schedule = 1.0,
    *,
    initial_distance: Scalar = 1e-6,
    eps: Scalar = 1e-8,
) -> Transformation:
    """DoG, the direction of `scale_by_dog`, with the average of its parameters.

    The learning rate is a factor, 1 in the paper. `eval_params` gives the paper's average with
    polynomial decay, of power 8; `descend(scale_by_dog(), 1.0)` keeps none.

    >>> import jax.numpy as jnp
    >>> tx = dog(initial_distance=0.25)
    >>> params = jnp.array([0.0, 0.0])
    >>> updates, _ = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)
    >>> [round(float(u), 4) for u in updates]
    [-0.15, -0.2]
    """
    return averaged(descend(Dog(initial_distance, eps), learning_rate, name="dog"))


@constructor
def dowg(
    learning_rate: Scalar | Schedule = 1.0,
    *,
    initial_distance: Scalar = 1e-2,
    eps: Scalar = 1e-4,
) -> Transformation:
    """DoWG, the direction of `scale_by_dowg`; the learning rate is a factor, 1 in the paper.

    >>> import jax.numpy as jnp
    >>> tx = dowg(initial_distance=0.25, eps=0.0)
    >>> params = jnp.array([0.0, 0.0])
    >>> updates, _ = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)
    >>> [round(float(u), 4) for u in updates]
    [-0.15, -0.2]
    """
    return descend(Dowg(initial_distance, eps), learning_rate)


RECORDS = (
    OptimizerRecord(
        constructor=dog,
        rule=Dog,
        family="no rate",
        formula="d = g max|p - p_0| / √(sum of |g|²), and an average",
        when="no learning rate to tune; evaluate the average",
        learning_rate=1.0,
        quadratic_rate=1.0,
        gallery_rate=1.0,
        presets={"paper": {}, "optax": {}},
    ),
    OptimizerRecord(
        constructor=dowg,
        rule=Dowg,
        family="no rate",
        formula="d = g r² / √(sum of r² |g|²), r = max|p - p_0|",
        when="no learning rate to tune",
        slots=1,
        learning_rate=1.0,
        quadratic_rate=1.0,
        gallery_rate=1.0,
        presets={"paper": {}, "optax": {}},
    ),
)
