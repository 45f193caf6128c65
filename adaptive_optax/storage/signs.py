"""The sign bit of a code: its highest."""

import jax
import jax.numpy as jnp


def with_sign(code: jax.Array, x: jax.Array, width: int) -> jax.Array:
    """The code of |x|, uint32, with the sign of x, float32, as the highest of `width` bits."""
    sign = jax.lax.bitcast_convert_type(x, jnp.uint32) >> jnp.uint32(32 - width)
    return code | (sign & jnp.uint32(1 << (width - 1)))


def signed(modulus: jax.Array, code: jax.Array, width: int) -> jax.Array:
    """The modulus, float32, with the sign that is the highest of the code's `width` bits."""
    sign = (code & jnp.uint32(1 << (width - 1))) << jnp.uint32(32 - width)
    word = jax.lax.bitcast_convert_type(modulus, jnp.uint32) | sign
    return jax.lax.bitcast_convert_type(word, jnp.float32)
