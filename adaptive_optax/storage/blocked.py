"""Formats whose numbers share a power of two in blocks along the last axis."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from adaptive_optax.core.roles import SIGNED
from adaptive_optax.storage.format import LONE, Codes, SingleFormat
from adaptive_optax.storage.minifloat_grid import EXPONENT, MANTISSA, Grid, Quadratic


def with_sign(code: jax.Array, x: jax.Array, width: int) -> jax.Array:
    """The code of |x|, uint32, with the sign of x, float32, as the highest of `width` bits."""
    sign = jax.lax.bitcast_convert_type(x, jnp.uint32) >> jnp.uint32(32 - width)
    return code | (sign & jnp.uint32(1 << (width - 1)))


def signed(modulus: jax.Array, code: jax.Array, width: int) -> jax.Array:
    """The modulus, float32, with the sign that is the highest of the code's `width` bits."""
    sign = (code & jnp.uint32(1 << (width - 1))) << jnp.uint32(32 - width)
    word = jax.lax.bitcast_convert_type(modulus, jnp.uint32) | sign
    return jax.lax.bitcast_convert_type(word, jnp.float32)


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


_WITH_SIGN = (SIGNED, LONE)


@dataclasses.dataclass(frozen=True, repr=False)
class Blocked(SingleFormat):
    """Codes of a few bits, and a byte a block."""

    block: int
    width: ClassVar[int]  # bits of a code
    grids: ClassVar[Mapping[str, Grid | Quadratic]]  # by role; of what has a sign, of its modulus

    def fits(self, role: str, shape: tuple[int, ...]) -> bool:
        """Whether blocks divide the last axis."""
        return len(shape) > 0 and shape[-1] > 0 and shape[-1] % self.block == 0

    def encode(self, x: jax.Array, role: str, bits: jax.Array) -> Codes:
        """X in codes and the exponents of its blocks."""
        grid, modulus = self.grids[role], jnp.abs(x) if role in _WITH_SIGN else x
        power = powers(modulus, self.block, grid.largest)
        code = grid.encode(modulus * over_power(power, self.block), bits)
        code = with_sign(code, x, self.width) if role in _WITH_SIGN else code
        return Codes(self.packed(code), stored_powers(power))

    def decode(self, kept: Codes, role: str) -> jax.Array:
        """The float32 numbers of the codes."""
        code, power = self.unpacked(kept.codes), by_power(kept.scales, self.block)
        if role not in _WITH_SIGN:
            return self.grids[role].decode(code) * power
        modulus = code & jnp.uint32(2 ** (self.width - 1) - 1)
        return signed(self.grids[role].decode(modulus) * power, code, self.width)

    @abc.abstractmethod
    def packed(self, code: jax.Array) -> jax.Array:
        """Codes, uint32, in bytes."""

    @abc.abstractmethod
    def unpacked(self, codes: jax.Array) -> jax.Array:
        """The codes of the bytes, uint32."""
