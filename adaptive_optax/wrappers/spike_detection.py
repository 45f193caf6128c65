"""Running mean and spread of a number that is watched, and what of it is a spike.

    w = max(1 / n, 1 / window)                           n numbers so far, this one with them
    spread <- sqrt((1 - w) (spread^2 + w (x - mean)^2))
    mean   <- mean + w (x - mean)
    spike:  x - mean > sigmas max(spread, least), of the mean and spread before x

The plain mean and spread of the first `window` numbers, then exponential ones. A number far below
the mean counts as one that is sigmas spreads below it, as no number farther above is ever counted:
one batch without a gradient does not widen the spread. Three scalars, float32 and int32.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import clipped, norm
from adaptive_optax.core.types import Scalar

OF_LOSS = 0.01  # least spread of a loss, as a share of its mean: a loss that rests is not exact
OF_NORM = 0.1  # least spread of the logarithm of a norm: within a tenth of it nothing is strange


class Running(NamedTuple):
    """What is known of a number; all of shape ()."""

    count: Any  # numbers so far, int32
    mean: Any  # float32
    spread: Any  # the root of their variance, float32


class Judgement(NamedTuple):
    """How numbers are judged."""

    sigmas: Scalar  # spreads above the mean that are borne
    window: Scalar  # numbers that the mean is over
    warm_up: Scalar  # numbers before the first is judged


def no_numbers() -> Running:
    """What is known before the first number."""
    return Running(jnp.zeros((), jnp.int32), *(jnp.zeros((), jnp.float32) for _ in range(2)))


def judged(by: Judgement, known: Running, x: jax.Array, least: Scalar) -> tuple[jax.Array, Running]:
    """Whether a number is a spike, and what is known after it if it is none.

    Args:
      by: how it is judged.
      known: of the numbers before.
      x: a float32 of shape ().
      least: what the spread is taken for at least.
    """
    count = optax.safe_increment(known.count)
    share = jnp.maximum(1 / count.astype(jnp.float32), 1 / _real(by.window))
    most = _real(by.sigmas) * jnp.maximum(known.spread, _real(least))
    away = clipped(x, float(jnp.finfo(x.dtype).max) / 4) - known.mean  # does not overflow
    judges = (known.count >= by.warm_up) & (most > 0)
    spike = judges & (away > most)
    away = jnp.where(judges, jnp.maximum(away, -most), away)
    spread = jnp.sqrt(1 - share) * norm(jnp.stack([known.spread, jnp.sqrt(share) * away]))
    return spike, Running(count, known.mean + share * away, spread)


def _real(x: Scalar) -> jax.Array:
    return jnp.asarray(x, jnp.float32)
