"""Paths of a rate from ramp to ramp, from which the schedules that end are made.

    rate = start * rest + end * share        rest = 1 - share, each computed for itself

`share`, from 0 to 1, is how much of a ramp's way is gone. The formulas of optax take 1 - t / length
instead, of which float32 keeps nothing near the end of a million updates; here the updates that
are left are counted in integers, and every rate keeps float32's digits.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.types import Scalar

Shape = Callable[[Any, Any], tuple[Any, Any]]  # time gone, time left, in [0, 1] -> share, rest


def polynomial_shape(power: Scalar) -> Shape:
    """The shape whose rest is time left to that power."""
    if isinstance(power, float) and power.is_integer():
        power = int(power)  # multiplies, where a float would go through logarithms

    def shape(gone, left):
        gone = jnp.minimum(gone, 1 - 2.0**-24)  # the end itself needs no logarithm of 0
        return -jnp.expm1(power * jnp.log1p(-gone)), left**power

    return shape


def _cosine(gone, left):
    return jnp.square(jnp.sin(math.pi / 2 * gone)), jnp.square(jnp.sin(math.pi / 2 * left))


def _one_minus_root(gone, left):
    return jnp.sqrt(gone), left / (1 + jnp.sqrt(gone))


SHAPES: dict[str, Shape] = {
    "linear": lambda gone, left: (gone, left),
    "cosine": _cosine,  # half a wave: rest = (1 + cos(pi t)) / 2
    "1-sqrt": _one_minus_root,
    "flat": lambda gone, left: (0.0, 1.0),
}


class Ramp(NamedTuple):
    """A way of the rate from one value to another."""

    start: Scalar
    end: Scalar
    length: int  # updates; one of 0 is passed over
    shape: Shape = SHAPES["linear"]


def path(*ramps: Ramp) -> Callable[[jax.Array], jax.Array]:
    """The rate along the ramps one after the other, as a function of t >= 0; the last end stays."""
    first, *others = (ramp for ramp in ramps if ramp.length)

    def rate(t):
        value, begin = _along(first, t), first.length
        for ramp in others:
            value = jnp.where(t < begin, value, _along(ramp, t - begin))
            begin += ramp.length
        return value

    return rate


def _along(ramp: Ramp, t: jax.Array) -> jax.Array:
    """The ramp's rate after t updates of its own."""
    done = jnp.clip(t, 0, ramp.length)
    length = float(ramp.length)  # an int would make the rate strongly typed
    share, rest = ramp.shape(done / length, (ramp.length - done) / length)
    value = ramp.start * rest + ramp.end * share
    # a compiled division multiplies by the inverse, which misses 1 by a bit: the ends are put in
    return jnp.where(t <= 0, ramp.start, jnp.where(t >= ramp.length, ramp.end, value))
