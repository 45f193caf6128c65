"""Reduce on plateau: a smaller step where the loss no longer falls; a larger one where it does.

    margin = max(atol, rtol |best|)
    good: value < best - margin    (mode "max": value > best + margin)      best <- value
    more than `patience` bad values since the last good one:                scale <- scale factor
    more than `increase_patience` good values in a row:                     scale <- scale increase
    u <- u scale

Counts and cooldown are those of torch's ReduceLROnPlateau. A rate that rises as well is the "bold
driver" (Vogl, Mangis, Rigler, Zink & Alkon, 1988; Battiti, 1989): factor=0.5, patience=0,
increase=1.05, rtol=0, max_scale=10. Nine scalars of state, float32 and int32 whatever the
parameters are. When to use it: where the length of the run is not known, with the loss of a
validation set, or of training averaged over `accumulation_size` updates. Put it AFTER the
optimizer: before Adam, whose steps do not depend on the gradient's scale, it would have next to no
effect.
Departures: torch's relative margin has the wrong sign for negative values, where a constant loss
improves for ever; ours is right there. torch counts nan as bad; see `on_nan`. The bold driver
compares with the best value, not the last one, and takes no step back.
"""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import scaled
from adaptive_optax.core.checks import (
    check_positive,
    check_range,
)
from adaptive_optax.core.feedback import multiplied, value_of
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import AtLeastZero, Count, Scalar, Steps


class PlateauState(NamedTuple):
    """What the plateau remembers; all of shape ()."""

    scale: Any  # what updates are multiplied by, float32
    best_value: Any  # float32; inf, or -inf for "max", before the first value
    plateau_count: Any  # bad values since the last good one, int32
    improved_count: Any  # good values since the last bad one, int32
    cooldown_count: Any  # values of the cooldown to come, int32
    grace_count: Any  # values of the grace to come, int32
    count: Any  # numbers seen of the value being gathered, int32
    finite_count: Any  # those of them that are finite, int32
    avg_value: Any  # the mean of these, float32

    @property
    def rate_factor(self) -> Any:
        """What it makes of the learning rate."""
        return self.scale


@constructor
def reduce_on_plateau(
    factor: Scalar = 0.1,
    patience: int = 10,
    *,
    rtol: Scalar = 1e-4,
    atol: Scalar = 0.0,
    mode: Literal["min", "max"] = "min",
    cooldown: int = 0,
    min_scale: Scalar = 0.0,
    grace: int = 0,
    accumulation_size: int = 1,
    increase: Scalar = 1.0,
    increase_patience: int = 0,
    max_scale: Scalar = 1.0,
    on_nan: Literal["skip", "bad"] = "skip",
) -> Transformation:
    """Multiplies updates by a scale that falls where `value` has not improved for long.

    The scale that an update's value leads to is that update's own.

    Args:
      factor: of the scale at each reduction, in (0, 1).
      patience: bad values that are borne, at least 0; the next one reduces.
      rtol: least improvement, as a share of the best value's modulus, in [0, 1).
      atol: least improvement in the value's own unit, at least 0; the larger of both counts.
      mode: "min" for a loss, "max" for an accuracy.
      cooldown: values after a reduction that count neither as good nor as bad, at least 0.
      min_scale: what the scale does not fall below, in [0, 1]; the last reduction lands on it.
      grace: first values that set the best value but do not count otherwise, at least 0: warm-up.
      accumulation_size: updates whose mean is one value, at least 1.
      increase: of the scale after enough good values, at least 1; 1 never raises it.
      increase_patience: good values in a row that do not raise it yet, at least 0. The first
        value of all is no improvement.
      max_scale: what the scale does not rise above, at least 1; 1 lets it rise again to the rate
        that the optimizer was given, after a reduction.
      on_nan: what a nan or inf is. "skip": neither good nor bad, no part of a mean, and no count
        moves. "bad": a bad value, and so is a mean with one in it. It never is the best value.

    Returns:
      A transformation that needs `value=` at update, a scalar of any real dtype.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where value is
        missing or no scalar.

    >>> import adaptive_optax as ao, jax.numpy as jnp, optax
    >>> tx = optax.chain(ao.sgd(1.0), reduce_on_plateau(0.5, patience=1))
    >>> params = jnp.array(0.0)
    >>> state, steps = tx.init(params), []
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 1.0):
    ...     updates, state = tx.update(jnp.array(-1.0), state, params, value=loss)
    ...     steps.append(float(updates))
    >>> steps
    [1.0, 1.0, 1.0, 0.5, 0.5]

    The bold driver needs a max_scale above 1: with 1, increase never takes it above the rate that
    the optimizer was built with.

    >>> bold = reduce_on_plateau(0.5, 0, rtol=0.0, increase=1.05, max_scale=10.0)
    >>> state, scales = bold.init(params), []
    >>> for loss in (3.0, 2.0, 1.0, 1.5):
    ...     _, state = bold.update(params, state, value=loss)
    ...     scales.append(round(float(state.scale), 3))
    >>> scales
    [1.0, 1.05, 1.102, 0.551]
    """
    return ReduceOnPlateau(
        reduction=factor,
        patience=patience,
        rtol=rtol,
        atol=atol,
        mode=mode,
        cooldown=cooldown,
        min_scale=min_scale,
        grace=grace,
        accumulation_size=accumulation_size,
        increase=increase,
        increase_patience=increase_patience,
        max_scale=max_scale,
        on_nan=on_nan,
    ).transformation()


