"""Muon: momentum, orthogonalized (Jordan et al., 2024, kellerjordan.github.io/posts/muon).

    mu <- momentum mu + (1 - momentum) g        u = (1 - momentum) g + momentum mu
    X = u / (|u| + eps), and five times X <- a X + (b X X' + c X X' X X') X
    d = X sqrt(max(1, columns / rows))

Every singular value of the step is near 1, from about 0.7 to 1.2. One slot per parameter. When to
use it: the matrices within a network, dense and convolutional, at a rate of about 0.02; everything
else, and as a rule embeddings and the last layer, has another optimizer (`matrices`, `rest`).
Departures: products are in float32, and not in bfloat16, where the platform does not choose
otherwise. A kernel's last axis is its output, as in Flax; torch's is its first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from adaptive_optax.core.arrays import bias, debias, ema, scaled, zeros_slot
from adaptive_optax.core.checks import (
    caller,
    check_choice,
    check_numbers,
    check_transformation,
)
from adaptive_optax.core.descend import descend
from adaptive_optax.core.lifting import COUPLED, lift
from adaptive_optax.core.matrices import (
    automatic_axes,
    has_rows_and_columns,
    orthogonalized,
    views_of,
)
from adaptive_optax.core.roles import Signed
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.split import Split
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import Array, AtLeastZero, Fraction, Mask, Scalar, Schedule, Steps
from adaptive_optax.optimizers.adam import scale_by_adam
from adaptive_optax.optimizers.record import OptimizerRecord

QUINTIC = (3.4445, -4.7750, 2.0315)  # a, b, c
SCALES: dict[str, Callable[[int, int], float]] = {
    "spectral": lambda rows, columns: max(1.0, columns / max(rows, 1)) ** 0.5,
    "rms": lambda rows, columns: 0.2 * max(rows, columns) ** 0.5,
    "none": lambda rows, columns: 1.0,
}


class MuonSlots(NamedTuple):
    """What Muon remembers."""

    trace: Signed  # average gradient; `mu` is a name of the rest's


class Muon(Rule):
    """Muon's direction for matrices; `step.label` is the view of the leaf.

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

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.
    """

    momentum: Fraction = 0.95
    nesterov: bool = True
    steps: Steps = 5
    coefficients: tuple[float, float, float] = QUINTIC
    eps: AtLeastZero = 1e-7
    scale: str = "spectral"
    bias_correction: bool = False

    Slots = MuonSlots
    elementwise = False
    scale_invariant = True

    def check(self) -> None:
        check_numbers(3, coefficients=self.coefficients)
        check_choice(tuple(SCALES), scale=self.scale)

    def init(self, p: Any, *label: Any) -> MuonSlots:
        return MuonSlots(trace=zeros_slot(p))

    def per_step(self, step: Step) -> Any:
        if not self.bias_correction:
            return 1.0, 1.0
        return bias(self.momentum, step.count), bias(self.momentum, step.count + 1)

    def update(self, g: Array, slots: MuonSlots, p: Any, step: Step) -> Moved[MuonSlots]:
        now, ahead = step.shared
        mu = ema(slots.trace, g, self.momentum)
        u = debias(mu, now)
        if self.nesterov:
            u = scaled(g, (1 - self.momentum) / now) + scaled(mu, self.momentum / ahead)
        stack, rows, columns = step.label.shape(g.shape)

        def flattened(u: Array) -> Array:
            x = u.reshape(stack, rows, columns)
            x = orthogonalized(x, self.steps, self.coefficients, self.eps)
            return x.reshape(u.shape)

        x = automatic_axes(flattened, u)(u)
        return scaled(x, SCALES[self.scale](rows, columns)), MuonSlots(mu)


@constructor
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
    rest = scale_by_adam() if rest is None else rest
    check_transformation(rest=rest)
    views = views_of(caller(), matrices)
    rule = Muon(momentum, nesterov, steps, coefficients, eps, scale, bias_correction)
    return Split(views, lift(rule, labels=views).transformation(), rest).transformation()


@constructor
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
    rest = scale_by_adam() if rest is None else rest
    check_transformation(rest=rest)
    views = views_of(caller(), matrices)
    rule = Muon(momentum, nesterov, steps, coefficients, eps, scale, bias_correction)
    options: dict[str, Any] = {"weight_decay": weight_decay, "mask": mask}
    chosen = lift(
        rule, labels=views, learning_rate=learning_rate, descent=COUPLED, **options
    ).transformation()
    return Split(views, chosen, descend(rest, learning_rate, **options)).transformation()


RECORDS = (
    OptimizerRecord(
        constructor=muon,
        rule=Muon,
        family="matrix",
        formula="mu with its singular values set near 1",
        when="the matrices within a network; Adam for the rest",
        learning_rate=0.01,
        quadratic_rate=0.02,
        presets={
            "paper": {},
            "keras": {"eps": 5.000000000000004e-09, "scale": "rms", "weight_decay": 0.004},
            "optax": {"eps": 1e-08, "bias_correction": True},
        },
        memory="1 (matrices), 2 (rest)",
        state_leaves=5,
        note="as a (2, 1) matrix",
    ),
)
