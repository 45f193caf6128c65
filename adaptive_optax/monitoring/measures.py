"""What `monitored` measures: norms of gradient, update and parameters, and what follows from them.

Whatever the groups are, every array is read once a measure: the whole is added up from its groups.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.rate import UNKNOWN
from adaptive_optax.monitoring.readings import Reading, over
from adaptive_optax.monitoring.sample import sample_size

NAMES = (
    "gradient_norm",
    "update_norm",
    "parameter_norm",
    "update_ratio",
    "cosine",
    "gradient_noise",
)
WHOLE = ""  # the name of all groups together
DECAY = 0.9  # of the averages over measures that the noise is told from


class Noise(NamedTuple):
    """Averages over the measures, which tell the gradient's mean from what changes."""

    sample: Any  # of coordinates of the gradients, float32, (coordinates,)
    power: Any  # of the sample's squared norm, float32, shape ()
    times: Any  # how many measures are in them: those of finite gradients; int32, shape ()


def no_noise(leaves: list[Any]) -> Noise:
    """The averages before the first measure, for the trained leaves of a group."""
    size = max(1, sum(sample_size(leaf) for leaf in leaves))  # orbax saves no empty array
    zero = jnp.zeros((), jnp.float32)
    return Noise(jnp.zeros(size, jnp.float32), zero, jnp.zeros((), jnp.int32))


@jax.jit  # outside of jit too: one dispatch
def measured(
    groups: Mapping[str, list[Reading]], noise: Mapping[str, Noise]
) -> tuple[dict[str, dict[str, jax.Array]], dict[str, Noise]]:
    """The measures of each group and of the whole, float32 scalars, and the noise's averages.

    Args:
      groups: what was read of the trained leaves of each group; a group may have none.
      noise: the averages before.
    """
    noise = {name: _averaged(noise[name], own) for name, own in groups.items()}
    known = {name: [noise[name]] if own else [] for name, own in groups.items()}
    found = {name: _measures(own, _share(known[name])) for name, own in groups.items()}
    everything = [reading for own in groups.values() for reading in own]
    found[WHOLE] = _measures(everything, _share([each for own in known.values() for each in own]))
    return found, noise


def _measures(readings: list[Reading], share: jax.Array) -> dict[str, Any]:
    zero = jnp.zeros((), jnp.float32)
    columns = [jnp.stack([zero, *(reading[k] for reading in readings)]) for k in range(4)]
    gradient, update, parameter = (_norm(column) for column in columns[:3])
    parts = columns[3] * over(columns[0], gradient) * over(columns[1], update)
    ratio = jnp.where(parameter > 0, over(update, parameter), UNKNOWN)
    share = jnp.where(jnp.isfinite(gradient), share, UNKNOWN)
    found = (gradient, update, parameter, ratio, jnp.sum(parts), share)
    return dict(zip(NAMES, found, strict=True))


def _norm(norms: jax.Array) -> jax.Array:
    """The norm of what has these norms; inf or nan where one of them is."""
    largest = jnp.max(norms)
    known = (largest > 0) & (largest < jnp.inf)
    by = jnp.where(known, jnp.minimum(largest, 2.0**125), 1.0)  # its inverse is no subnormal
    return jnp.where(known, by * jnp.sqrt(jnp.sum(jnp.square(norms / by))), largest)


def _averaged(noise: Noise, readings: list[Reading]) -> Noise:
    """The averages with this measure in them, if it is finite and of all the leaves."""
    found = [reading.sample for reading in readings]
    if sum(each.size for each in found) != noise.sample.size or not found:
        return noise
    finite = jnp.isfinite(jnp.stack([reading.gradient for reading in readings])).all()
    weight = jnp.where(finite, jnp.float32(1 - DECAY), 0.0)
    now = jnp.where(finite, jnp.concatenate(found), 0.0)
    sample = (1 - weight) * noise.sample + weight * now
    power = (1 - weight) * noise.power + weight * jnp.sum(jnp.square(now))
    return Noise(sample, power, noise.times + finite.astype(noise.times.dtype))


def _share(noise: list[Noise]) -> jax.Array:
    """The share of the squared gradient that is not its mean's, in [0, 1]; unknown at first.

    With weights w of sum 1 over the past gradients, E |sum w g|^2 = |E g|^2 + c V and
    E sum w |g|^2 = |E g|^2 + V, where V is the gradient's variance and c the sum of w^2.
    """
    of_all, variance = (jnp.zeros((), jnp.float32) for _ in range(2))
    known = jnp.ones((), bool)
    for each in noise:
        times = jnp.maximum(each.times, 2).astype(jnp.float32)
        weight = -jnp.expm1(times * math.log(DECAY))
        c = (1 - DECAY) / (1 + DECAY) * (2 - weight) / weight
        own = each.power / weight
        variance += (own - jnp.sum(jnp.square(each.sample / weight))) / (1 - c)
        of_all += own
        known &= each.times > 1
    share = jnp.clip(variance / jnp.where(of_all > 0, of_all, 1.0), 0.0, 1.0)
    return jnp.where(known & (of_all > 0), share, UNKNOWN)
