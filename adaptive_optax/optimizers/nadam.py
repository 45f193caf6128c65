"""Nadam: Adam with Nesterov's momentum and a momentum schedule (Dozat, 2016, ICLR workshop).

    m_t = b1 (1 - 0.96^(t momentum_decay) / 2)
    mu <- m_t mu + (1 - m_t) g        nu <- b2 nu + (1 - b2) g^2
    mu_hat = m_{t+1} mu / (1 - m_1 ... m_{t+1}) + (1 - m_t) g / (1 - m_1 ... m_t)
    nu_hat = b2 nu / (1 - b2^t)
    d = mu_hat / (sqrt(nu_hat) + eps)

Two slots a parameter. When to use it: where Adam works and a faster start helps.
Departures: none by default, and the paper's b1 is 0.99. Other libraries drop the factor b2 of
nu_hat (`correct_nu=False`), average with a constant b1 (`scheduled_average=False`, torch), or have
no schedule (`momentum_decay=None`, optax). The product of the m_i is a closed form, not a state.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    bias,
    denominator,
    divided,
    elapsed,
    ema,
    ema_of_squares,
    log,
    real_slot,
    scaled,
    zeros_slot,
)
from adaptive_optax.core.checks import (
    check_choice,
    check_flag,
    check_fraction,
    check_non_negative,
    check_positive,
)
from adaptive_optax.core.descend import descend
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation
from adaptive_optax.optimizers.adam import EPS_PLACEMENTS, AdamSlots


class NadamScalars(NamedTuple):
    """What all leaves share at one update."""

    decay: Any  # of mu
    of_mu: Any  # weight of mu in mu_hat
    of_g: Any  # weight of g in mu_hat
    nu_bias: Any


_TERMS = 64  # of the series below, whose k-th term is under 2^-k


def scale_by_nadam(
    b1: Scalar = 0.99,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: str = "outside",
    momentum_decay: Scalar | None = 0.004,
    scheduled_average: bool = True,
    correct_nu: bool = True,
) -> Transformation:
    """Nadam's direction.

    Args:
      b1: momentum that the schedule rises to, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_root: added to nu_hat under the root, at least 0; 0 in the paper.
      eps_placement: as in `scale_by_adam`.
      momentum_decay: speed of the schedule, above 0; None keeps b1 constant.
      scheduled_average: averages the gradient with m_t, as in the paper; False with b1.
      correct_nu: multiplies nu_hat by b2, as in the paper.

    Raises:
      ValueError: for an option out of range.
    """
    _check("nadam", b1, b2, eps, eps_root, eps_placement, momentum_decay)
    check_flag("nadam", scheduled_average=scheduled_average, correct_nu=correct_nu)
    momentum, momentum_bias = _momentum_schedule(b1, momentum_decay)

    def init(p):
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(count):
        t = elapsed(count)
        now, ahead = momentum(t), momentum(t + 1)
        return NadamScalars(
            decay=now if scheduled_average else b1,
            of_mu=ahead / momentum_bias(t + 1),
            of_g=(1 - now) / momentum_bias(t),
            nu_bias=divided(bias(b2, count), b2 if correct_nu else 1.0),
        )

    def update(g, slots, p, at):
        mu, nu = ema(slots.mu, g, at.decay), ema_of_squares(slots.nu, g, b2)
        mu_hat = scaled(mu, at.of_mu) + scaled(g, at.of_g)
        root = denominator(nu, eps, eps_placement, eps_root, at.nu_bias)
        return divided(mu_hat, root), AdamSlots(mu, nu)

    return leafwise(AdamSlots, init, update, per_step=per_step)


scale_by_nadamw = scale_by_nadam


def _check(
    name: str,
    b1: Scalar,
    b2: Scalar,
    eps: Scalar,
    eps_root: Scalar,
    eps_placement: str,
    momentum_decay: Scalar | None,
) -> None:
    """The options that `nadam` and `nadamw` share, by the name of the one that was called."""
    check_fraction(name, b1=b1, b2=b2)
    check_non_negative(name, eps=eps, eps_root=eps_root)
    check_choice(name, EPS_PLACEMENTS, eps_placement=eps_placement)
    if momentum_decay is not None:
        check_positive(name, momentum_decay=momentum_decay)


def nadam(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.99,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: str = "outside",
    momentum_decay: Scalar | None = 0.004,
    scheduled_average: bool = True,
    correct_nu: bool = True,
) -> Transformation:
    """Nadam, the direction of `scale_by_nadam`.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = nadam(1.0, **ao.preset("torch", "nadam"))
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 4)
    -1.0565
    """
    direction = scale_by_nadam(
        b1, b2, eps, eps_root, eps_placement, momentum_decay, scheduled_average, correct_nu
    )
    return descend(direction, learning_rate)


def nadamw(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.99,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: str = "outside",
    momentum_decay: Scalar | None = 0.004,
    scheduled_average: bool = True,
    correct_nu: bool = True,
    weight_decay: Scalar | Schedule = 1e-2,
    mask: Mask | None = None,
    independent_decay: bool = False,
) -> Transformation:
    """Nadam with decoupled weight decay, as `descend` explains it and `adamw` has it.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = nadamw(1.0, **{**ao.preset("torch", "nadamw"), "weight_decay": 0.1})
    >>> params = jnp.array(2.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 4)
    -1.2565
    """
    _check("nadamw", b1, b2, eps, eps_root, eps_placement, momentum_decay)
    check_flag("nadamw", scheduled_average=scheduled_average, correct_nu=correct_nu)
    direction = scale_by_nadam(
        b1, b2, eps, eps_root, eps_placement, momentum_decay, scheduled_average, correct_nu
    )
    return descend(
        direction,
        learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        independent_decay=independent_decay,
        name="nadamw",
    )


def _momentum_schedule(
    b1: Scalar, momentum_decay: Scalar | None
) -> tuple[Callable[[jax.Array], jax.Array], Callable[[jax.Array], jax.Array]]:
    """The functions t -> m_t and t -> 1 - m_1 ... m_t of a real t.

    With q = 0.96^momentum_decay the product of b1 (1 - q^i / 2) has the logarithm
    t log b1 - sum_k (q/2)^k (1 - q^(k t)) / (k (1 - q^k)), by expanding each factor's logarithm.
    """
    if momentum_decay is None:
        return (
            lambda t: scaled(jnp.ones_like(t), b1),
            lambda t: -jnp.expm1(scaled(t, log(b1))),
        )

    log_q = momentum_decay * math.log(0.96)

    def momentum(t: jax.Array) -> jax.Array:
        return scaled(1 - 0.5 * jnp.exp(scaled(t, log_q)), b1)

    def momentum_bias(t: jax.Array) -> jax.Array:
        k = jnp.arange(1, _TERMS + 1, dtype=t.dtype)
        powers = scaled(k, log_q)
        weights = jnp.exp(powers) * 0.5**k / k
        series = jnp.sum(weights * jnp.expm1(t * powers) / jnp.expm1(powers))
        return -jnp.expm1(scaled(t, log(b1)) - series)

    return momentum, momentum_bias
