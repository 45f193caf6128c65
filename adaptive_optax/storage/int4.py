"""int4, experimental: half a byte an element, and one exponent for every block of the last axis.

    signed         sign and 3 bits: 1 step a doubling, 2^7 below the block's largest
    non-negative   4 bits: 1 step a doubling, 2^15 below the block's largest

1.06 bytes a parameter for two moments in blocks of 32. Experimental: on tasks where the other
formats end at float32's loss, this one ends at another, sometimes worse. Half of a block shares its
bytes with the other half, so the codes' last axis is half as long as the parameter's.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.core.checks import check_steps
from adaptive_optax.core.roles import NON_NEGATIVE, SIGNED, SQUARES
from adaptive_optax.storage.blocked import Blocked
from adaptive_optax.storage.format import LONE, Format
from adaptive_optax.storage.int8 import Int8
from adaptive_optax.storage.minifloat_grid import Grid

_MEANS = Grid(levels=1, lowest=-6, codes=7, positive=False)
_POSITIVE = Grid(levels=1, lowest=-14, codes=15, positive=True)
_SHIFTS = np.array([[0], [4]], np.uint32)  # of the first and the second half of a block


@dataclasses.dataclass(frozen=True, repr=False)
class Int4(Blocked):
    """Half a byte an element and a byte a block."""

    name: ClassVar[str] = "int4-experimental/1"
    width: ClassVar[int] = 4
    grids: ClassVar[Mapping[str, Grid]] = {
        SIGNED: _MEANS,
        LONE: _MEANS,
        NON_NEGATIVE: _POSITIVE,
        SQUARES: _POSITIVE,
    }

    def otherwise(self) -> Format:
        """Blocks of bytes, which may be none."""
        return Int8(self.block)

    def packed(self, code: jax.Array) -> jax.Array:
        """The halves of each block side by side."""
        half = self.block // 2
        halves = code.reshape(*code.shape[:-1], code.shape[-1] // self.block, 2, half)
        both = jnp.sum(halves << _SHIFTS, -2, dtype=jnp.uint32)
        return both.reshape(*code.shape[:-1], code.shape[-1] // 2).astype(jnp.uint8)

    def unpacked(self, codes: jax.Array) -> jax.Array:
        """The halves one after the other."""
        half = self.block // 2
        both = codes.reshape(*codes.shape[:-1], codes.shape[-1] // half, 1, half)
        halves = (both.astype(jnp.uint32) >> _SHIFTS) & jnp.uint32(15)
        return halves.reshape(*codes.shape[:-1], codes.shape[-1] * 2)


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
