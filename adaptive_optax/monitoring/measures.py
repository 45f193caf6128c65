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

    place: int  # in the tree
    g: jax.Array
    u: jax.Array
    p: jax.Array | None


class Noise(NamedTuple):
    """Averages over the measures, which tell the gradient's mean from what changes."""

    sample: Any  # of coordinates of the gradients, float32, (coordinates,)
    power: Any  # of the sample's squared norm, float32, shape ()
    times: Any  # how many measures are in them: those of finite gradients; int32, shape ()


class Norms(NamedTuple):
    """Norms of one group, float32."""

    gradient: jax.Array
    update: jax.Array
    parameter: jax.Array


def no_noise(leaves: list[Any]) -> Noise:
    """The averages before the first measure, for the trained leaves of a group."""
    size = sum(sample_size(leaf) for leaf in leaves)
    zero = jnp.zeros((), jnp.float32)
    return Noise(jnp.zeros(size, jnp.float32), zero, jnp.zeros((), jnp.int32))


@jax.jit  # outside of jit too: its conditions would be compiled anew at each call
def measured(
    groups: Mapping[str, list[Leaf]], noise: Mapping[str, Noise]
) -> tuple[dict[str, dict[str, jax.Array]], dict[str, Noise]]:
    """The measures of each group and of the whole, float32 scalars, and the noise's averages.

    Args:
      groups: the trained leaves of each group; a group may have none.
      noise: the averages before.
    """
    norms = {name: _norms(leaves) for name, leaves in groups.items()}
    whole = Norms(*(_together(each) for each in zip(*norms.values(), strict=True)))
    products = {name: _product(leaves, whole) for name, leaves in groups.items()}
    noise = {
        name: _averaged(noise[name], leaves, jnp.isfinite(norms[name].gradient))
        for name, leaves in groups.items()
    }
    found = {}
    for name, own in norms.items():
        part = products[name] * _over(whole.gradient, own.gradient)
        part = part * _over(whole.update, own.update)
        found[name] = _measures(own, part, [noise[name]])
    product = jnp.asarray(sum(products.values()))
    found[WHOLE] = _measures(whole, product, list(noise.values()))
    return found, noise


def _measures(norms: Norms, product: jax.Array, noise: list[Noise]) -> dict[str, Any]:
    has_params = norms.parameter > 0
    ratio = jnp.where(has_params, _over(norms.update, norms.parameter), jnp.nan)
    share = jnp.where(jnp.isfinite(norms.gradient), _share(noise), jnp.nan)
    return dict(zip(NAMES, (*norms, ratio, -product, share), strict=True))


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


def _averaged(noise: Noise, leaves: list[Leaf], finite: jax.Array) -> Noise:
    """The averages with this measure in them; as they are where it is not finite."""
    if not leaves:
        return noise
    now = jnp.concatenate([sample_of(leaf.g) for leaf in leaves])
    power = DECAY * noise.power + (1 - DECAY) * jnp.sum(jnp.square(now))
    new = Noise(DECAY * noise.sample + (1 - DECAY) * now, power, noise.times + 1)
    return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, noise)


def _share(noise: list[Noise]) -> jax.Array:
    """The share of the squared gradient that is not its mean's, in [0, 1]; nan at first.

    With weights w of sum 1 over the past gradients, E |sum w g|^2 = |E g|^2 + c V and
    E sum w |g|^2 = |E g|^2 + V, where V is the gradient's variance and c the sum of w^2.
    """
    variance, whole, known = jnp.zeros(()), jnp.zeros(()), jnp.ones((), bool)
    for each in noise:
        if each.sample.size == 0:
            continue
        known &= each.times > 1
        weight = 1 - DECAY ** jnp.maximum(each.times, 1).astype(jnp.float32)
        c = (1 - DECAY) / (1 + DECAY) * (2 - weight) / weight
        of_mean = jnp.sum(jnp.square(each.sample / weight))
        of_all = each.power / weight
        whole += of_all
        variance += (of_all - of_mean) / jnp.where(each.times > 1, 1 - c, 1.0)
    share = jnp.clip(variance / jnp.where(whole > 0, whole, 1.0), 0.0, 1.0)
    return jnp.where(known & (whole > 0), share, jnp.nan)


def _over(x: jax.Array, y: jax.Array) -> jax.Array:
    """X over y; 0 where y is 0."""
    return jnp.where(y == 0, 0.0, x / jnp.where(y == 0, 1.0, jnp.maximum(y, 1e-37)))


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(working_dtype(x.dtype))
