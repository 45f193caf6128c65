"""DoG and DoWG: the distance from the start over the norm of the gradients.

DoG is of Ivgi, Hinder & Carmon, 2023, arXiv:2302.12022, and DoWG, which weighs the norms, of
Khaled, Mishchenko & Jin, 2023, arXiv:2305.16284.

    distance <- max(distance, |p - p_0|)            first initial_distance (1 + |p_0|) in DoG
    DoG     size^2 <- size^2 + |g|^2                     d = distance g / sqrt(size^2 + eps)
    DoWG    size^2 <- size^2 + distance^2 |g|^2          d = distance^2 g / (size + eps)

All norms are of the whole tree. One slot a parameter, p_0, and another for DoG's average. When to
use it: no learning rate to tune, a rate of 1; DoG is made to be evaluated at its average,
`eval_params(state, params)`. Departures: none. For weight decay chain
`optax.add_decayed_weights` before it, as part of the loss.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import norm, scaled
from adaptive_optax.core.checks import check_non_negative, check_positive
from adaptive_optax.core.descend import descend, walking
from adaptive_optax.core.treewise import norm_of_all, treewise, wide
from adaptive_optax.core.types import Scalar, Schedule, Transformation
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


def scale_by_dog(initial_distance: Scalar = 1e-6, eps: Scalar = 1e-8) -> Transformation:
    """The gradient times DoG's step size.

    Args:
      initial_distance: the first distance in units of 1 + |p_0|, above 0; the paper takes 1e-4
        for nets with batch normalization.
      eps: added to the sum of squares under the root, at least 0.

    Raises:
      ValueError: for an option out of range; at update, where params are missing.
    """
    check_positive("dog", initial_distance=initial_distance)
    check_non_negative("dog", eps=eps)

    def start(leaves):
        return DogShared(
            scaled(1 + norm_of_all([norm(p) for p in leaves]), initial_distance), wide(0.0)
        )

    def settle(lengths, shared):
        distance = jnp.maximum(shared.distance, norm(lengths.moved))
        size = norm_of_all([shared.size, norm(lengths.gradient)])
        below = norm_of_all([size, jnp.sqrt(wide(eps))])
        return DogShared(distance, size), distance / jnp.where(below > 0, below, 1.0)

    return _distance_over("scale_by_dog", start, settle)


def scale_by_dowg(initial_distance: Scalar = 1e-2, eps: Scalar = 1e-4) -> Transformation:
    """The gradient times DoWG's step size.

    Args:
      initial_distance: the first distance, above 0.
      eps: added to the root of the weighted sum of squares, at least 0.

    Raises:
      ValueError: for an option out of range; at update, where params are missing.
    """
    check_positive("dowg", initial_distance=initial_distance)
    check_non_negative("dowg", eps=eps)

    def start(leaves):
        return DogShared(wide(initial_distance), wide(0.0))

    def settle(lengths, shared):
        distance = jnp.maximum(shared.distance, norm(lengths.moved))
        size = norm_of_all([shared.size, distance * norm(lengths.gradient)])
        below = size + wide(eps)
        return DogShared(distance, size), distance * (distance / jnp.where(below > 0, below, 1.0))

    return _distance_over("scale_by_dowg", start, settle)


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
    tx = averaged(descend(scale_by_dog(initial_distance, eps), learning_rate))
    return walking(tx, learning_rate)


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
    return descend(scale_by_dowg(initial_distance, eps), learning_rate)


def _distance_over(name, start, settle) -> Transformation:
    """The gradient times what `settle` makes of the distance and the gradients' norms."""

    def init(p):
        return DogSlots(anchor=p)

    def measure(g, slots, p, shared, count):
        return Lengths(norm(p - slots.anchor), norm(g))

    def update(g, slots, p, step_size):
        return scaled(g, step_size), slots

    return treewise(
        DogSlots,
        init,
        update,
        name=name,
        start=start,
        measure=measure,
        settle=lambda lengths, shared, count: settle(lengths, shared),
    )
