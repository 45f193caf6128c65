"""int8: one byte an element, and one power of two for every block of the last axis.

    signed         sign and 7 bits: 11 steps a doubling, down to 2^-11 of the block's largest
    non-negative   8 bits: 11 steps a doubling, down to 2^-23 of the block's largest

Below, steps are even. The block's power of two is that of its largest, a byte, so that steps are
fine at every scale of gradients. 2.06 bytes a parameter for two moments in blocks of 32. Blocks lie
along the last axis: a sharding that cuts no block costs no collectives and changes no bit.
When to use it: for gradients of any scale, and for moments that stand alone, as Lion's does.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from adaptive_optax.core.checks import check_steps
from adaptive_optax.core.roles import SIGNED
from adaptive_optax.storage.blocks import by_power, fits_blocks, over_power, powers, stored_powers
from adaptive_optax.storage.format import Codes, Format, magnitude
from adaptive_optax.storage.grid import Grid
from adaptive_optax.storage.minifloat8 import Minifloat8
from adaptive_optax.storage.signs import signed, with_sign

SIGNED_GRID = Grid(levels=11, lowest=-11, codes=127, positive=False)
SQUARES_GRID = Grid(levels=11, lowest=-23, codes=255, positive=True)


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
        a, grid = magnitude(x, role), _grid(role)
        power = powers(a, self.block, grid.largest)
        code = grid.encode(a * over_power(power, self.block), bits)
        code = with_sign(code, x, 8) if role == SIGNED else code
        return Codes(code.astype(jnp.uint8), stored_powers(power))

    def decode(self, kept: Codes, role: str) -> jax.Array:
        """The float32 numbers of the bytes."""
        code, power = kept.codes.astype(jnp.uint32), by_power(kept.scales, self.block)
        if role == SIGNED:
            return signed(_grid(role).decode(code & jnp.uint32(127)) * power, code, 8)
        return _grid(role).decode(code) * power


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


def _grid(role: str) -> Grid:
    return SIGNED_GRID if role == SIGNED else SQUARES_GRID
