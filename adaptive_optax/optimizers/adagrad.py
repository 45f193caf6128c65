"""AdaGrad: each coordinate by the root of its summed squares (Duchi, Hazan & Singer, 2011).

    nu <- nu + g^2        d = g / (sqrt(nu) + eps)

One slot a parameter. Under a constant gradient the step shrinks as 1 / sqrt(t). When to use it:
sparse features and convex problems; in deep networks the steps die away.
Departures: none; the paper's delta is eps.
"""

from typing import Any, NamedTuple

from adaptive_optax.core.arrays import add_square, denominator, divided, real_slot
from adaptive_optax.core.checks import check_choice, check_non_negative
from adaptive_optax.core.descend import descend
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.types import Scalar, Schedule, Transformation


class AdagradSlots(NamedTuple):
    """What AdaGrad remembers."""

    nu: Any  # sum of |g|^2


def scale_by_adagrad(
    initial_accumulator_value: Scalar = 0.0, eps: Scalar = 1e-10, eps_placement: str = "outside"
) -> Transformation:
    """The gradient over the root of the sum of all squares so far.

    Args:
      initial_accumulator_value: what the sum starts from, at least 0.
      eps: keeps the denominator off zero, at least 0.
      eps_placement: "outside" the root, as in the paper, or "inside".

    Raises:
      ValueError: for an option out of range.
    """
    check_non_negative("adagrad", initial_accumulator_value=initial_accumulator_value, eps=eps)
    check_choice("adagrad", ("outside", "inside"), eps_placement=eps_placement)

    def init(p):
        return AdagradSlots(nu=real_slot(p, initial_accumulator_value))

    def update(g, slots, p, count):
        nu = add_square(slots.nu, g)
        return divided(g, denominator(nu, eps, eps_placement)), AdagradSlots(nu)

    return leafwise(AdagradSlots, init, update)


scale_by_rss = scale_by_adagrad


def adagrad(
    learning_rate: Scalar | Schedule,
    *,
    initial_accumulator_value: Scalar = 0.0,
    eps: Scalar = 1e-10,
    eps_placement: str = "outside",
) -> Transformation:
    """AdaGrad, the direction of `scale_by_adagrad`.

    >>> import jax.numpy as jnp
    >>> tx = adagrad(1.0)
    >>> params = jnp.array(0.0)
    >>> state = tx.init(params)
    >>> for _ in range(4):
    ...     updates, state = tx.update(jnp.array(3.0), state, params)
    >>> float(updates)
    -0.5
    """
    return descend(scale_by_adagrad(initial_accumulator_value, eps, eps_placement), learning_rate)
