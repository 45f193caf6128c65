"""Adam: a running mean over a running root mean square (Kingma & Ba, 2015, arXiv:1412.6980).

    mu <- b1 mu + (1 - b1) g          mu_hat = mu / (1 - b1^t)
    nu <- b2 nu + (1 - b2) g^2        nu_hat = nu / (1 - b2^t)
    d = mu_hat / (sqrt(nu_hat) + eps)

`adam` can add the gradient l2 p of an L2 penalty to g, which then enters the moments; `adamw`
decays the weights beside the step instead (Loshchilov & Hutter, 2019, arXiv:1711.05101).
Two slots a parameter. When to use it: the first to try; `adamw` for whatever is regularized.
Departures: none by default. Where other libraries put eps: `eps_placement`, `eps_root`.
"""

from typing import NamedTuple

from adaptive_optax.core.arrays import (
    bias,
    debias,
    denominator,
    divided,
    ema,
    ema_of_squares,
    real_slot,
    scaled,
    zeros_slot,
)
from adaptive_optax.core.checks import (
    check_choice,
    check_fraction,
    check_non_negative,
    check_params,
)
from adaptive_optax.core.descend import descend
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.roles import Signed, Squares
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation

EPS_PLACEMENTS = ("outside", "inside", "uncorrected")


class AdamSlots(NamedTuple):
    """What Adam remembers."""

    mu: Signed  # average gradient
    nu: Squares  # average of |g|^2


def scale_by_adam(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: str = "outside",
    l2: Scalar = 0.0,
) -> Transformation:
    """Adam's direction.

    Args:
      b1: decay of the mean, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: keeps the denominator off zero, at least 0.
      eps_root: added to nu_hat under the root, at least 0; 0 in the paper.
      eps_placement: "outside" the root of nu_hat, as in the paper's algorithm; "inside" that root;
        "uncorrected", beside the root of nu before its bias correction (the paper's epsilon-hat).
      l2: weight of the L2 penalty l2/2 |p|^2 whose gradient is added to g, at least 0.

    Raises:
      ValueError: for an option out of range; at update, where l2 is on and params are missing.
    """
    _check("adam", b1, b2, eps, eps_root, eps_placement)
    check_non_negative("adam", l2=l2)
    penalized = not (isinstance(l2, int | float) and l2 == 0)

    def init(p):
        return AdamSlots(mu=zeros_slot(p), nu=real_slot(p))

    def per_step(count):
        return bias(b1, count), bias(b2, count)

    def update(g, slots, p, biases):
        if penalized:
            check_params("adam", "l2", p)
            g = g + scaled(p, l2)
        mu, nu = ema(slots.mu, g, b1), ema_of_squares(slots.nu, g, b2)
        mu_hat = debias(mu, biases[0])
        root = denominator(nu, eps, eps_placement, eps_root, biases[1])
        return divided(mu_hat, root), AdamSlots(mu, nu)

    return leafwise(AdamSlots, init, update, per_step=per_step)


scale_by_adamw = scale_by_adam


def _check(
    name: str, b1: Scalar, b2: Scalar, eps: Scalar, eps_root: Scalar, eps_placement: str
) -> None:
    """The options that `adam` and `adamw` share, by the name of the one that was called."""
    check_fraction(name, b1=b1, b2=b2)
    check_non_negative(name, eps=eps, eps_root=eps_root)
    check_choice(name, EPS_PLACEMENTS, eps_placement=eps_placement)


def adam(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: str = "outside",
    l2: Scalar = 0.0,
) -> Transformation:
    """Adam, the direction of `scale_by_adam`; under a constant gradient every step is the rate.

    >>> import jax.numpy as jnp
    >>> tx = adam(0.25)
    >>> params = jnp.array(0.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 6)
    -0.25
    """
    return descend(scale_by_adam(b1, b2, eps, eps_root, eps_placement, l2), learning_rate)


def adamw(
    learning_rate: Scalar | Schedule,
    *,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    eps_placement: str = "outside",
    weight_decay: Scalar | Schedule = 1e-2,
    mask: Mask | None = None,
    independent_decay: bool = False,
) -> Transformation:
    """Adam with decoupled weight decay, as `descend` explains it.

    The paper's decay is independent of the learning rate; torch, Keras and optax multiply it by
    the rate, and so does the default here: a paper's value is `weight_decay * learning_rate`.

    >>> import jax.numpy as jnp
    >>> tx = adamw(0.25, weight_decay=0.1)
    >>> params = jnp.array(2.0)
    >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
    >>> round(float(updates), 6)
    -0.3
    """
    _check("adamw", b1, b2, eps, eps_root, eps_placement)
    return descend(
        scale_by_adam(b1, b2, eps, eps_root, eps_placement),
        learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        independent_decay=independent_decay,
        name="adamw",
    )
