"""Parts of optimizers as transformations of their own, to be chained."""

from typing import NamedTuple

import adaptive_optax.core.arrays as arrays
from adaptive_optax.core.checks import check_fraction
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.lift import NoSlots
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.types import Scalar, Transformation


class EmaSlots(NamedTuple):
    """What an average remembers."""

    mu: Signed  # the average


def ema(decay: Scalar) -> Transformation:
    """The exponential moving average of the gradients, mu <- decay mu + (1 - decay) g, from 0.

    Args:
      decay: in [0, 1).

    Raises:
      ValueError: for a decay out of range.

    >>> import jax.numpy as jnp
    >>> tx = ema(0.75)
    >>> state = tx.init(jnp.array(0.0))
    >>> updates, state = tx.update(jnp.array(4.0), state)
    >>> float(updates)
    1.0
    """
    check_fraction("ema", decay=decay)

    def init(p):
        return EmaSlots(mu=arrays.zeros_slot(p))

    def update(g, slots, p, count):
        mu = arrays.ema(slots.mu, g, decay)
        return mu, EmaSlots(mu)

    return leafwise(EmaSlots, init, update)


def bias_correction(decay: Scalar) -> Transformation:
    """Divides by 1 - decay^t, so that an average from 0 becomes the mean of what it saw.

    Args:
      decay: of the average before it in the chain, in [0, 1).

    Raises:
      ValueError: for a decay out of range.

    >>> import jax.numpy as jnp, optax
    >>> tx = optax.chain(ema(0.75), bias_correction(0.75))
    >>> updates, _ = tx.update(jnp.array(4.0), tx.init(jnp.array(0.0)))
    >>> round(float(updates), 5)
    4.0
    """
    check_fraction("bias_correction", decay=decay)

    def per_step(count):
        return arrays.bias(decay, count)

    def update(g, slots, p, bias):
        return arrays.debias(g, bias), slots

    return leafwise(NoSlots, lambda p: NoSlots(), update, per_step=per_step)
