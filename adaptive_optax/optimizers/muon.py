"""Muon: momentum, orthogonalized (Jordan et al., 2024, kellerjordan.github.io/posts/muon).

    mu <- momentum mu + (1 - momentum) g        u = (1 - momentum) g + momentum mu
    X = u / (|u| + eps), and five times X <- a X + (b X X' + c X X' X X') X
    d = X sqrt(max(1, columns / rows))

Every singular value of the step is near 1, from about 0.7 to 1.2. One slot a parameter. When to
use it: the matrices within a network, dense and convolutional, at a rate of about 0.02; everything
else, and as a rule embeddings and the last layer, has another optimizer (`matrices`, `rest`).
Departures: products are in float32, and not in bfloat16, where the platform does not choose
otherwise. A kernel's last axis is its output, as in Flax; torch's is its first.
"""

from collections.abc import Callable
from typing import NamedTuple

import optax

from adaptive_optax.core.arrays import bias, debias, ema, scaled, zeros_slot
from adaptive_optax.core.checks import (
    check_choice,
    check_flag,
    check_fraction,
    check_non_negative,
    check_numbers,
    check_steps,
    check_transformation,
)
from adaptive_optax.core.descend import descend, walking
from adaptive_optax.core.leafwise import leafwise
from adaptive_optax.core.matrices import (
    automatic_axes,
    has_rows_and_columns,
    orthogonalized,
    views_of,
)
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.split import split
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation
from adaptive_optax.optimizers.adam import scale_by_adam

QUINTIC = (3.4445, -4.7750, 2.0315)  # a, b, c
SCALES: dict[str, Callable[[int, int], float]] = {
    "spectral": lambda rows, columns: max(1.0, columns / max(rows, 1)) ** 0.5,
    "rms": lambda rows, columns: 0.2 * max(rows, columns) ** 0.5,
    "none": lambda rows, columns: 1.0,
}


class MuonSlots(NamedTuple):
    """What Muon remembers."""

    trace: Signed  # average gradient; `mu` is a name of the rest's


def scale_by_muon(
    momentum: Scalar = 0.95,
    nesterov: bool = True,
    steps: int = 5,
    coefficients: tuple[float, float, float] = QUINTIC,
    eps: Scalar = 1e-7,
    scale: str = "spectral",
    bias_correction: bool = False,
    matrices: Mask = has_rows_and_columns,
    rest: optax.GradientTransformation | None = None,
) -> Transformation:
    """Muon's direction for matrices, another one for the rest.

    Args:
      momentum: decay of the mean, in [0, 1).
      nesterov: looks one step of momentum ahead.
      steps: of Newton and Schulz, at least 1.
      coefficients: a, b and c of a step, which maps a singular value s to a s + b s^3 + c s^5.
      eps: added to the norm, at least 0.
      scale: "spectral" multiplies by sqrt(max(1, columns / rows)); "rms" by
        0.2 sqrt(max(rows, columns)), which gives a step of Adam's size, for a rate of Adam's;
        "none" leaves the singular values near 1.
      bias_correction: corrects the mean, and Nesterov's two terms each by its own weight, as
        optax does; the paper does not.
      matrices: which leaves are matrices, and how they are read: a tree of labels like the
        parameters, a prefix of one, or a function from the parameters to one. True is a matrix
        whose last axis is its columns, all others its rows, as of dense and convolutional
        kernels; `MatrixView(stacked, outputs)` reads it otherwise; False is not a matrix. All
        leaves of two axes or more by default: leave out embeddings and the last layer here.
      rest: the direction of all other leaves, uphill; `scale_by_adam()` by default. It gets the
        same learning rate; for one of its own, `optax.chain(ao.scale_by_adam(), optax.scale(r))`.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.
    """
    options = (momentum, nesterov, steps, coefficients, eps, scale, bias_correction)
    return _both(lambda direction: direction, matrices, rest, *options)


def muon(
    learning_rate: Scalar | Schedule,
    *,
    momentum: Scalar = 0.95,
    nesterov: bool = True,
    steps: int = 5,
    coefficients: tuple[float, float, float] = QUINTIC,
    eps: Scalar = 1e-7,
    scale: str = "spectral",
    bias_correction: bool = False,
    matrices: Mask = has_rows_and_columns,
    rest: optax.GradientTransformation | None = None,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """Muon, the directions of `scale_by_muon` with `descend`'s decoupled weight decay.

    >>> import jax.numpy as jnp
    >>> tx = muon(1.0, scale="none", steps=20, coefficients=(1.5, -0.5, 0.0))
    >>> params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    >>> grads = {"kernel": jnp.array([[3.0, 0.0], [0.0, 4.0]]), "bias": jnp.array([5.0, -6.0])}
    >>> updates, _ = tx.update(grads, tx.init(params), params)
    >>> updates["kernel"].round(4).tolist(), updates["bias"].round(4).tolist()
    ([[-1.0, -0.0], [-0.0, -1.0]], [-1.0, 1.0])
    """

    def descending(direction):
        return descend(direction, learning_rate, weight_decay=weight_decay, mask=mask, name="muon")

    options = (momentum, nesterov, steps, coefficients, eps, scale, bias_correction)
    return walking(_both(descending, matrices, rest, *options), learning_rate)


def _both(
    finish, matrices, rest, momentum, nesterov, steps, coefficients, eps, scale, bias_correction
) -> Transformation:
    """What `finish` makes of the rule for matrices and of that for the rest, each on its leaves."""
    check_flag("muon", nesterov=nesterov, bias_correction=bias_correction)
    check_fraction("muon", momentum=momentum)
    check_steps("muon", steps=steps)
    check_numbers("muon", 3, coefficients=coefficients)
    check_non_negative("muon", eps=eps)
    check_choice("muon", tuple(SCALES), scale=scale)
    rest = scale_by_adam() if rest is None else rest
    check_transformation("muon", rest=rest)
    size = SCALES[scale]
    views = views_of("muon", matrices)

    def init(p, view):
        return MuonSlots(trace=zeros_slot(p))

    def per_step(count):
        now, ahead = bias(momentum, count), bias(momentum, count + 1)
        return (now, ahead) if bias_correction else (1.0, 1.0)

    def update(g, slots, p, biases, view):
        mu = ema(slots.trace, g, momentum)
        u = debias(mu, biases[0])
        if nesterov:
            u = scaled(g, (1 - momentum) / biases[0]) + scaled(mu, momentum / biases[1])
        stack, rows, columns = view.shape(g.shape)

        def flattened(u):
            x = orthogonalized(u.reshape(stack, rows, columns), steps, coefficients, eps)
            return x.reshape(u.shape)

        x = automatic_axes(flattened, u)(u)
        return scaled(x, size(rows, columns)), MuonSlots(mu)

    rule = leafwise(MuonSlots, init, update, per_step=per_step, labels=views)
    return split(views, finish(rule), finish(rest))
