"""What `monitored` measures: norms of gradient, update and parameters, and what follows from them.

Whatever the groups are, every array is read once a measure: the whole is added up from its groups.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import scaled, working_dtype
from adaptive_optax.core.rate import UNKNOWN
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
    sums = _sums(groups)
    fine = jnp.stack([_in_range(each) for own in sums.values() for each in own[:3]]).all()
    norms, cosines = jax.lax.cond(fine, lambda: _plainly(sums), lambda: _carefully(groups))
    noise = {name: _averaged(noise[name], leaves) for name, leaves in groups.items()}
    found = {}
    for name in (*groups, WHOLE):
        own = list(noise.values()) if name == WHOLE else [noise[name]]
        found[name] = _measures(norms[name], cosines[name], _share(own))
    return found, noise


def _measures(norms: Norms, cosine: jax.Array, share: jax.Array) -> dict[str, Any]:
    ratio = jnp.where(norms.parameter > 0, _over(norms.update, norms.parameter), UNKNOWN)
    return dict(zip(NAMES, (*norms, ratio, cosine, share), strict=True))


class _Sums(NamedTuple):
    """Of one group, each read once: |g|^2, |u|^2, |p|^2 and <u, -g>."""

    gradient: jax.Array
    update: jax.Array
    parameter: jax.Array
    product: jax.Array


def _sums(groups: Mapping[str, list[Leaf]], over: Norms | None = None) -> dict[str, _Sums]:
    """The sums of each group; of g, u and p over these numbers, if given."""
    one = jnp.float32(1)
    by = Norms(one, one, one) if over is None else Norms(*(_over(one, each) for each in over))
    found = {}
    for name, leaves in groups.items():
        sums = [jnp.zeros((), jnp.float32)] * 4
        for leaf in leaves:
            g, u = scaled(_wide(leaf.g), by.gradient), scaled(_wide(leaf.u), by.update)
            p = jnp.zeros(()) if leaf.p is None else scaled(_wide(leaf.p), by.parameter)
            products = (g.conj() * g, u.conj() * u, p.conj() * p, -g.conj() * u.astype(g.dtype))
            own = [jnp.sum(each.real).astype(jnp.float32) for each in products]
            sums = [before + each for before, each in zip(sums, own, strict=True)]
        found[name] = _Sums(*sums)
    return found


def _in_range(total: jax.Array) -> jax.Array:
    """Whether a sum of squares neither overflowed nor vanished; of nan nothing more is known."""
    return ((total > 1e-30) & (total < 1e30)) | jnp.isnan(total)


def _plainly(sums: Mapping[str, _Sums]) -> tuple[dict[str, Norms], dict[str, jax.Array]]:
    """Norms and cosines of each group and of the whole, from the sums."""
    whole = _Sums(*(jnp.sum(jnp.stack(each)) for each in zip(*sums.values(), strict=True)))
    norms, cosines = {}, {}
    for name, own in (*sums.items(), (WHOLE, whole)):
        norms[name] = Norms(*(jnp.sqrt(each) for each in own[:3]))
        cosines[name] = _over(own.product, norms[name].gradient * norms[name].update)
    return norms, cosines


def _carefully(groups: Mapping[str, list[Leaf]]) -> tuple[dict[str, Norms], dict[str, jax.Array]]:
    """The same where squares overflow or vanish: of g, u and p over their largest numbers."""
    leaves = [leaf for own in groups.values() for leaf in own]
    largest = Norms(
        _largest([leaf.g for leaf in leaves]),
        _largest([leaf.u for leaf in leaves]),
        _largest([leaf.p for leaf in leaves if leaf.p is not None]),
    )
    norms, cosines = _plainly(_sums(groups, largest))
    for name, own in norms.items():
        pairs = zip(own, largest, strict=True)
        norms[name] = Norms(*(jnp.where(jnp.isinf(m), m, each * m) for each, m in pairs))
    return norms, cosines


def _largest(arrays: list[jax.Array]) -> jax.Array:
    """The largest modulus in all arrays, float32."""
    found = [jnp.max(jnp.abs(_wide(x)), initial=0.0).astype(jnp.float32) for x in arrays]
    return jnp.max(jnp.stack([jnp.zeros((), jnp.float32), *found]))


def _averaged(noise: Noise, leaves: list[Leaf]) -> Noise:
    """The averages with this measure in them, if it is finite and of all the leaves."""
    found = [sample_of(leaf.g) for leaf in leaves]
    if sum(each.size for each in found) != noise.sample.size or not found:
        return noise
    now = jnp.concatenate(found)
    square = jnp.sum(jnp.square(now))
    power = DECAY * noise.power + (1 - DECAY) * square
    new = Noise(DECAY * noise.sample + (1 - DECAY) * now, power, noise.times + 1)
    return jax.tree.map(lambda a, b: jnp.where(jnp.isfinite(square), a, b), new, noise)


def _share(noise: list[Noise]) -> jax.Array:
    """The share of the squared gradient that is not its mean's, in [0, 1]; unknown at first.

    With weights w of sum 1 over the past gradients, E |sum w g|^2 = |E g|^2 + c V and
    E sum w |g|^2 = |E g|^2 + V, where V is the gradient's variance and c the sum of w^2.
    """
    of_all, variance = (jnp.zeros((), jnp.float32) for _ in range(2))
    known = jnp.ones((), bool)
    for each in noise:
        if each.sample.size:
            times = jnp.maximum(each.times, 2).astype(jnp.float32)
            weight = -jnp.expm1(times * math.log(DECAY))
            c = (1 - DECAY) / (1 + DECAY) * (2 - weight) / weight
            own = each.power / weight
            variance += (own - jnp.sum(jnp.square(each.sample / weight))) / (1 - c)
            of_all += own
            known &= each.times > 1
    share = jnp.clip(variance / jnp.where(of_all > 0, of_all, 1.0), 0.0, 1.0)
    return jnp.where(known & (of_all > 0), share, UNKNOWN)


def _over(x: jax.Array, y: jax.Array) -> jax.Array:
    """X over y; 0 where y is 0."""
    return jnp.where(y == 0, 0.0, x / jnp.where(y == 0, 1.0, y))


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(working_dtype(x.dtype))
