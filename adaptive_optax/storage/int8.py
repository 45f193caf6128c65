"""int8: one byte an element, and one exponent for every block of the last axis.

    signed         sign and 7 bits k: m = s 1.98 (k / 127)^2
    non-negative   8 bits k:          v = s 1.98 (k / 255)^4       k >= 2 where v > 0

s is a power of two, the byte of the block, so that the largest of the block is between 0.99 s and
1.98 s. Squares and fourth powers put the steps where moments are: 1.6 % at the top, and v down to
2^-28 of the largest, whose root is no larger beside that of m's smallest. k is rounded by chance.
2.06 bytes a parameter for two moments in blocks of 32. Blocks lie along the last axis: a sharding
that cuts no block costs no collectives and changes no bit.
When to use it: for gradients of any scale, and the finest of the 8-bit formats.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from adaptive_optax.core.checks import check_steps
from adaptive_optax.core.roles import SIGNED
from adaptive_optax.storage.blocks import by_power, fits_blocks, over_power, powers, stored_powers
from adaptive_optax.storage.format import Codes, Format, magnitude
from adaptive_optax.storage.grid import MANTISSA
from adaptive_optax.storage.minifloat8 import Minifloat8
from adaptive_optax.storage.signs import signed, with_sign

TOP = 1.98  # of a block over its power of two; below 2, so that the largest keeps its power
SIGNED_CODES, SQUARES_CODES = 127, 255
FLOOR = 2  # the smallest code of a second moment that is not 0


@dataclasses.dataclass(frozen=True)
class Int8(Format):
    """One byte an element and one a block."""

    block: int
    name: ClassVar[str] = "int8/1"

    def fits(self, role: str, shape: tuple[int, ...]) -> bool:
        """Whether blocks divide the last axis."""
        return fits_blocks(shape, self.block)

    def otherwise(self) -> Format:
        """The format without blocks."""
        return Minifloat8()

    def encode(self, x: jax.Array, role: str, bits: jax.Array) -> Codes:
        """X in bytes and the exponents of its blocks."""
        a = magnitude(x, role)
        power = powers(a, self.block, TOP)
        scales, share = stored_powers(power), a * over_power(power, self.block)
        if role == SIGNED:
            code = _by_chance(jnp.sqrt(share * jnp.float32(SIGNED_CODES**2 / TOP)), bits)
            code = with_sign(jnp.minimum(code, jnp.uint32(SIGNED_CODES)), x, 8)
            return Codes(code.astype(jnp.uint8), scales)
        code = _by_chance(jnp.sqrt(jnp.sqrt(share * jnp.float32(SQUARES_CODES**4 / TOP))), bits)
        code = jnp.clip(code, jnp.where(a > 0, _word(FLOOR), _word(0)), _word(SQUARES_CODES))
        return Codes(code.astype(jnp.uint8), scales)

    def decode(self, kept: Codes, role: str) -> jax.Array:
        """The float32 numbers of the bytes."""
        power, code = by_power(kept.scales, self.block), kept.codes.astype(jnp.int32)
        if role == SIGNED:
            k = (code & jnp.int32(SIGNED_CODES)).astype(jnp.float32)
            modulus = (k * k) * jnp.float32(TOP / SIGNED_CODES**2) * power
            return signed(modulus, kept.codes.astype(jnp.uint32), 8)
        k = code.astype(jnp.float32)
        return (k * k) * (k * k) * jnp.float32(TOP / SQUARES_CODES**4) * power


def int8(block: int = 32) -> Format:
    """One byte an element for `stored`, with an exponent for each block along the last axis.

    Args:
      block: elements that share an exponent, at least 2. An array whose last axis it does not
        divide is kept as by `minifloat8`.

    Returns:
      A format of 1 + 1 / block bytes an element, 2.06 bytes a parameter of Adam.

    Raises:
      TypeError, ValueError: for a block that is no such number.

    >>> import adaptive_optax as ao, jax, jax.numpy as jnp
    >>> params = jax.ShapeDtypeStruct((4096, 4096), jnp.float32)
    >>> tx = ao.stored(ao.adam(1e-3), ao.int8())
    >>> round(ao.state_bytes(tx, params) / params.size, 3)
    2.063
    """
    check_steps("int8", block=block)
    return Int8(int(block))


def _by_chance(k: jax.Array, bits: jax.Array) -> jax.Array:
    """K, float32 and at least 0, down or up to a whole number by chance; uint32."""
    one = jnp.uint32(127 << MANTISSA)
    above = jax.lax.bitcast_convert_type(one | (bits >> jnp.uint32(32 - MANTISSA)), jnp.float32)
    return (k + above).astype(jnp.int32).astype(jnp.uint32) - jnp.uint32(1)


def _word(value: int) -> jax.Array:
    return jnp.uint32(value)
