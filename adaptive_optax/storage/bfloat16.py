"""bfloat16: the upper half of a float32, rounded by chance instead of to the nearest.

To the nearest, a second moment at b2 = 0.999 never decays: its change is below half a step.
4.00 bytes a parameter for two moments. When to use it: the safest saving, for any optimizer.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from adaptive_optax.storage.format import Codes, Format, SingleFormat


@dataclasses.dataclass(frozen=True, repr=False)
class Bfloat16(SingleFormat):
    """Two bytes an element."""

    name: ClassVar[str] = "bfloat16/1"

    def encode(self, x: jax.Array, role: str, bits: jax.Array) -> Codes:
        """X in bfloat16."""
        return Codes(rounded_to_bfloat16(x, bits))

    def decode(self, kept: Codes, role: str) -> jax.Array:
        """The same numbers as float32."""
        return kept.codes.astype(jnp.float32)


def bfloat16() -> Format:
    """Two bytes an element for `stored`: bfloat16, rounded by chance so that nothing freezes.

    Returns:
      A format of 2 bytes an element, 4.00 bytes a parameter of Adam.

    >>> import adaptive_optax as ao, jax, jax.numpy as jnp
    >>> params = jax.ShapeDtypeStruct((4096, 4096), jnp.float32)
    >>> tx = ao.stored(ao.adam(1e-3), ao.bfloat16())
    >>> round(ao.state_bytes(tx, params) / params.size, 3)
    4.0
    """
    return Bfloat16()


def rounded_to_bfloat16(x: jax.Array, bits: jax.Array) -> jax.Array:
    """X, float32, in bfloat16, up or down by chance so that its mean is x; nan and inf stay.

    Args:
      x: float32.
      bits: random, uint32, of x's shape.
    """
    word = jax.lax.bitcast_convert_type(x, jnp.uint32)
    upper = ((word + (bits >> jnp.uint32(16))) >> jnp.uint32(16)).astype(jnp.uint16)
    return jax.lax.bitcast_convert_type(upper, jnp.bfloat16)
