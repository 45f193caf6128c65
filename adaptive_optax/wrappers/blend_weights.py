"""The weights of a mixture: given, or learned from how each member is judged.

A rule of learning is `start(weights)` and `learn(weights, learned, losses, step_size)`, which gives
new weights and what they learn from, on vectors of one number per member; losses lie in [-1, 1].
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import wide
from adaptive_optax.core.checks import caller, check_rate
from adaptive_optax.core.types import Scalar

GAP = 0.1  # to start with: from 0 the first rounding apart would put all weight on one member


class Hedged(NamedTuple):
    """What AdaHedge remembers."""

    prior: Any  # the weights given, shape (members,)
    losses: Any  # the sum of each member's, shape (members,)
    gap: Any  # the sum of the mixability gaps, shape ()


class Learning(NamedTuple):
    """A rule by which weights learn."""

    start: Callable[[jax.Array], Any]
    learn: Callable[[jax.Array, Any, jax.Array, Scalar], tuple[jax.Array, Any]]


def _start_hedge(weights: jax.Array) -> Hedged:
    return Hedged(jnp.array(weights), jnp.zeros_like(weights), jnp.full_like(weights[0], GAP))


def _hedge(
    weights: jax.Array, learned: Hedged, losses: jax.Array, step_size: Scalar
) -> tuple[jax.Array, Hedged]:
    """AdaHedge, from the weights given as its prior."""
    rate = _hedge_rate(learned)
    least = jnp.min(jnp.where(weights > 0, losses, jnp.inf))
    shares = weights * jnp.exp(-rate * jnp.maximum(losses - least, 0.0))
    mixed = least - jnp.log(jnp.sum(shares)) / rate
    gap = learned.gap + jnp.maximum(jnp.sum(weights * losses) - mixed, 0.0)
    learned = learned._replace(losses=learned.losses + losses, gap=gap)
    best = jnp.min(jnp.where(learned.prior > 0, learned.losses, jnp.inf))
    behind = jnp.maximum(learned.losses - best, 0.0)
    new = learned.prior * jnp.exp(-_hedge_rate(learned) * behind)
    return new / jnp.sum(new), learned


def _descend(
    weights: jax.Array, rounds: jax.Array, losses: jax.Array, step_size: Scalar
) -> tuple[jax.Array, jax.Array]:
    """Descent along the losses, back to the nearest point of the simplex, in ever smaller steps."""
    judged = jnp.any(losses != 0)
    rounds = rounds + judged.astype(rounds.dtype)
    point = weights - step_size / jnp.sqrt(jnp.maximum(rounds, 1)) * losses
    return jnp.where(judged, _projected(point), weights), rounds


LEARNING = {
    "hedge": Learning(_start_hedge, _hedge),
    "hypergradient": Learning(lambda weights: jnp.zeros_like(weights[0]), _descend),
}


def _hedge_rate(learned: Hedged) -> jax.Array:
    """AdaHedge's eta."""
    return jnp.asarray(math.log(max(len(learned.losses), 2)) / learned.gap)


def _projected(point: jax.Array) -> jax.Array:
    """The point of the simplex that is nearest (Held, Wolfe & Crowder, 1974)."""
    falling = -jnp.sort(-point)
    excess = (jnp.cumsum(falling) - 1) / jnp.arange(1, len(point) + 1, dtype=point.dtype)
    kept = jnp.sum(falling > excess)
    return jnp.maximum(point - excess[kept - 1], 0.0)


def checked_weights(names: Sequence[str], weights: Any) -> dict[str, Any]:
    """One weight or schedule a member, by name; equal ones where none are given.

    Raises:
      TypeError, ValueError: where they are not at least 0, or not of these members.
    """
    if weights is None:
        return dict.fromkeys(names, 1.0)
    if not isinstance(weights, Mapping):
        if not isinstance(weights, Sequence) or len(weights) != len(names):
            raise ValueError(
                f"{caller()}(weights={weights!r}): weights must be one number a member, as a dict "
                f"by name, or in the members' order."
            )
        weights = dict(zip(names, weights, strict=True))
    if set(weights) != set(names):
        raise ValueError(
            f"{caller()}(weights={{{', '.join(map(repr, weights))}}}): weights must have the "
            f"members' names, {', '.join(map(repr, names))}."
        )
    for name in names:
        check_rate(**{f"weights[{name!r}]": weights[name]})
    plain = [weight for weight in weights.values() if isinstance(weight, int | float)]
    if len(plain) == len(names) and sum(plain) == 0:
        raise ValueError(f"{caller()}(weights=0): at least one weight must be above 0.")
    return dict(weights)


def weights_at(weights: Mapping[str, Any], count: Any) -> jax.Array:
    """The weights of the update that follows `count` others; their sum is 1."""
    now = jnp.stack([wide(each(count) if callable(each) else each) for each in weights.values()])
    return now / jnp.sum(now)
