"""How far one tree of arrays goes the way of another: inner product and cosine over all leaves.

No square overflows or vanishes on the way: products are taken of unit vectors, leaf by leaf.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import divided, inner_product, norm, wide
from adaptive_optax.core.leaves import flat, is_trained, matching


class Agreement(NamedTuple):
    """How a gradient agrees with a direction; scalars of the widest float that jax has on."""

    gradient: Any  # the norm of the one
    direction: Any  # the norm of the other
    cosine: Any  # of the angle between them, 0 where one of them is 0

    @property
    def product(self) -> jax.Array:
        """The inner product."""
        return jnp.asarray(self.cosine * self.gradient * self.direction)


def agreement(grads: Any, direction: Any) -> Agreement:
    """The agreement of two trees, of which the second may hold None where nothing is trained."""
    leaves, treedef = flat(grads)
    pairs = zip(leaves, matching(treedef, direction), strict=True)
    found = [_of_leaf(g, d) for g, d in pairs if is_trained(g) and d is not None]
    if not found:
        return Agreement(wide(0.0), wide(0.0), wide(0.0))
    each = Agreement(*(jnp.stack([wide(x) for x in column]) for column in zip(*found, strict=True)))
    of_grads, of_direction = norm(each.gradient), norm(each.direction)
    shares = (each.gradient / _floored(of_grads)) * (each.direction / _floored(of_direction))
    return Agreement(of_grads, of_direction, jnp.sum(shares * each.cosine))


@jax.jit
def _of_leaf(g: jax.Array, d: jax.Array) -> Agreement:
    g = g.astype(d.dtype)
    lengths = norm(g), norm(d)
    units = [divided(x, _floored(length)) for x, length in zip((g, d), lengths, strict=True)]
    return Agreement(*lengths, inner_product(*units))


def _floored(length: jax.Array) -> jax.Array:
    """The length, to divide by: 1 where it is 0."""
    return jnp.where(length > 0, length, 1.0)
