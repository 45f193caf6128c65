"""Blocks of elements along the last axis that share an exponent.

A block stays within one row, whatever the shape, so that blocks are sharded as the array is.
"""

import jax
import jax.numpy as jnp

MANTISSA = 23  # bits of a float32 after its exponent


def fits_blocks(shape: tuple[int, ...], block: int) -> bool:
    """Whether blocks divide the last axis."""
    return len(shape) > 0 and shape[-1] > 0 and shape[-1] % block == 0


def exponents(a: jax.Array, block: int, largest: float) -> jax.Array:
    """The exponent bits of the power of two for each block, uint8, shape (..., blocks).

    Over its power a block's largest number lies between largest / 2 and largest, and again so once
    it is rounded.

    Args:
      a: at least 0, float32, shape (..., blocks * block).
      block: elements of a block.
      largest: what the codes reach to, in (1, 2].
    """
    words = jax.lax.bitcast_convert_type(a, jnp.int32)  # ordered as the numbers, and fused by XLA
    parts = words.reshape(*a.shape[:-1], a.shape[-1] // block, block)
    top = jax.lax.bitcast_convert_type(jnp.max(parts, -1), jnp.float32)
    room = top * jnp.float32((2 - 2**-20) / largest)
    return (jax.lax.bitcast_convert_type(room, jnp.int32) >> jnp.int32(MANTISSA)).astype(jnp.uint8)


def powers(exponent: jax.Array, block: int, *, inverse: bool = False) -> jax.Array:
    """The power of two of each element's block, or 1 over it, float32, shape (..., elements).

    Args:
      exponent: as `exponents` gives it.
      block: elements of a block.
      inverse: whether to give 1 over the power.
    """
    word = jnp.clip(exponent.astype(jnp.uint32), jnp.uint32(1), jnp.uint32(253))
    word = (jnp.uint32(254) - word if inverse else word) << jnp.uint32(MANTISSA)
    each = jax.lax.bitcast_convert_type(word, jnp.float32)[..., None]
    spread = jnp.broadcast_to(each, (*exponent.shape, block))
    return spread.reshape(*exponent.shape[:-1], exponent.shape[-1] * block)
