"""Rounding to bfloat16 and float16, by chance or to the nearest, within float32.

What is rounded stays a float32 array: a cast there and back is one that XLA may leave out.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from adaptive_optax.storage.bfloat16 import rounded_to_bfloat16

LOST = {jnp.dtype(jnp.bfloat16): 16, jnp.dtype(jnp.float16): 13}  # of a float32's last bits
EVEN_BELOW = 2.0**-14  # where the steps of float16 are even, of 2^-24


def is_narrow(x: object) -> bool:
    """Whether x is an array of bfloat16 or float16."""
    return getattr(x, "dtype", None) in LOST


def by_chance(x: jax.Array, dtype: jnp.dtype, bits: jax.Array) -> jax.Array:
    """X as a number of `dtype`, up or down by chance so that its mean is x.

    Args:
      x: float32, of a modulus that dtype has; nan and inf stay.
      dtype: bfloat16 or float16.
      bits: random, uint32, of x's shape.
    """
    if dtype == jnp.bfloat16:
        return _finite(rounded_to_bfloat16(x, bits).astype(jnp.float32), x)
    # Once 2^-14 is added, what is smaller has the same step everywhere, that of float16 there.
    a = jnp.abs(x)
    even = jnp.where(a < EVEN_BELOW, jnp.float32(EVEN_BELOW), jnp.float32(0))
    return _finite(_cut(a + even, lambda word: bits) - even, x)


def nearest(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """X as the nearest number of `dtype`, the even one of two; arguments as in `by_chance`."""
    lost = LOST[jnp.dtype(dtype)]
    if dtype == jnp.bfloat16:
        return by_chance(x, dtype, _to_even(_word(x), lost))
    # Beside 1/2 float32 has the steps that float16 has below 2^-14, and rounds to them itself.
    a, half = jnp.abs(x), jnp.float32(0.5)
    steps = (_word(a + half) - _word(half)).astype(jnp.float32)
    found = _cut(a, lambda word: _to_even(word, lost))
    return _finite(jnp.where(a < EVEN_BELOW, steps * jnp.float32(2.0**-24), found), x)


def _cut(x: jax.Array, bits_for: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """X without the bits that float16 has not, up where they and others make a whole step."""
    lost = jnp.uint32(LOST[jnp.dtype(jnp.float16)])
    word = _word(x)
    whole = (word + (bits_for(word) >> (jnp.uint32(32) - lost))) >> lost << lost
    return jax.lax.bitcast_convert_type(whole, jnp.float32)


def _to_even(word: jax.Array, lost: int) -> jax.Array:
    """The bits by which the nearest number is found, and of two the even one."""
    odd = (word >> jnp.uint32(lost)) & jnp.uint32(1)
    return (jnp.uint32(2 ** (lost - 1) - 1) + odd) << jnp.uint32(32 - lost)


def _finite(found: jax.Array, x: jax.Array) -> jax.Array:
    """What was found, with the sign of x; x where that is nan or inf."""
    return jnp.where(jnp.isfinite(x), jnp.copysign(found, x), x)


def _word(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.uint32)
