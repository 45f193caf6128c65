"""Numbers that are squares of even steps: fine near 0, and twice as fine as a float near the top.

value(code) = 2 (code / codes)^2
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Quadratic(NamedTuple):
    """A set of numbers from 0 to 2, and how to round to it."""

    codes: int  # the largest code
    largest: float = 2.0

    def encode(self, x: jax.Array, bits: jax.Array) -> jax.Array:
        """The code of 0 <= x <= 2, float32, up or down by chance so that its mean is x; uint32.

        Args:
          x: float32.
          bits: random, uint32, of x's shape.
        """
        squares = x * jnp.float32(self.codes**2 / 2)
        lower = jnp.floor(jnp.sqrt(squares))
        share = (bits >> jnp.uint32(9)).astype(jnp.int32).astype(jnp.float32) * jnp.float32(2**-23)
        above = share * (2 * lower + 1) < squares - lower * lower
        code = lower.astype(jnp.int32) + above.astype(jnp.int32)
        return jnp.minimum(code, self.codes).astype(jnp.uint32)

    def decode(self, code: jax.Array) -> jax.Array:
        """The number of a code, float32."""
        root = code.astype(jnp.int32).astype(jnp.float32)
        return root * root * jnp.float32(2 / self.codes**2)
