"""The random bits of stochastic rounding: an integer hash of element, step and leaf.

    bits(element, step, leaf) = stirred(golden element + mixed(step, leaf))        modulo 2^32

with golden = 2^32 / 1.618. `mixed` is a scalar, scrambled anew at every step, so that what one
element gets over the steps is even and independent. For the moments of an optimizer it is so at
every second step, and the step after it has the opposite bits: what was rounded up is likely to be
rounded down next. Each step is as even as before, and two of them together have half the noise.

`stirred` is one round, a shift and a product: without it the elements of a step would be a lattice,
and those of like history be rounded alike. (Bits evenly spread over all steps were tried too. They
make the noise smaller still, but a moment that moves by a twentieth of itself at each step, as at
b2 = 0.95, then has a wrong mean.)

The element is counted in the whole array: the bits are the same however it is sharded, and on every
device. They cost five integer operations an element.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

GOLDEN = 2654435769  # the odd number nearest to 2^32 / 1.618
STREAMS = 6  # leaves of one state with bits of their own, before they come again


class Seed(NamedTuple):
    """What the bits of an array at a step are made from, uint32 numbers of shape ()."""

    mixed: jax.Array  # of a pair of steps
    opposite: jax.Array  # all ones at the second of the pair, 0 at the first


def seeds(step: jax.Array) -> list[Seed]:
    """The seeds of the arrays of a state, in turn.

    There are `STREAMS` of them, so that arrays of one shape have as many programs: XLA compiles
    those that are equal once, and no two neighbours in a state are rounded alike.

    Args:
      step: number of the update, an integer of shape ().
    """
    number = step.astype(jnp.uint32)
    pair, opposite = number >> jnp.uint32(1), jnp.uint32(0) - (number & jnp.uint32(1))
    return [Seed(mixed(pair, jnp.uint32(stream)), opposite) for stream in range(STREAMS)]


def mixed(step: jax.Array, leaf: jax.Array) -> jax.Array:
    """A scrambled number of a step and a leaf, uint32, shape ()."""
    return _scrambled(_scrambled(step.astype(jnp.uint32)) ^ leaf.astype(jnp.uint32))


def random_bits(shape: tuple[int, ...], seed: jax.Array) -> jax.Array:
    """32 random bits for every element, uint32.

    Args:
      shape: of the whole array.
      seed: of its leaf at this step, uint32, shape ().
    """
    total, stride = seed, GOLDEN
    for axis in reversed(range(len(shape))):
        places = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
        total = total + places * jnp.uint32(stride)
        stride = stride * max(shape[axis], 1) % 2**32
    stirred = (total ^ (total >> jnp.uint32(16))) * jnp.uint32(0x21F0AAAD)
    return jnp.broadcast_to(stirred, shape)


def _scrambled(x: jax.Array) -> jax.Array:
    """A bijection of 32 bits in which every bit of x reaches every other (by C. Wellons)."""
    x = (x ^ (x >> jnp.uint32(16))) * jnp.uint32(0x21F0AAAD)
    x = (x ^ (x >> jnp.uint32(15))) * jnp.uint32(0xD35A2D97)
    return x ^ (x >> jnp.uint32(15))
