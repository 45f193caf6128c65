"""int4, experimental: half a byte an element, and one exponent for every block of the last axis.

    signed         sign and 3 bits: 1 step a doubling, 2^7 below the block's largest
    non-negative   4 bits: 1 step a doubling, 2^15 below the block's largest

1.06 bytes a parameter for two moments in blocks of 32. Experimental: on tasks where the other
formats end at float32's loss, this one ends at another, sometimes worse. Half of a block shares its
bytes with the other half, so the codes' last axis is half as long as the parameter's.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.core.checks import check_steps
from adaptive_optax.core.roles import SIGNED
from adaptive_optax.storage.blocks import by_power, fits_blocks, over_power, powers, stored_powers
from adaptive_optax.storage.format import Codes, Format, magnitude
from adaptive_optax.storage.grid import Grid
from adaptive_optax.storage.int8 import Int8
from adaptive_optax.storage.signs import signed, with_sign

SIGNED_GRID = Grid(levels=1, lowest=-6, codes=7, positive=False)
SQUARES_GRID = Grid(levels=1, lowest=-14, codes=15, positive=True)
_SHIFTS = np.array([[0], [4]], np.uint32)  # of the first and the second half of a block


@dataclasses.dataclass(frozen=True)
class Int4(Format):
    """Half a byte an element and a byte a block."""

    block: int
    name: ClassVar[str] = "int4-experimental/1"

    def fits(self, role: str, shape: tuple[int, ...]) -> bool:
        """Whether blocks divide the last axis."""
        return fits_blocks(shape, self.block)

    def otherwise(self) -> Format:
        """Blocks of bytes, which may be none."""
        return Int8(self.block)

    def encode(self, x: jax.Array, role: str, bits: jax.Array) -> Codes:
        """X in half bytes and the exponents of its blocks."""
        a = magnitude(x, role)
        grid = _grid(role)
        power = powers(a, self.block, grid.largest)
        code = grid.encode(a * over_power(power, self.block), bits)
        code = with_sign(code, x, 4) if role == SIGNED else code
        halves = code.reshape(*power.shape, 2, self.block // 2)
        both = jnp.sum(halves << _SHIFTS, -2, dtype=jnp.uint32)
        return Codes(
            both.reshape(*x.shape[:-1], x.shape[-1] // 2).astype(jnp.uint8), stored_powers(power)
        )

    def decode(self, kept: Codes, role: str) -> jax.Array:
        """The float32 numbers of the half bytes."""
        both = kept.codes.reshape(*kept.scales.shape, 1, self.block // 2).astype(jnp.uint32)
        halves = (both >> _SHIFTS) & jnp.uint32(15)
        code = halves.reshape(*kept.codes.shape[:-1], kept.codes.shape[-1] * 2)
        power = by_power(kept.scales, self.block)
        if role == SIGNED:
            return signed(_grid(role).decode(code & jnp.uint32(7)) * power, code, 4)
        return _grid(role).decode(code) * power


def int4(block: int = 32) -> Format:
    """Experimental: half a byte an element for `stored`, and a byte a block of the last axis.

    Args:
      block: elements that share an exponent, even. An array whose last axis it does not divide is
        kept as by `minifloat8`.

    Returns:
      A format of 1/2 + 1 / block bytes an element, 1.06 bytes a parameter of Adam.

    Raises:
      TypeError, ValueError: for a block that is no such number.

    >>> import adaptive_optax as ao, jax, jax.numpy as jnp
    >>> params = jax.ShapeDtypeStruct((4096, 4096), jnp.float32)
    >>> tx = ao.stored(ao.adam(1e-3), ao.int4())
    >>> round(ao.state_bytes(tx, params) / params.size, 3)
    1.063
    """
    check_steps("int4", block=block)
    if block % 2:
        raise ValueError(f"int4(block={block}): block must be even, since two share a byte.")
    return Int4(int(block))


def _grid(role: str) -> Grid:
    return SIGNED_GRID if role == SIGNED else SQUARES_GRID
