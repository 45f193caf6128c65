"""Blocks of elements along the last axis that share a power of two.

A block stays within one row, whatever the shape, so that blocks are sharded as the array is. The
operations are few and of integers: XLA makes those of a block anew for each of its elements.
"""

import jax
import jax.numpy as jnp

from adaptive_optax.storage.grid import EXPONENT, MANTISSA

HIGHEST = 2.0**127 * 0.99  # the largest number whose power has an inverse


def powers(a: jax.Array, block: int, largest: float) -> jax.Array:
    """The power of two of each block as the bits of a float32, uint32, shape (..., blocks).

    Over it a block's largest number lies between largest / 2 and largest, and again so once it is
    rounded to no more than largest. It is 0 for a block of zeros.

    Args:
      a: at least 0, float32, shape (..., blocks * block).
      block: elements of a block.
      largest: what the codes reach to, in (1, 2].
    """
    words = jax.lax.bitcast_convert_type(a, jnp.int32)  # ordered as the numbers, and fused by XLA
    parts = words.reshape(*a.shape[:-1], a.shape[-1] // block, block)
    top = jax.lax.bitcast_convert_type(jnp.max(parts, -1), jnp.float32)
    room = jnp.minimum(top * jnp.float32((2 - 2**-20) / largest), jnp.float32(HIGHEST))
    return jax.lax.bitcast_convert_type(room, jnp.uint32) & jnp.uint32(EXPONENT)


def stored_powers(power: jax.Array) -> jax.Array:
    """The powers as bytes, uint8."""
    return (power >> jnp.uint32(MANTISSA)).astype(jnp.uint8)


def over_power(power: jax.Array, block: int) -> jax.Array:
    """1 over the power of each element's block, float32, shape (..., elements)."""
    return _spread(jnp.uint32(254 << MANTISSA) - power, block)


def by_power(stored: jax.Array, block: int) -> jax.Array:
    """The power of each element's block from its byte, float32, shape (..., elements)."""
    return _spread(stored.astype(jnp.uint32) << jnp.uint32(MANTISSA), block)


def _spread(word: jax.Array, block: int) -> jax.Array:
    each = jax.lax.bitcast_convert_type(word, jnp.float32)[..., None]
    spread = jnp.broadcast_to(each, (*word.shape, block))
    return spread.reshape(*word.shape[:-1], word.shape[-1] * block)
