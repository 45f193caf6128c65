"""minifloat8: two moments in two bytes an element, with exponents of their own and no scales.

A first moment m and its second moment v, as Adam has, share 16 bits:

    v     9 bits: 7 steps a doubling from 2^-53 to 1e6 (its root: 1e-8 to 1e3)
    m     sign and 6 bits: m / s, 11 steps a doubling from 1/8 to 7, s the power of two at sqrt(v)

so that m is exact where the step m / sqrt(v) is. Below its range v is rounded up, and above it m is
made smaller with v: neither makes a step longer. Rounded by chance, so that a mean that moves by a
thousandth of itself moves on the average. Each element is kept by itself: 2.00 bytes a parameter,
no collectives, no blocks for a sharded axis to cut. A moment that stands alone, as Lion's does, has
no root to be told by, and a byte with a wide range of its own is too coarse for it (it trained 0.2
to 2 % worse): it is kept as by `int8`, or in bfloat16 where blocks do not fit.
When to use it: for Adam and its kin, on a CPU before all.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from adaptive_optax.storage.blocked import signed, with_sign
from adaptive_optax.storage.format import Bits, Codes, Format, PairFormat
from adaptive_optax.storage.minifloat_grid import EXPONENT, MANTISSA, Grid

SQUARES = Grid(levels=7, lowest=-53, codes=511, positive=True)
MEAN = Grid(levels=11, lowest=-3, codes=63, positive=False)
WIDTH = 7  # bits of a mean in a pair


@dataclasses.dataclass(frozen=True, repr=False)
class Minifloat8(PairFormat):
    """Two bytes an element of both."""

    name: ClassVar[str] = "minifloat8/1"

    def encode_pair(self, mean: jax.Array, squares: jax.Array, bits: Bits) -> Codes:
        """Both in one 16-bit word."""
        upper = SQUARES.encode(squares, bits[1])
        high = squares > jnp.float32(SQUARES.largest)
        root = jnp.where(high, _root_power(squares), _near_root(upper))
        inverse = _float(jnp.uint32(254 << MANTISSA) - root)
        lower = with_sign(MEAN.encode(jnp.abs(mean) * inverse, bits[0]), mean, WIDTH)
        return Codes(((upper << jnp.uint32(WIDTH)) | lower).astype(jnp.uint16))

    def decode_pair(self, kept: Codes) -> tuple[jax.Array, jax.Array]:
        """The float32 numbers of the words."""
        word = kept.codes.astype(jnp.uint32)
        upper = word >> jnp.uint32(WIDTH)
        ratio = MEAN.decode(word & jnp.uint32(MEAN.codes))
        return signed(ratio * _float(_near_root(upper)), word, WIDTH), SQUARES.decode(upper)


def minifloat8() -> Format:
    """Two bytes an element for both moments of Adam, in `stored`: no scales and no blocks.

    They share an array of 16 bits in the place of the first moment; in that of the second is None.
    `state.decoded()` has both as they were. A moment that stands alone is kept as by `int8()`,
    1.03 bytes an element, or in bfloat16 where blocks do not divide its last axis.

    Returns:
      A format of 2.00 bytes a parameter of Adam.

    >>> import adaptive_optax as ao, jax, jax.numpy as jnp
    >>> params = jax.ShapeDtypeStruct((4096, 4096), jnp.float32)
    >>> tx = ao.stored(ao.adam(1e-3), ao.minifloat8())
    >>> round(ao.state_bytes(tx, params) / params.size, 3)
    2.0
    """
    return Minifloat8()


def _near_root(code: jax.Array) -> jax.Array:
    """The bits of the power of two that is at the root of a code's number, or next below."""
    half = -(-(1 << MANTISSA) // (2 * SQUARES.levels))
    lowest = (2 * 127 + SQUARES.lowest) << (MANTISSA - 1)
    return (code * jnp.uint32(half) + jnp.uint32(lowest)) & jnp.uint32(EXPONENT)


def _root_power(squares: jax.Array) -> jax.Array:
    """The bits of the power of two that is at the root of a number itself, or next above."""
    word = jax.lax.bitcast_convert_type(squares, jnp.uint32) >> jnp.uint32(1)
    above = (127 << (MANTISSA - 1)) + (1 << MANTISSA) - 1
    return (word + jnp.uint32(above)) & jnp.uint32(EXPONENT)


def _float(word: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(word, jnp.float32)
