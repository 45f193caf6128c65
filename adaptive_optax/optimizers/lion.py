"""Lion: the sign of an interpolated momentum (Chen et al., 2023, arXiv:2302.06675).

    d = sign(b1 mu + (1 - b1) g)        mu <- b2 mu + (1 - b2) g

One slot a parameter. Every coordinate moves by exactly the learning rate: take it 3 to 10 times
smaller than Adam's, and the weight decay as many times larger. When to use it: large batches and
transformers, where a slot of memory counts. Departures: none; a complex sign has modulus 1.
"""

from typing import NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import ema, zeros_slot
from adaptive_optax.core.checks import check_fraction
from adaptive_optax.core.descend import descend
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation


class LionSlots(NamedTuple):
    """What Lion remembers."""

    mu: Signed  # average gradient


def scale_by_lion(b1: Scalar = 0.9, b2: Scalar = 0.99) -> Transformation:
    """The sign of the interpolated momentum.

    Args:
      b1: weight of the old momentum in the sign, in [0, 1).
      b2: decay of the momentum that is kept, in [0, 1).

    Raises:
      ValueError: for an option out of range.
    """
    check_fraction("lion", b1=b1, b2=b2)

    def init(p):
        return LionSlots(mu=zeros_slot(p))

    known = isinstance(b1, float | int) and isinstance(b2, float | int) and b1 <= b2 and b2 > 0

    def update(g, slots, p, count):
        mu = ema(slots.mu, g, b2)
        # b1 mu + (1 - b1) g is (b1 / b2) mu + (1 - b1 / b2) g of the new mu. The old one XLA would
        # copy first, since the new one takes its place: a pass over memory, and memory besides.
        between = ema(mu, g, b1 / b2) if known else ema(slots.mu, g, b1)
        return jnp.sign(between), LionSlots(mu)

    return leafwise(LionSlots, init, update)


scale_by_sign_momentum = scale_by_lion


def lion(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    independent_decay: bool = False,
) -> Transformation:
    """Lion, the direction of `scale_by_lion` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = lion(0.5)
    >>> params = jnp.zeros(3)
    >>> updates, _ = tx.update(jnp.array([3.0, -4.0, 0.0]), tx.init(params), params)
    >>> (params + updates).tolist()
    [-0.5, 0.5, 0.0]
    """
    return descend(
        scale_by_lion(b1, b2),
        learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        independent_decay=independent_decay,
    )
