"""LAMB: Adam with one rate a layer (You et al., 2020, arXiv:1904.00962).

    r = mu_hat / (sqrt(nu_hat) + eps) + weight_decay p          mu_hat, nu_hat as Adam's
    d = phi(|p|) / |r| r                                        the norms of the leaf

Every leaf moves by the learning rate times its own norm. Two slots a parameter. When to use it:
batches of tens of thousands of examples. Departures: none; phi is the identity or a clip
(`norm_bounds`), and the ratio is 1 where a norm is 0, such as that of a bias at its start.
"""

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    bias,
    debias,
    denominator,
    divided,
    ema,
    ema_of_squares,
    norm,
    real_slot,
    scaled,
    zeros_slot,
)
from adaptive_optax.core.checks import (
    check_fraction,
    check_non_negative,
    check_numbers,
    check_params,
    check_rate,
)
from adaptive_optax.core.descend import decaying, descend
from adaptive_optax.core.leafwise import lift
from adaptive_optax.core.lift import Rule
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation
from adaptive_optax.optimizers.adam import AdamSlots


def scale_by_lamb(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-6,
    eps_root: Scalar = 0.0,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    norm_bounds: tuple[float, float] | None = None,
) -> Transformation:
    """LAMB's direction, which holds its weight decay.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_root: added to nu_hat under the root, at least 0; 0 in the paper.
      weight_decay: weight of p in r, at least 0; a number, an array or a schedule.
      mask: which leaves decay, as in `descend`.
      norm_bounds: least and largest |p| that counts, 0 <= least <= largest; None has no bounds.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """
    check_fraction("lamb", b1=b1, b2=b2)
    check_non_negative("lamb", eps=eps, eps_root=eps_root)
    check_rate("lamb", weight_decay=weight_decay)
    if norm_bounds is not None:
        check_numbers("lamb", 2, norm_bounds=norm_bounds)
        if not 0 <= norm_bounds[0] <= norm_bounds[1]:
            raise ValueError(
                f"lamb(norm_bounds={norm_bounds}): norm_bounds must be (least, largest) with "
                f"0 <= least <= largest."
            )

    def init(p):
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(count):
        return bias(b1, count), bias(b2, count)

    def update(g, slots, p, biases, share):
        check_params("lamb", "their norms", p)
        mu, nu = ema(slots.mu, g, b1), ema_of_squares(slots.nu, g, b2)
        r = divided(
            debias(mu, biases[0]), denominator(nu, eps, "outside", eps_root, correction=biases[1])
        )
        r = r if share is None else r + scaled(p, share)
        length, size = norm(p), norm(r)
        if norm_bounds is not None:
            length = jnp.clip(length, *norm_bounds)
        moves = (length > 0) & (size > 0)
        ratio = jnp.where(moves, length / jnp.where(moves, size, 1.0), 1.0)
        return scaled(r, ratio), AdamSlots(mu, nu)

    extras = decaying("lamb", weight_decay, mask)
    rule = Rule("scale_by_lamb", AdamSlots, init, update, per_step, extras)
    return lift(rule)


def lamb(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-6,
    eps_root: Scalar = 0.0,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    norm_bounds: tuple[float, float] | None = None,
) -> Transformation:
    """LAMB, the direction of `scale_by_lamb`; its decay is part of what the ratio scales.

    >>> import jax.numpy as jnp
    >>> tx = lamb(0.1)
    >>> params = jnp.array([3.0, 4.0])
    >>> updates, _ = tx.update(jnp.array([1.0, 0.0]), tx.init(params), params)
    >>> [round(float(u), 4) for u in updates]
    [-0.5, -0.0]
    """
    direction = scale_by_lamb(b1, b2, eps, eps_root, weight_decay, mask, norm_bounds)
    return descend(direction, learning_rate)
