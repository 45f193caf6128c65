"""What is read of one leaf in an update: three norms, a cosine, and a sample of the gradient.

Each large leaf is read under a condition of its own. Under one for all, every gradient and
every update would have to stay in memory until the last of them is there.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import divided, scaled, working_dtype
from adaptive_optax.monitoring.sample import sample_of

LARGE = 2**16  # numbers; smaller leaves share a condition


class Leaf(NamedTuple):
    """One parameter in an update."""

    g: jax.Array
    u: jax.Array
    p: jax.Array | None


class Reading(NamedTuple):
    """What is read of one leaf; float32 scalars, and the sample."""

    gradient: Any  # |g|
    update: Any  # |u|
    parameter: Any  # |p|, 0 where there is no p
    cosine: Any  # of u and -g; 0 where one of them is 0
    sample: Any  # of g, as `sample_of` takes it


def readings(leaves: list[Leaf], due: Any) -> list[Reading]:
    """What is read of each leaf where it is due; zeros where it is not.

    Args:
      leaves: the trained leaves, in order.
      due: a bool, or a traced one.
    """
    if not isinstance(due, jax.core.Tracer):
        return [_read(leaf) if due else _nothing(leaf) for leaf in leaves]
    found: dict[int, Reading] = {}
    small = [i for i, leaf in enumerate(leaves) if leaf.g.size < LARGE]
    for places in ([i] for i in range(len(leaves)) if leaves[i].g.size >= LARGE):
        found |= _those(leaves, places, due)
    found |= _those(leaves, small, due) if small else {}
    return [found[i] for i in range(len(leaves))]


def over(x: jax.Array, y: jax.Array) -> jax.Array:
    """X over y; 0 where y is 0. The inverse of the largest numbers is subnormal, taken for 0."""
    by = jnp.where(y > 2.0**125, 0.125, 1.0)
    return jnp.where(y == 0, 0.0, (x * by) / jnp.where(y == 0, 1.0, y * by))


def _those(leaves: list[Leaf], places: list[int], due: jax.Array) -> dict[int, Reading]:
    """The readings of some of the leaves, by their places, under one condition."""
    own = [leaves[i] for i in places]
    found = jax.lax.cond(due, lambda: list(map(_read, own)), lambda: list(map(_nothing, own)))
    return dict(zip(places, found, strict=True))


def _nothing(leaf: Leaf) -> Reading:
    shapes = jax.eval_shape(_read, leaf)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


@jax.jit
def _read(leaf: Leaf) -> Reading:
    """One pass over each array where the squares neither overflow nor vanish; else one more."""
    arrays = tuple(None if x is None else x.astype(working_dtype(x.dtype)) for x in leaf)
    norms, product = _sums(arrays)
    fine = functools.reduce(jnp.logical_and, map(_in_range, norms[: 2 if leaf.p is None else 3]))

    def plainly():
        return _finished(norms, product)

    def carefully():
        largest = [_largest(x) for x in arrays]
        *sizes, cosine = _finished(*_sums(arrays, largest))
        return (*(size * m for size, m in zip(sizes, largest, strict=True)), cosine)

    gradient, update, parameter, cosine = jax.lax.cond(fine, plainly, carefully)
    return Reading(gradient, update, parameter, cosine, sample_of(leaf.g))


def _finished(squares: list[jax.Array], product: jax.Array) -> tuple[jax.Array, ...]:
    gradient, update, parameter = map(jnp.sqrt, squares)
    return gradient, update, parameter, over(product, gradient * update)


def _sums(arrays: Any, largest: Any = (None, None, None)) -> tuple[list[jax.Array], jax.Array]:
    """The sums of squares of g, u and p, and that of -g u; of each over these numbers, if given.

    g and u are scaled once by a quotient and once by a product: written alike, XLA would keep the
    scaled array in memory for both sums.
    """
    squares = [_square(x, m) for x, m in zip(arrays, largest, strict=True)]
    g, u = (
        x if m is None else scaled(x, over(jnp.float32(1), m))
        for x, m in zip(arrays[:2], largest[:2], strict=True)
    )
    product = -jnp.sum((g.conj() * u.astype(g.dtype)).real)
    return squares, product.astype(jnp.float32)


def _square(x: jax.Array | None, largest: jax.Array | None) -> jax.Array:
    """The sum of squares of x, over a number if given; 0 of nothing."""
    if x is None:
        return jnp.zeros((), jnp.float32)
    if largest is not None:
        x = divided(x, jnp.where(largest > 0, largest, 1.0))
    return jnp.sum((x.conj() * x).real).astype(jnp.float32)


def _in_range(total: jax.Array) -> jax.Array:
    """Whether a sum of squares neither overflowed nor vanished; of nan nothing more is known."""
    return ((total > 1e-30) & (total < 1e30)) | jnp.isnan(total)


def _largest(x: jax.Array | None) -> jax.Array:
    """The largest modulus, float32, as far as its inverse is no subnormal; 0 of nothing."""
    if x is None:
        return jnp.zeros((), jnp.float32)
    return jnp.minimum(jnp.max(jnp.abs(x), initial=0.0), 2.0**125).astype(jnp.float32)
