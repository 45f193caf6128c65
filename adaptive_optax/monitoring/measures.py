"""What `monitored` measures: norms of gradient, update and parameters, and what follows from them.

Whatever the groups are, every array is read once a measure: the whole is added up from its groups.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import norm, scaled, working_dtype
from adaptive_optax.monitoring.sample import sample_of, sample_size

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


class Leaf(NamedTuple):
    """One parameter in an update."""

    index: int  # its place in the tree
    g: jax.Array
    u: jax.Array
    p: jax.Array | None


class Noise(NamedTuple):
    """Averages over the measures, which tell the gradient's mean from what changes."""

    sample: Any  # of coordinates of the gradients, float32, (coordinates,)
    power: Any  # of the sample's squared norm, float32, shape ()


class Norms(NamedTuple):
    """Norms of one group, float32."""

    gradient: jax.Array
    update: jax.Array
    parameter: jax.Array


def no_noise(leaves: list[Any]) -> Noise:
    """The averages before the first measure, for the trained leaves of a group."""
    size = sum(sample_size(leaf) for leaf in leaves)
    return Noise(jnp.zeros(size, jnp.float32), jnp.zeros((), jnp.float32))


def measured(
    groups: Mapping[str, list[Leaf]], noise: Mapping[str, Noise], times: jax.Array
) -> tuple[dict[str, dict[str, jax.Array]], dict[str, Noise]]:
    """The measures of each group and of the whole, float32 scalars, and the noise's averages.

    Args:
      groups: the trained leaves of each group; a group may have none.
      noise: the averages before.
      times: the number of this measure, 1 at the first.
    """
    norms = {name: _norms(leaves) for name, leaves in groups.items()}
    whole = Norms(*(_together(each) for each in zip(*norms.values(), strict=True)))
    products = {name: _product(leaves, whole) for name, leaves in groups.items()}
    noise = {name: _averaged(noise[name], leaves) for name, leaves in groups.items()}
    found = {}
    for name, own in norms.items():
        part = products[name] * _over(whole.gradient, own.gradient)
        part = part * _over(whole.update, own.update)
        found[name] = _measures(own, part, [noise[name]], times)
    product = jnp.asarray(sum(products.values()))
    found[WHOLE] = _measures(whole, product, list(noise.values()), times)
    return found, noise


def _measures(
    norms: Norms, product: jax.Array, noise: list[Noise], times: jax.Array
) -> dict[str, Any]:
    has_params = norms.parameter > 0
    ratio = jnp.where(has_params, _over(norms.update, norms.parameter), jnp.nan)
    return dict(zip(NAMES, (*norms, ratio, -product, _share(noise, times)), strict=True))


def _norms(leaves: list[Leaf]) -> Norms:
    params = [leaf.p for leaf in leaves if leaf.p is not None]
    known = len(params) == len(leaves)
    parameter = norm_of(params) if known else jnp.full((), jnp.nan, jnp.float32)
    return Norms(norm_of([leaf.g for leaf in leaves]), norm_of([x.u for x in leaves]), parameter)


def norm_of(arrays: list[jax.Array]) -> jax.Array:
    """The norm of all arrays, float32; inf or nan where one of them has such.

    One pass where the squares neither overflow nor vanish; two more where they do.
    """
    wide = [_wide(x) for x in arrays]
    total = jnp.zeros((), jnp.float32)
    for x in wide:
        total += jnp.sum((x.conj() * x).real).astype(jnp.float32)

    def carefully():
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in wide]))
        size = norm(jnp.stack([norm(x).astype(jnp.float32) for x in wide]))
        return jnp.where(finite, size, jnp.inf)

    if not arrays:
        return total
    fine = ((total > 1e-30) & (total < jnp.inf)) | jnp.isnan(total)
    return jax.lax.cond(fine, lambda: jnp.sqrt(total), carefully)


def _together(norms: tuple[jax.Array, ...]) -> jax.Array:
    """The norm of what has these norms."""
    return norms[0] if len(norms) == 1 else norm_of([jnp.stack(norms)])


def _product(leaves: list[Leaf], whole: Norms) -> jax.Array:
    """The inner product of g and u over the whole tree's norms of them; 0 where one is 0."""
    one = jnp.float32(1)

    def summed(over_g, over_u):
        total = jnp.zeros((), jnp.float32)
        for leaf in leaves:
            g, u = scaled(_wide(leaf.g).conj(), over_g), scaled(_wide(leaf.u), over_u)
            total += jnp.sum((g * u.astype(g.dtype)).real).astype(jnp.float32)
        return total

    def carefully():
        return summed(_over(one, whole.gradient), _over(one, whole.update))

    size = whole.gradient * whole.update
    plain = summed(one, one)  # reads g and u without waiting for their norms
    fine = (size > 1e-30) & (size < 1e37) | jnp.isnan(size)
    return jax.lax.cond(fine, lambda: plain / size, carefully)


def _averaged(noise: Noise, leaves: list[Leaf]) -> Noise:
    """The averages with this measure in them."""
    if not leaves:
        return noise
    now = jnp.concatenate([sample_of(leaf.g) for leaf in leaves])
    power = DECAY * noise.power + (1 - DECAY) * jnp.sum(jnp.square(now))
    return Noise(DECAY * noise.sample + (1 - DECAY) * now, power)


def _share(noise: list[Noise], times: jax.Array) -> jax.Array:
    """The share of the squared gradient that is not its mean's, in [0, 1]; nan at first.

    With weights w of sum 1 over the past gradients, E |sum w g|^2 = |E g|^2 + c V and
    E sum w |g|^2 = |E g|^2 + V, where V is the gradient's variance and c the sum of w^2.
    """
    weight = 1 - DECAY ** times.astype(jnp.float32)
    c = (1 - DECAY) / (1 + DECAY) * (2 - weight) / weight
    of_mean = jnp.asarray(sum(jnp.sum(jnp.square(each.sample / weight)) for each in noise))
    of_all = jnp.asarray(sum(each.power for each in noise)) / weight
    known = (times > 1) & (of_all > 0)
    variance = (of_all - of_mean) / jnp.where(times > 1, 1 - c, 1.0)
    share = jnp.clip(variance / jnp.where(of_all > 0, of_all, 1.0), 0.0, 1.0)
    return jnp.where(known, share, jnp.nan)


def _over(x: jax.Array, y: jax.Array) -> jax.Array:
    """X over y; 0 where y is 0."""
    return jnp.where(y == 0, 0.0, x / jnp.where(y == 0, 1.0, jnp.maximum(y, 1e-37)))


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(working_dtype(x.dtype))
