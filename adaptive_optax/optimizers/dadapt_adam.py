"""D-Adaptation for Adam (Defazio & Mishchenko, 2023, arXiv:2301.07733).

    s = learning_rate d sqrt(1 - b2^t) / (1 - b1^t)     d, the distance to the solution, first d0
    r <- b3 r + (1 - b3) s <g, grad_sum / (sqrt(nu) + eps)>    b3 = sqrt(b2); before nu's update
    grad_sum <- b3 grad_sum + (1 - b3) s g
    mu <- b1 mu + (1 - b1) s g        nu <- b2 nu + (1 - b2) g^2
    p <- p - mu / (sqrt(nu) + eps) - s weight_decay p
    d <- max(d, r / ((1 - b3) |grad_sum|_1))        r and the 1-norm over the whole tree

Three slots a parameter. When to use it: where no learning rate is to be tuned; `prodigy`, which
followed it, does better in its authors' tests. Departures: the paper corrects no bias
(`bias_correction=False`, its preset), but then d overshoots: on |x| by up to 4.9 times, with the
correction by 2.3. The old nu in r is of the authors' code; the paper's algorithm has the new one.
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
from adaptive_optax.core.roles import NonNegative, Signed
from adaptive_optax.core.treewise import treewise, wide
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation


class DadaptShared(NamedTuple):
    """What the tree shares."""

    distance: Any  # d
    numerator: Any  # r


class DadaptSlots(NamedTuple):
    """What a leaf remembers."""

    mu: Signed  # average of s g
    nu: NonNegative  # average of |g|^2
    grad_sum: Any  # average of s g, over a longer past


class Measures(NamedTuple):
    """A leaf's share of what d is made of."""

    inner: Any  # <g, grad_sum / (sqrt(nu) + eps)>
    length: Any  # 1-norm of the new grad_sum


def scale_by_dadapt_adam(
    learning_rate: Scalar | Schedule = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    d0: Scalar = 1e-6,
    bias_correction: bool = True,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """D-Adapted Adam's step, uphill, with its learning rate and weight decay in it.

    Args:
      learning_rate: factor of the distance, at least 0; a number, an array or a schedule.
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      d0: the first distance, above 0, and below the true one.
      bias_correction: multiplies s by sqrt(1 - b2^t) / (1 - b1^t).
      weight_decay: at least 0, times s; a number, an array or a schedule.
      mask: which leaves decay, as in `descend`.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where params
        are missing.
    """
    check_flag("dadapt_adam", bias_correction=bias_correction)
    check_fraction("dadapt_adam", b1=b1, b2=b2)
    check_non_negative("dadapt_adam", eps=eps)
    check_positive("dadapt_adam", d0=d0)
    check_rate("dadapt_adam", learning_rate=learning_rate, weight_decay=weight_decay)
    b3 = b2**0.5

    def start(leaves):
        return DadaptShared(wide(d0), wide(0.0))

    def init(p):
        return DadaptSlots(zeros_slot(p), real_slot(p), zeros_slot(p))

    def per_step(count, rate):
        return rate * (jnp.sqrt(bias(b2, count)) / bias(b1, count) if bias_correction else 1.0)

    def measure(g, slots, p, shared, rate):
        whitened = divided(slots.grad_sum, denominator(slots.nu, eps, "outside"))
        grad_sum = ema(slots.grad_sum, scaled(g, rate * shared.distance), b3)
        return Measures(inner_product(g, whitened), jnp.sum(jnp.abs(grad_sum)))

    def settle(measures, shared, rate):
        step_size = rate * shared.distance
        numerator = ema(shared.numerator, step_size * jnp.sum(measures.inner), b3)
        length = scaled(jnp.sum(measures.length), 1 - b3)
        found = numerator / jnp.where(length > 0, length, 1.0)
        distance = jnp.maximum(shared.distance, jnp.where(length > 0, found, 0.0))
        return DadaptShared(distance, numerator), step_size

    def update(g, slots, p, step_size, share):
        mu = ema(slots.mu, scaled(g, step_size), b1)
        nu = ema_of_squares(slots.nu, g, b2)
        step = divided(mu, denominator(nu, eps, "outside"))
        step = step if share is None else step + scaled(scaled(p, share), step_size)
        return step, DadaptSlots(mu, nu, ema(slots.grad_sum, scaled(g, step_size), b3))

    return treewise(
        DadaptSlots,
        init,
        update,
        start=start,
        measure=measure,
        settle=settle,
        per_step=per_step,
        extras=decaying("dadapt_adam", weight_decay, mask),
        learning_rate=learning_rate,
    )


def dadapt_adam(
    learning_rate: Scalar | Schedule = 1.0,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    d0: Scalar = 1e-6,
    bias_correction: bool = True,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """D-Adapted Adam, the step of `scale_by_dadapt_adam`. Leave the learning rate at 1.

    >>> import jax.numpy as jnp
    >>> tx = dadapt_adam()
    >>> params = jnp.array(1.0)
    >>> state = tx.init(params)
    >>> for _ in range(300):
    ...     updates, state = tx.update(jnp.sign(params), state, params)
    ...     params = params + updates
    >>> 0.25 < float(state.shared.distance) < 4
    True
    """
    direction = scale_by_dadapt_adam(
        learning_rate, b1, b2, eps, d0, bias_correction, weight_decay, mask
    )
    return downhill(direction)
