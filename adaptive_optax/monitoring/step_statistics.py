"""Measure one update: norms of gradient, update and parameters, and what follows from them.

Each array is read once per measure, leaf by leaf: three norms, a cosine, and a sample of the
gradient. The whole is summed from the groups. Each large leaf is read under a condition of its own:
under one condition for all, every gradient and every update would have to stay in memory until the
last of them is there.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import divided, scaled, working_dtype
from adaptive_optax.core.matrices import automatic_axes
from adaptive_optax.core.rate import UNKNOWN

NAMES = (
    *("gradient_norm", "update_norm", "parameter_norm"),
    *("update_ratio", "cosine", "gradient_noise"),
)
WHOLE = ""  # the name of all groups together
DECAY = 0.9  # of the averages over measures that the noise is estimated from
LARGE = 2**16  # numbers; smaller leaves share a condition
MOST = 1024  # coordinates of one array in a sample
HUGE = 2.0**125  # the inverses of larger numbers are subnormal, which XLA takes for 0


class Leaf(NamedTuple):
    """One parameter in an update."""

    g: jax.Array
    u: jax.Array
    p: jax.Array | None


class Reading(NamedTuple):
    """What is read of one leaf; float32 scalars, and the sample."""

    gradient: Any  # |g|
    update: Any  # |u|
    parameter: Any  # |p|, 0 if there is no p
    cosine: Any  # of u and -g; 0 if one of them is 0
    sample: Any  # of g, as `sample_of` takes it


class Noise(NamedTuple):
    """Averages over the measures, which separate the gradient's mean from its changes."""

    sample: Any  # of coordinates of the gradients, float32, (coordinates,)
    power: Any  # of the sample's squared norm, float32, shape ()
    times: Any  # how many measures are in them: those of finite gradients; int32, shape ()


