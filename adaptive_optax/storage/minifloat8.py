"""minifloat8: one byte an element, with an exponent of its own and no scales.

A first moment m and its second moment v, as Adam has, share two bytes:

    v     9 bits: 7 steps a doubling from 2^-53 to 1e6 (its root: 1e-8 to 1e3)
    m     sign and 6 bits: m / s, 11 steps a doubling from 1/8 to 7, s the power of two at sqrt(v)

so that m is exact where the step m / sqrt(v) is. Below its range v is rounded up, and above it both
keep their ratio: neither makes a step longer. A moment alone has one byte:

    signed         sign and 7 bits: 4 steps a doubling from 2^-24 to 215
    non-negative   8 bits: 3 steps a doubling from 2^-64 to 2 million

Rounded by chance, so that a mean that moves by a thousandth of itself moves on the average. Each
element is kept by itself: 2.00 bytes a parameter for two moments, no collectives, no blocks for a
sharded axis to cut. When to use it: for Adam and its kin, on a CPU before all. Above the largest
number a moment stays there; the step is made of the moment before it is rounded.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from adaptive_optax.core.roles import SIGNED
from adaptive_optax.storage.format import Bits, Codes, Format, PairFormat, magnitude
from adaptive_optax.storage.grid import EXPONENT, MANTISSA, Grid
from adaptive_optax.storage.signs import signed, with_sign

SIGNED_GRID = Grid(levels=4, lowest=-24, codes=127, positive=False)
SQUARES_GRID = Grid(levels=3, lowest=-64, codes=255, positive=True)
PAIR_SQUARES = Grid(levels=7, lowest=-53, codes=511, positive=True)
PAIR_MEAN = Grid(levels=11, lowest=-3, codes=63, positive=False)
WIDTH = 7  # bits of a mean in a pair
UP = 2**32 - 1  # bits that round upwards


@dataclasses.dataclass(frozen=True)
class Minifloat8(PairFormat):
    """One byte an element, two for a pair."""

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

    def encode_pair(self, mean: jax.Array, squares: jax.Array, bits: Bits) -> Codes:
        """Both in one 16-bit word."""
        low = squares < jnp.float32(2.0**PAIR_SQUARES.lowest)
        upper = PAIR_SQUARES.encode(squares, jnp.where(low, jnp.uint32(UP), bits[1]))
        high = squares > jnp.float32(PAIR_SQUARES.largest)
        root = jnp.where(high, _root_power(squares), _near_root(upper))
        inverse = _float(jnp.uint32(254 << MANTISSA) - root)
        lower = with_sign(PAIR_MEAN.encode(jnp.abs(mean) * inverse, bits[0]), mean, WIDTH)
        return Codes(((upper << jnp.uint32(WIDTH)) | lower).astype(jnp.uint16))

    def decode_pair(self, kept: Codes) -> tuple[jax.Array, jax.Array]:
        """The float32 numbers of the words."""
        word = kept.codes.astype(jnp.uint32)
        upper = word >> jnp.uint32(WIDTH)
        ratio = PAIR_MEAN.decode(word & jnp.uint32(PAIR_MEAN.codes))
        return signed(ratio * _float(_near_root(upper)), word, WIDTH), PAIR_SQUARES.decode(upper)


def minifloat8() -> Format:
    """One byte an element for `stored`: an 8-bit float with the range of a gradient, no scales.

    The moments of Adam share an array of 16 bits in the place of the first; in that of the second
    is None. `state.decoded()` has both as they were.

    Returns:
      A format of 1 byte an element, 2.00 bytes a parameter of Adam.

    >>> import adaptive_optax as ao, jax, jax.numpy as jnp
    >>> params = jax.ShapeDtypeStruct((4096, 4096), jnp.float32)
    >>> tx = ao.stored(ao.adam(1e-3), ao.minifloat8())
    >>> round(ao.state_bytes(tx, params) / params.size, 3)
    2.0
    """
    return Minifloat8()


def _near_root(code: jax.Array) -> jax.Array:
    """The bits of a power of two within a factor of 2 of the root of a code's square."""
    half = (1 << MANTISSA) // PAIR_SQUARES.levels // 2
    lowest = (127 + PAIR_SQUARES.lowest // 2) << MANTISSA
    return (code * jnp.uint32(half) + jnp.uint32(lowest)) & jnp.uint32(EXPONENT)


def _root_power(squares: jax.Array) -> jax.Array:
    """The same of a number itself."""
    word = jax.lax.bitcast_convert_type(squares, jnp.uint32)
    return ((word >> jnp.uint32(1)) + jnp.uint32(127 << (MANTISSA - 1))) & jnp.uint32(EXPONENT)


def _float(word: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(word, jnp.float32)


def _grid(role: str) -> Grid:
    return SIGNED_GRID if role == SIGNED else SQUARES_GRID