class ReduceOnPlateau(Body):
    """Multiplies updates by a scale that falls if a value has not improved for long."""

    reduction: Scalar  # the factor at each reduction
    patience: Count
    rtol: AtLeastZero
    atol: AtLeastZero
    mode: Literal["min", "max"]
    cooldown: Count
    min_scale: AtLeastZero
    grace: Count
    accumulation_size: Steps
    increase: Scalar
    increase_patience: Count
    max_scale: Scalar
    on_nan: Literal["skip", "bad"]

    def check(self) -> None:
        check_positive(factor=self.reduction)
        check_range("lie in (0, 1)", lambda x: x < 1, factor=self.reduction)
        check_range("lie in [0, 1)", lambda x: x < 1, rtol=self.rtol)
        check_range("lie in [0, 1]", lambda x: x <= 1, min_scale=self.min_scale)
        least = {"increase": self.increase, "max_scale": self.max_scale}
        check_positive(**least)
        check_range("be at least 1", lambda x: x >= 1, **least)

    def init(self, params: Any) -> PlateauState:
        return PlateauState(
            scale=_real(1.0),
            best_value=_real(jnp.inf if self.mode == "min" else -jnp.inf),
            plateau_count=_zero(),
            improved_count=_zero(),
            cooldown_count=_zero(),
            grace_count=jnp.array(self.grace, jnp.int32),
            count=_zero(),
            finite_count=_zero(),
            avg_value=_real(0.0),
        )

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, PlateauState]:
        state = _watched(self.static, self.arrays, state, value_of(self.name, extra_args))
        return multiplied(grads, state.scale), state

    def factor(self, before: Any, after: Any, params: Any) -> Any:
        return after.scale


def _judged(
    static: Any, arrays: tuple[Any, ...], state: PlateauState, value: jax.Array, known: jax.Array
) -> PlateauState:
    """The state after one value, which is finite if it is known."""
    by = static.joined(arrays)
    first = ~jnp.isfinite(state.best_value)
    best = jnp.where(first, 0.0, state.best_value)
    margin = jnp.maximum(_real(by.atol), scaled(jnp.abs(best), by.rtol))
    better = value < best - margin if by.mode == "min" else value > best + margin
    good = known & (first | better)
    bad = ~good if by.on_nan == "bad" else known & ~good
    resting = (state.grace_count > 0) | (state.cooldown_count > 0)
    plateau = jnp.where(good | resting, 0, state.plateau_count + bad.astype(jnp.int32))
    rise = (good & ~first).astype(jnp.int32)
    improved = jnp.where(bad | resting, 0, state.improved_count + rise)
    falls, rises = plateau > by.patience, improved > by.increase_patience
    lower = jnp.maximum(scaled(state.scale, by.reduction), _real(by.min_scale))
    higher = jnp.minimum(scaled(state.scale, by.increase), _real(by.max_scale))
    past = (good | bad).astype(jnp.int32)
    cooled = jnp.maximum(state.cooldown_count - past, 0)
    return state._replace(
        scale=jnp.where(falls, lower, jnp.where(rises, higher, state.scale)),
        best_value=jnp.where(good, value, state.best_value),
        plateau_count=jnp.where(falls, 0, plateau),
        improved_count=jnp.where(falls | rises, 0, improved),
        cooldown_count=jnp.where(falls, jnp.asarray(by.cooldown, jnp.int32), cooled),
        grace_count=jnp.maximum(state.grace_count - past, 0),
    )


@functools.partial(jax.jit, static_argnums=0)
def _watched(
    static: Any, arrays: tuple[Any, ...], state: PlateauState, value: jax.Array
) -> PlateauState:
    """The state after one number, which ends a value or is gathered."""
    by = static.joined(arrays)
    finite = jnp.isfinite(value)
    of_mean = state.finite_count + finite.astype(jnp.int32)
    away = jnp.where(finite, value, state.avg_value) - state.avg_value
    mean = state.avg_value + away / jnp.maximum(of_mean, 1).astype(jnp.float32)
    count = state.count + 1
    gathered = state._replace(count=count, finite_count=of_mean, avg_value=mean)
    known = (of_mean > 0 if by.on_nan == "skip" else of_mean == count) & jnp.isfinite(mean)
    begun = {"count": _zero(), "finite_count": _zero(), "avg_value": _real(0.0)}
    ended = _judged(static, arrays, state, mean, known)._replace(**begun)
    full = count >= by.accumulation_size
    return jax.tree.map(lambda a, b: jnp.where(full, a, b), ended, gathered)


def _real(value: Scalar) -> jax.Array:
    return jnp.array(value, jnp.float32)


def _zero() -> jax.Array:
    return jnp.zeros((), jnp.int32)
