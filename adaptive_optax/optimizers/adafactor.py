"""Adafactor: a second moment of rows and columns (Shazeer & Stern, 2018, arXiv:1804.04235).

    b2_t = 1 - t^-decay_rate        square = |g|^2 + eps
    row <- b2_t row + (1 - b2_t) mean over columns of square        and column likewise
    u = g / sqrt(row column / mean(row))        nu instead, for leaves that are not factored
    u <- u / max(1, rms(u) / clipping_threshold)
    d = max(min_scale, rms(p)) u        rate_t = min(learning_rate, 1 / sqrt(t))

A matrix of m x n keeps m + n numbers; a vector keeps a slot. When to use it: where Adam's state
does not fit. Departures: none by default. The paper speaks of matrices; of more axes the two
largest are factored, the others kept. What torch, Keras and optax do otherwise is in the presets:
torch decays by the rate before the min with 1 / sqrt(t), optax has no such rate.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from adaptive_optax.core.arrays import (
    add_square,
    divided,
    elapsed,
    mean_over,
    real_slot,
    reduced_slot,
    rms,
    root,
    scaled,
    shifted,
    summable,
)
from adaptive_optax.core.checks import (
    check_flag,
    check_params,
    check_rate,
)
from adaptive_optax.core.descend import descend, direction_of
from adaptive_optax.core.lifting import value_at
from adaptive_optax.core.roles import NonNegative
from adaptive_optax.core.rule import Moved, Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor
from adaptive_optax.core.types import AboveZero, Array, AtLeastZero, Mask, Scalar, Schedule, Steps
from adaptive_optax.core.value import Value
from adaptive_optax.optimizers.record import OptimizerRecord


class AdafactorSlots(NamedTuple):
    """What Adafactor remembers."""

    row: Any  # average of |g|^2 over the columns; None where not factored
    column: Any  # average of |g|^2 over the rows; None where not factored
    nu: NonNegative  # average of |g|^2; None where factored


class Adafactor(Rule):
    """Adafactor's direction.

    Args:
      decay_rate: b2_t is 1 - t^-decay_rate, at least 0.
      eps: added to |g|^2, at least 0.
      min_scale: the least size that a parameter counts for, at least 0.
      clipping_threshold: the largest root mean square of u, above 0; None does not clip.
      scale_by_parameter: multiplies by the root mean square of the parameter.
      min_dim_size_to_factor: factors leaves whose two largest axes are at least this long.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where
        scale_by_parameter is on and params are missing.
    """

    decay_rate: AtLeastZero = 0.8
    eps: AtLeastZero = 1e-30
    min_scale: AtLeastZero = 0.001
    clipping_threshold: AboveZero | None = 1.0
    scale_by_parameter: bool = True
    min_dim_size_to_factor: Steps = 1

    Slots = AdafactorSlots
    elementwise = False
    scale_invariant = True

    def init(self, p: Any) -> AdafactorSlots:
        if not _factored(p.shape, self.min_dim_size_to_factor):
            return AdafactorSlots(None, None, nu=real_slot(p))
        rows, columns = _longest_axes(p.shape)
        return AdafactorSlots(reduced_slot(p, columns), reduced_slot(p, rows), None)

    def per_step(self, step: Step) -> Any:
        return elapsed(step.count) ** -jnp.asarray(self.decay_rate, elapsed(step.count).dtype)

    def update(self, g: Array, slots: AdafactorSlots, p: Any, step: Step) -> Moved[AdafactorSlots]:
        square = shifted(add_square(jnp.zeros_like(g.real), summable(g)), self.eps)

        weight = step.shared

        def averaged(slot: Array, new: Array) -> Array:
            return scaled(slot, 1 - weight) + scaled(new, weight)

        if slots.nu is None:
            rows, columns = _longest_axes(g.shape)
            row = averaged(slots.row, mean_over(square, columns).squeeze(columns))
            column = averaged(slots.column, mean_over(square, rows).squeeze(rows))
            height = jnp.expand_dims(row, columns)
            least = jnp.finfo(height.dtype).tiny
            share = root(height / jnp.maximum(mean_over(height, rows), least))
            u = divided(g, share * root(jnp.expand_dims(column, rows)))
            new = AdafactorSlots(row, column, None)
        else:
            nu = averaged(slots.nu, square)
            u, new = divided(g, root(nu)), AdafactorSlots(None, None, nu)
        if self.clipping_threshold is not None:
            u = divided(u, jnp.maximum(divided(rms(u), self.clipping_threshold), 1.0))
        if self.scale_by_parameter:
            check_params("adafactor", "scale_by_parameter", p)
            size = rms(p)
            u = scaled(u, jnp.maximum(size, jnp.asarray(self.min_scale, size.dtype)))
        return u, new


scale_by_adafactor = direction_of(Adafactor, "scale_by_adafactor")


@constructor
def adafactor(
    learning_rate: Scalar | Schedule = 1e-2,
    *,
    decay_rate: Scalar = 0.8,
    eps: Scalar = 1e-30,
    min_scale: Scalar = 1e-3,
    clipping_threshold: Scalar | None = 1.0,
    relative_step: bool = True,
    scale_by_parameter: bool = True,
    min_dim_size_to_factor: int = 1,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
) -> Transformation:
    """Adafactor, the direction of `scale_by_adafactor` with decoupled weight decay.

    Args:
      learning_rate: at least 0; the most that relative_step allows. The paper's by default.
      decay_rate: as in `scale_by_adafactor`, like the options not named here.
      eps: added to |g|^2.
      min_scale: the least size of a parameter.
      clipping_threshold: the largest root mean square of u.
      relative_step: takes min(learning_rate, 1 / sqrt(t)), as in the paper; False takes the
        learning rate.
      scale_by_parameter: multiplies by the size of the parameter.
      min_dim_size_to_factor: the least axis to factor.
      weight_decay: as in `descend`, like mask.
      mask: which leaves decay.

    >>> import jax.numpy as jnp
    >>> tx = adafactor()
    >>> params = jnp.full((2, 2), 0.5)
    >>> updates, _ = tx.update(jnp.full((2, 2), 3.0), tx.init(params), params)
    >>> round(float(updates[0, 0]), 6)
    -0.005
    """
    check_flag(relative_step=relative_step)
    check_rate(learning_rate=learning_rate)
    rule = Adafactor(
        decay_rate,
        eps,
        min_scale,
        clipping_threshold,
        scale_by_parameter,
        min_dim_size_to_factor,
    )
    rate = RelativeStep(learning_rate) if relative_step else learning_rate
    return descend(rule, rate, weight_decay=weight_decay, mask=mask)


class RelativeStep(Value):
    """The schedule min(learning_rate, 1 / sqrt(t))."""

    learning_rate: Scalar | Schedule

    def __call__(self, count: Array) -> Array:
        most = value_at(self.learning_rate, count)
        return jnp.minimum(jnp.asarray(most, elapsed(count).dtype), elapsed(count + 1) ** -0.5)


def _factored(shape: tuple[int, ...], least: int) -> bool:
    """Whether a leaf of that shape is factored."""
    return len(shape) >= 2 and min(shape[axis] for axis in _longest_axes(shape)) >= least


def _longest_axes(shape: tuple[int, ...]) -> tuple[int, int]:
    """The two longest axes, of equals the later ones, in their order: rows and columns."""
    by_length = sorted(range(len(shape)), key=lambda axis: (shape[axis], axis))
    rows, columns = sorted(by_length[-2:])
    return rows, columns


RECORDS = (
    OptimizerRecord(
        constructor=adafactor,
        rule=Adafactor,
        formula="d = g / √(row column / mean), clipped, times the size of p",
        when="no memory for a second moment",
        slots=1,
        learning_rate=0.03,
        presets={
            "paper": {},
            "torch": {},
            "keras": {},
            "optax": {"relative_step": False, "min_dim_size_to_factor": 128},
        },
        memory="(m+n) / mn",
        state_leaves=4,
    ),
)
