"""int8: one byte an element, and one power of two for every block of the last axis.

    signed         sign and 7 bits: 11 steps a doubling down to 2^-11 of the block's largest
    lone           sign and 7 bits: squares of even steps, from 2^-14 of the block's largest
    non-negative   8 bits: 11 steps a doubling down to 2^-23 of the block's largest

Below, steps are even, and what is not negative is rounded up, which makes no step longer. A signed
slot is lone where no slot of squares follows: its small numbers are divided by nothing, so that it
has its bits where it is large. The block's power of two is that of its largest, a byte, so that
steps are fine at every scale of gradients. 2.06 bytes a parameter for two moments in blocks of 32.
Blocks lie along the last axis: a sharding that cuts no block costs no collectives and changes no
bit.
When to use it: for gradients of any scale, and for moments that stand alone, as Lion's does.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from adaptive_optax.core.checks import check_steps
from adaptive_optax.core.roles import NON_NEGATIVE, SIGNED, SQUARES
from adaptive_optax.storage.blocked import Blocked
from adaptive_optax.storage.format import LONE, Format
from adaptive_optax.storage.minifloat8 import Minifloat8
from adaptive_optax.storage.minifloat_grid import Grid, Quadratic

_POSITIVE = Grid(levels=11, lowest=-23, codes=255, positive=True)


@dataclasses.dataclass(frozen=True, repr=False)
class Int8(Blocked):
    """One byte an element and one a block."""

    name: ClassVar[str] = "int8/1"
    width: ClassVar[int] = 8
    grids: ClassVar[Mapping[str, Grid | Quadratic]] = {
        SIGNED: Grid(levels=11, lowest=-11, codes=127, positive=False),
        LONE: Quadratic(codes=127),
        NON_NEGATIVE: _POSITIVE,
        SQUARES: _POSITIVE,
    }

    def otherwise(self) -> Format:
        """The format without blocks."""
        return Minifloat8()

    def packed(self, code: jax.Array) -> jax.Array:
        """A byte each."""
        return code.astype(jnp.uint8)

    def unpacked(self, codes: jax.Array) -> jax.Array:
        """The bytes."""
        return codes.astype(jnp.uint32)


def int8(block: int = 32) -> Format:
    """One byte an element for `stored`, with an exponent for each block along the last axis.

    Args:
      block: elements that share an exponent, at least 1. Arrays whose last axis it does not divide
        are kept as by `minifloat8`.

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
