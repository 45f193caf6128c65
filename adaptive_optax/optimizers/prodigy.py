"""Prodigy: Adam that finds its own rate (Mishchenko & Defazio, 2024, arXiv:2306.06101).

    s = learning_rate d                             d, the distance to the solution, first d0
    r <- b3 r + d / d0 s <g, p_0 - p>               over the whole tree
    grad_sum <- b3 grad_sum + d / d0 s g
    mu <- b1 mu + (1 - b1) d g        nu <- b2 nu + (1 - b2) d^2 g^2
    d <- max(d, d_coef r / |grad_sum|_1)
    p <- p - s (mu / (sqrt(nu) + d eps) + weight_decay p)        s of the old d

Four slots a parameter. When to use it: where no learning rate is to be tuned; keep the rate at 1
and give it a schedule such as a cosine. The first steps have the size d0: where a parameter is so
large, or its dtype so narrow, that it cannot move by that, d does not grow; raise d0.
Departures: none from the authors' code, which scales r and grad_sum by 1 / d0 and leaves out
(1 - b3), both without effect, and multiplies eps by the new d. `bias_correction` makes s of
learning_rate d sqrt(1 - b2^t) / (1 - b1^t), as optax always does.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    bias,
    denominator,
    divided,
    ema,
    ema_of_squares,
    inner_product,
    real_slot,
    scaled,
    zeros_slot,
)
from adaptive_optax.core.checks import (
    check_flag,
    check_fraction,
    check_non_negative,
    check_positive,
    check_rate,
)
from adaptive_optax.core.descend import decaying, downhill
from adaptive_optax.core.roles import Signed, Squares
from adaptive_optax.core.treewise import treewise, wide
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation


class ProdigyShared(NamedTuple):
    """What the tree shares."""

    distance: Any  # d
    numerator: Any  # r


class ProdigySlots(NamedTuple):
    """What a leaf remembers."""

    mu: Signed  # average of d g
    nu: Squares  # average of |d g|^2
    grad_sum: Any  # weighted sum of the gradients
    anchor: Any  # p_0


class Measures(NamedTuple):
    """A leaf's share of what d is made of."""

    inner: Any  # <g, p_0 - p>
    length: Any  # 1-norm of the new grad_sum


class AtStep(NamedTuple):
    """What all leaves share at one update."""

    distance: Any  # d before it
    rate: Any  # s
    weight: Any  # of g in grad_sum
    eps: Any  # beside the root of nu


def scale_by_prodigy(
    learning_rate: Scalar | Schedule = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: Scalar | None = None,
    eps: Scalar = 1e-8,
    d0: Scalar = 1e-6,
    d_coef: Scalar = 1.0,
    bias_correction: bool = False,
    safeguard_warmup: bool = False,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """Prodigy's step, uphill, with its learning rate and weight decay in it.

    Args:
      learning_rate: factor of the distance, at least 0; a number, an array or a schedule.
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      b3: decay of r and grad_sum, in [0, 1); None takes the root of b2.
      eps: keeps the denominator off zero, at least 0.
      d0: the first distance, above 0, and below the true one.
      d_coef: factor of the estimate, above 0; what to change to tune.
      bias_correction: corrects Adam's biases, which makes the first steps longer.
      safeguard_warmup: keeps the learning rate out of grad_sum, for long warm-ups.
      weight_decay: at least 0, times s; a number, an array or a schedule.
      mask: which leaves decay, as in `descend`.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """
    check_flag("prodigy", bias_correction=bias_correction, safeguard_warmup=safeguard_warmup)
    check_fraction("prodigy", b1=b1, b2=b2)
    b3 = b2**0.5 if b3 is None else b3
    check_fraction("prodigy", b3=b3)
    check_non_negative("prodigy", eps=eps)
    check_positive("prodigy", d0=d0, d_coef=d_coef)
    check_rate("prodigy", learning_rate=learning_rate, weight_decay=weight_decay)

    def start(leaves):
        return ProdigyShared(wide(d0), wide(0.0))

    def init(p):
        return ProdigySlots(zeros_slot(p), real_slot(p), zeros_slot(p), anchor=p)

    def per_step(count, rate):
        return rate * (jnp.sqrt(bias(b2, count)) / bias(b1, count) if bias_correction else 1.0)

    def weight(shared, rate):
        return divided(shared.distance, d0) * shared.distance * (1 if safeguard_warmup else rate)

    def summed(g, slots, weight):
        return scaled(slots.grad_sum, b3) + scaled(g, weight)

    def measure(g, slots, p, shared, rate):
        grad_sum = summed(g, slots, weight(shared, rate))
        return Measures(inner_product(g, slots.anchor - p), jnp.sum(jnp.abs(grad_sum)))

    def settle(measures, shared, rate):
        share = divided(shared.distance, d0) * shared.distance * rate
        numerator = scaled(shared.numerator, b3) + share * jnp.sum(measures.inner)
        length = jnp.sum(measures.length)
        found = scaled(numerator, d_coef) / jnp.where(length > 0, length, 1.0)
        distance = jnp.maximum(shared.distance, jnp.where(length > 0, found, 0.0))
        at = AtStep(
            shared.distance, rate * shared.distance, weight(shared, rate), scaled(distance, eps)
        )
        return ProdigyShared(distance, numerator), at

    def update(g, slots, p, at, share):
        mu = ema(slots.mu, scaled(g, at.distance), b1)
        nu = ema_of_squares(slots.nu, scaled(g, at.distance), b2)
        step = divided(mu, denominator(nu, at.eps, "outside"))
        step = step if share is None else step + scaled(p, share)
        return scaled(step, at.rate), ProdigySlots(
            mu, nu, summed(g, slots, at.weight), slots.anchor
        )

    return treewise(
        ProdigySlots,
        init,
        update,
        start=start,
        measure=measure,
        settle=settle,
        per_step=per_step,
        extras=decaying("prodigy", weight_decay, mask),
        learning_rate=learning_rate,
    )


def prodigy(
    learning_rate: Scalar | Schedule = 1.0,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: Scalar | None = None,
    eps: Scalar = 1e-8,
    d0: Scalar = 1e-6,
    d_coef: Scalar = 1.0,
    bias_correction: bool = False,
    safeguard_warmup: bool = False,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """Prodigy, the step of `scale_by_prodigy`. Leave the learning rate at 1, or schedule it to 1.

    >>> import jax, jax.numpy as jnp
    >>> tx = prodigy()
    >>> params = jnp.array(100.0)
    >>> state = tx.init(params)
    >>> for _ in range(200):
    ...     updates, state = tx.update(jnp.sign(params), state, params)
    ...     params = params + updates
    >>> 25 < float(state.shared.distance) < 400
    True
    """
    direction = scale_by_prodigy(
        learning_rate,
        b1,
        b2,
        b3,
        eps,
        d0,
        d_coef,
        bias_correction,
        safeguard_warmup,
        weight_decay,
        mask,
    )
    return downhill(direction)
