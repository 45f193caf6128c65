"""minifloat8: one byte an element, with an exponent of its own and no scales.

    signed         sign and 7 bits: 3 steps a doubling from 2^-32 to 1300
    non-negative   8 bits: 3 steps a doubling from 2^-64 to 2 million (its root: 2^-32 to 1400)

Rounded by chance, so that a mean that moves by a thousandth of itself moves on the average. Each
element is kept by itself: 2.00 bytes a parameter for two moments, no collectives, no blocks to cut
a sharded axis in. When to use it: the first to try on a CPU. Gradients are kept from 1e-9 to 1e3;
above, the state stays at its largest number, and the step is made of the unrounded moment.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from adaptive_optax.core.roles import SIGNED
from adaptive_optax.storage.format import Codes, Format, magnitude
from adaptive_optax.storage.grid import Grid
from adaptive_optax.storage.signs import signed, with_sign

SIGNED_GRID = Grid(levels=3, lowest=-32, codes=127)
SQUARES_GRID = Grid(levels=3, lowest=-64, codes=255)


@dataclasses.dataclass(frozen=True)
class Minifloat8(Format):
    """One byte an element."""

    name: ClassVar[str] = "minifloat8/1"

    def encode(self, x: jax.Array, role: str, bits: jax.Array) -> Codes:
        """X in bytes."""
        code = _grid(role).encode(magnitude(x, role), bits)
        return Codes((with_sign(code, x, 8) if role == SIGNED else code).astype(jnp.uint8))

    def decode(self, kept: Codes, role: str) -> jax.Array:
        """The float32 numbers of the bytes."""
        if role == SIGNED:
            code = kept.codes.astype(jnp.uint32)
            return signed(_grid(role).decode(code & jnp.uint32(127)), code, 8)
        return _grid(role).decode(kept.codes)


def minifloat8() -> Format:
    """One byte an element for `stored`: an 8-bit float with the range of a gradient, no scales.

    Returns:
      A format of 1 byte an element, 2.00 bytes a parameter of Adam.

    >>> import adaptive_optax as ao, jax, jax.numpy as jnp
    >>> params = jax.ShapeDtypeStruct((4096, 4096), jnp.float32)
    >>> tx = ao.stored(ao.adam(1e-3), ao.minifloat8())
    >>> round(ao.state_bytes(tx, params) / params.size, 3)
    2.0
    """
    return Minifloat8()


def _grid(role: str) -> Grid:
    return SIGNED_GRID if role == SIGNED else SQUARES_GRID
