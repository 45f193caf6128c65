"""Numbers of a few bits with an exponent: the grid that the 8-bit and 4-bit formats round to.

    value(code) = 2^lowest (f(code / levels) - 1)        f(n + t) = 2^n (1 + t), 0 <= t < 1

f is a power of two with straight lines between: `levels` equal steps to each doubling, as in a
floating-point number. The 1 taken off gives code 0 to zero, and even steps below 2^lowest. All of
it is integer arithmetic on the bits of a float32, with no division, no table and no root.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Quadratic(NamedTuple):
    """A set of numbers from 0 to 2, and how to round to it."""

    codes: int  # the largest code
    largest: float = 2.0

    def encode(self, x: jax.Array, bits: jax.Array) -> jax.Array:
        """The code of 0 <= x <= 2, float32, up or down by chance so that its mean is x; uint32.

        Args:
          x: float32.
          bits: random, uint32, of x's shape.
        """
        squares = x * jnp.float32(self.codes**2 / 2)
        lower = jnp.floor(jnp.sqrt(squares))
        share = (bits >> jnp.uint32(9)).astype(jnp.int32).astype(jnp.float32) * jnp.float32(2**-23)
        above = share * (2 * lower + 1) < squares - lower * lower
        code = lower.astype(jnp.int32) + above.astype(jnp.int32)
        return jnp.minimum(code, self.codes).astype(jnp.uint32)

    def decode(self, code: jax.Array) -> jax.Array:
        """The number of a code, float32."""
        root = code.astype(jnp.int32).astype(jnp.float32)
        return root * root * jnp.float32(2 / self.codes**2)


MANTISSA = 23  # bits of a float32 after its exponent
EXPONENT = 255 << MANTISSA  # the bits of its exponent
UP = 2**32 - 1  # random bits that round upwards


class Grid(NamedTuple):
    """A set of numbers of at least 0, and how to round to it."""

    levels: int  # steps to a doubling
    lowest: int  # exponent under which the steps are even
    codes: int  # the largest code
    positive: bool  # whether what is above 0 stays so, and what is below 2^lowest is rounded up

    @property
    def largest(self) -> float:
        """The largest number of the grid."""
        whole, part = divmod(self.codes, self.levels)
        return 2.0**self.lowest * (2.0**whole * (1 + part / self.levels) - 1)

    def encode(self, x: jax.Array, bits: jax.Array) -> jax.Array:
        """The code of x >= 0, float32, up or down by chance so that its mean is x; uint32.

        What is above the largest number becomes that. Where `positive`, what is above 0 and below
        2^lowest goes up always: a second moment that is rounded to 0 beside a first moment that is
        not would be a step without bound, and one that loses much of itself a step too long.

        Args:
          x: finite, or inf; float32.
          bits: random, uint32, of x's shape.
        """
        if self.positive:
            bits = jnp.where(x < _float(2.0**self.lowest), _word(UP), bits)
        last = self._unit + ((self.codes << MANTISSA) // self.levels)
        shifted = jax.lax.bitcast_convert_type(x + _float(2.0**self.lowest), jnp.uint32)
        above = jnp.minimum(shifted, _word(last)) - _word(self._unit)
        steps = above * _word(self.levels)
        if self._creeps:
            steps = steps - (above >> _word(MANTISSA)) * _word(self._excess * self.levels)
        code = (steps + (bits >> _word(32 - MANTISSA))) >> _word(MANTISSA)
        return jnp.maximum(code, (x > 0).astype(jnp.uint32)) if self.positive else code

    def decode(self, code: jax.Array) -> jax.Array:
        """The number of a code, float32."""
        shifted = code.astype(jnp.uint32) * _word(self._step) + _word(self._unit)
        return jax.lax.bitcast_convert_type(shifted, jnp.float32) - _float(2.0**self.lowest)

    @property
    def _step(self) -> int:
        """The bits from one code to the next, rounded up."""
        return -(-(1 << MANTISSA) // self.levels)

    @property
    def _excess(self) -> int:
        """By how much the steps of a doubling are more than one."""
        return self._step * self.levels - (1 << MANTISSA)

    @property
    def _creeps(self) -> bool:
        """Whether a number on the grid would move up, a step, by 5 millionths of itself or more."""
        return self.codes * self._excess > self.levels * 5e-6 * 2**MANTISSA

    @property
    def _unit(self) -> int:
        """The bits of 2^lowest as a float32."""
        return (127 + self.lowest) << MANTISSA


def _word(value: int) -> jax.Array:
    return jnp.uint32(value)


def _float(value: float) -> jax.Array:
    return jnp.float32(value)
