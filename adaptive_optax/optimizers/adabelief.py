"""AdaBelief: Adam over the spread about its mean (Zhuang et al., 2020, arXiv:2010.07468).

    mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) (g - mu)^2 + eps_root
    d = mu / (1 - b1^t) / (sqrt(nu / (1 - b2^t)) + eps)

Steps are long where the gradient is steady, short where it changes. Two slots a parameter. When
to use it: convolutions and GANs, as the paper does; where gradients hardly vary its steps grow up
to |g| sqrt((1 - b2) / eps_root) times the rate, so that eps_root is a choice, not a detail.
Departures: none. The authors' rectification is RAdam's and not part of the paper's algorithm;
later they and optax take 1e-16 for the paper's 1e-8.
"""

from adaptive_optax.core.arrays import (
    add_square,
    bias,
    debias,
    denominator,
    divided,
    ema,
    real_slot,
    scaled,
    shifted,
    zeros_slot,
)
from adaptive_optax.core.checks import check_fraction, check_non_negative
from adaptive_optax.core.descend import descend
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation
from adaptive_optax.optimizers.adam import AdamSlots


def scale_by_adabelief(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar | None = None,
) -> Transformation:
    """AdaBelief's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the spread, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_root: added to nu at every step, where it collects to eps_root / (1 - b2), at least 0;
        None takes eps, the paper's one epsilon.

    Raises:
      ValueError: for an option out of range.
    """
    eps_root = eps if eps_root is None else eps_root
    check_fraction("adabelief", b1=b1, b2=b2)
    check_non_negative("adabelief", eps=eps, eps_root=eps_root)

    def init(p):
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(count):
        return bias(b1, count), bias(b2, count)

    def update(g, slots, p, biases):
        mu = ema(slots.mu, g, b1)
        nu = add_square(shifted(scaled(slots.nu, b2), eps_root), g - mu, 1 - b2)
        root = denominator(nu, eps, "outside", correction=biases[1])
        return divided(debias(mu, biases[0]), root), AdamSlots(mu, nu)

    return leafwise(AdamSlots, init, update, per_step=per_step)


def adabelief(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar | None = None,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """AdaBelief, the direction of `scale_by_adabelief` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = adabelief(0.25)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(4.0), tx.init(params), params)
    >>> round(float(updates), 4)
    -0.2778
    """
    direction = scale_by_adabelief(b1, b2, eps, eps_root)
    return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask)