def no_noise(leaves: list[Any]) -> Noise:
    """Return the averages before the first measure, for the trained leaves of a group."""
    size = 0
    for x in leaves:
        shape = (2, *x.shape) if jnp.issubdtype(x.dtype, jnp.complexfloating) else x.shape
        size += math.prod(-(-n // step) for n, step in zip(shape, _steps(shape), strict=True))
    zero = jnp.zeros((), jnp.float32)
    sample = jnp.zeros(max(1, size), jnp.float32)  # orbax saves no empty array
    return Noise(sample, zero, jnp.zeros((), jnp.int32))


@jax.jit  # outside of jit too: one dispatch
def measured(
    groups: Mapping[str, list[Reading]], noise: Mapping[str, Noise]
) -> tuple[dict[str, dict[str, jax.Array]], dict[str, Noise]]:
    """Return the measures of each group and of the whole, float32 scalars, and the new averages.

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
    """Return the norm of parts with these norms; inf or nan if one of them is."""
    largest = jnp.max(norms)
    known = (largest > 0) & (largest < jnp.inf)
    by = jnp.where(known, jnp.minimum(largest, HUGE), 1.0)
    return jnp.where(known, by * jnp.sqrt(jnp.sum(jnp.square(norms / by))), largest)


def _averaged(noise: Noise, readings: list[Reading]) -> Noise:
    """Return the averages with this measure included, if it is finite and of all the leaves."""
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
    """Return the share of the squared gradient that is variance, in [0, 1]; unknown at first.

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


def readings(leaves: list[Leaf], due: Any) -> list[Reading]:
    """Return what is read of each leaf if it is due, else zeros.

    Args:
      leaves: the trained leaves, in order.
      due: a bool, or a traced one.
    """
    if not isinstance(due, jax.core.Tracer):
        return [_read(leaf) if due else _zeros(leaf) for leaf in leaves]
    large = [[i] for i, leaf in enumerate(leaves) if leaf.g.size >= LARGE]
    small = [i for i, leaf in enumerate(leaves) if leaf.g.size < LARGE]
    found: dict[int, Reading] = {}
    for places in [*large, small] if small else large:
        own = [leaves[i] for i in places]
        read = jax.lax.cond(
            due, lambda own=own: list(map(_read, own)), lambda own=own: list(map(_zeros, own))
        )
        found |= zip(places, read, strict=True)
    return [found[i] for i in range(len(leaves))]


def over(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return x / y, or 0 if y is 0, for all y."""
    by = jnp.where(y > HUGE, 0.125, 1.0)
    return jnp.where(y == 0, 0.0, (x * by) / jnp.where(y == 0, 1.0, y * by))


def _zeros(leaf: Leaf) -> Reading:
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(_read, leaf))


@jax.jit
def _read(leaf: Leaf) -> Reading:
    """Read each array once if its squares neither overflow nor vanish, else once more."""
    arrays = tuple(None if x is None else x.astype(working_dtype(x.dtype)) for x in leaf)
    squares, product = _sums(arrays)
    known = squares[: 2 if leaf.p is None else 3]
    in_range = [((x > 1e-30) & (x < 1e30)) | jnp.isnan(x) for x in known]

    def finished(squares, product):
        gradient, update, parameter = map(jnp.sqrt, squares)
        return gradient, update, parameter, over(product, gradient * update)

    def carefully():
        nothing = jnp.zeros((), jnp.float32)
        largest = [
            nothing
            if x is None
            else jnp.minimum(jnp.max(jnp.abs(x), initial=0.0), HUGE).astype(jnp.float32)
            for x in arrays
        ]
        *sizes, cosine = finished(*_sums(arrays, largest))
        return (*(size * m for size, m in zip(sizes, largest, strict=True)), cosine)

    fine = functools.reduce(jnp.logical_and, in_range)
    found: Any = jax.lax.cond(fine, lambda: finished(squares, product), carefully)
    gradient, update, parameter, cosine = found
    return Reading(gradient, update, parameter, cosine, sample_of(leaf.g))


def _sums(arrays: Any, largest: Any = (None, None, None)) -> tuple[list[jax.Array], jax.Array]:
    """Return the sums of squares of g, u and p, and the sum of -g u; each over these numbers.

    g and u are scaled once by a quotient and once by a product: written alike, XLA would keep the
    scaled array in memory for both sums.
    """
    squares = [jnp.zeros((), jnp.float32)] * 3
    for i, (x, m) in enumerate(zip(arrays, largest, strict=True)):
        if x is not None:
            x = x if m is None else divided(x, jnp.where(m > 0, m, 1.0))
            squares[i] = jnp.sum((x.conj() * x).real).astype(jnp.float32)
    g, u = (
        x if m is None else scaled(x, over(jnp.float32(1), m))
        for x, m in zip(arrays[:2], largest[:2], strict=True)
    )
    product = -jnp.sum((g.conj() * u.astype(g.dtype)).real)
    return squares, product.astype(jnp.float32)


def sample_of(x: jax.Array) -> jax.Array:
    """Return up to MOST coordinates of x, spread evenly, scaled to its norm; float32.

    >>> float(jnp.sum(sample_of(jnp.full((64, 64), 0.5)) ** 2))
    1024.0
    """
    if jnp.iscomplexobj(x):
        x = jnp.stack([x.real, x.imag])
    places = tuple(slice(None, None, step) for step in _steps(x.shape))
    take = automatic_axes(lambda x: x[places].reshape(-1), jnp.zeros(1))
    found = take(x) if x.size else jnp.zeros(0)
    return jnp.clip(found, -1e15, 1e15).astype(jnp.float32) * (x.size / max(found.size, 1)) ** 0.5


def _steps(shape: tuple[int, ...]) -> list[int]:
    """Return the steps from one sampled coordinate to the next, along each axis."""
    steps = [1] * len(shape)
    while True:
        left = [-(-size // step) for size, step in zip(shape, steps, strict=True)]
        if math.prod(left) <= MOST:
            return steps
        steps[left.index(max(left))] *= 2
