"""Hypergradient descent: the learning rate goes down the loss's slope in it, as parameters do.

Baydin, Cornish, Rubio, Schmidt & Wood, 2018, arXiv:1703.04782. The last update was -alpha d:
    additive          alpha <- alpha + step_size <g, d>
    multiplicative    alpha <- alpha (1 + step_size <g, d> / (|g| |d|))
    u <- -alpha d'                                       d' of this update, from the same gradient

alpha = scale x the rate of the inner optimizer, which may be a schedule; inner products and norms
are of the whole tree. While steps and gradients agree the rate rises, and it falls where they turn
against each other. One slot per parameter, d. When to use it: where the rate was hardly tuned;
multiplicatively, since 2 % per step suits every problem, while the additive step size has the unit
of a rate squared over a loss.
Departures: the scale stays within bounds, so that the rate is never negative (d is remembered even
at rate 0, and the additive rate can leave it again); a hypergradient that is not finite changes
nothing. Where the leaves' rates differ, alpha is the largest of them.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.agreement import agreement
from adaptive_optax.core.arrays import scaled, wide
from adaptive_optax.core.checks import (
    check_choice,
    check_range,
    check_rate,
    check_transformation,
)
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.lifting import value_at
from adaptive_optax.core.map_leaves import first_leaves, map_leaves
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import AboveZero, AtLeastZero, Scalar, Schedule
from adaptive_optax.introspection.effective_rate import rates

STEP_SIZES = {"additive": 1e-7, "multiplicative": 0.02}


class HypergradientState(NamedTuple):
    """What the wrapper remembers."""

    count: Any  # updates done, int32, shape ()
    scale: Any  # alpha over the inner optimizer's rate, shape ()
    direction: Any  # d of the last update, float32 or wider; a tree shaped like the parameters
    inner_state: Any

    @property
    def rate_factor(self) -> Any:
        """What it makes of the learning rate."""
        return self.scale


@constructor
def hypergradient(
    inner: optax.GradientTransformation,
    step_size: Scalar | None = None,
    *,
    mode: str = "additive",
    learning_rate: Scalar | Schedule | None = None,
    min_scale: Scalar = 0.0,
    max_scale: Scalar = 1e6,
) -> Transformation:
    """Any optimizer, at a learning rate that follows its own gradient.

    Args:
      inner: an optimizer with its learning rate, a number or a schedule, built in.
      step_size: the rate's own learning rate, at least 0, and below 1 for "multiplicative". None
        takes 1e-7, the paper's for Adam, for "additive", and 0.02 for "multiplicative".
      mode: "additive", as in the paper's algorithms, or "multiplicative".
      learning_rate: the inner optimizer's, for "additive"; None takes it from the inner optimizer,
        which needs one that tells (ours, optax's, and their chains and wrappers).
      min_scale: least share of the inner optimizer's rate, in [0, 1].
      max_scale: largest share of it, at least 1.

    Returns:
      A transformation that forwards extra arguments.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where the rate
        of the inner optimizer is needed and cannot be told.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = hypergradient(ao.sgd(1.0), 0.25, mode="multiplicative")
    >>> params = jnp.array(0.0)
    >>> state, steps = tx.init(params), []
    >>> for g in (-1.0, -1.0, 1.0):
    ...     updates, state = tx.update(jnp.array(g), state, params)
    ...     steps.append(float(updates))
    >>> steps
    [1.0, 1.25, -0.9375]
    """
    check_transformation(inner=inner)
    check_choice(tuple(STEP_SIZES), mode=mode)
    step_size = STEP_SIZES[mode] if step_size is None else step_size
    wrapped = optax.with_extra_args_support(inner)
    options = (step_size, mode, learning_rate, min_scale, max_scale)
    return Hypergradient(wrapped, *options).transformation()


class Hypergradient(Body):
    """An optimizer at a learning rate that follows its own gradient."""

    inner: optax.GradientTransformationExtraArgs
    step_size: AtLeastZero
    mode: str
    learning_rate: Scalar | Schedule | None
    min_scale: AtLeastZero
    max_scale: AboveZero

    passes_gradients = True

    def check(self) -> None:
        check_range("lie in [0, 1]", lambda x: x <= 1, min_scale=self.min_scale)
        check_range("be at least 1", lambda x: x >= 1, max_scale=self.max_scale)
        if self.mode == "multiplicative":
            check_range("lie in [0, 1)", lambda x: x < 1, step_size=self.step_size)
        if self.learning_rate is not None:
            check_rate(learning_rate=self.learning_rate)

    def init(self, params: Any) -> HypergradientState:
        return HypergradientState(
            count=jnp.zeros((), jnp.int32),
            scale=wide(1.0),
            direction=first_leaves(jnp.zeros_like, params),
            inner_state=self.inner.init(params),
        )

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, HypergradientState]:
        updates, after = self.inner.update(grads, state.inner_state, params, **extra_args)
        agreed = agreement(grads, state.direction)
        per_rate = wide(1.0)
        if self.mode == "additive" and any(map(is_trained, flat(grads)[0])):
            rate = self._rate(state, after, grads if params is None else params)
            per_rate = jnp.where(rate > 0, 1 / jnp.where(rate > 0, rate, 1.0), 0.0)
            new = state.scale + scaled(per_rate, self.step_size) * agreed.product
        else:
            new = state.scale * (1 + scaled(agreed.cosine, self.step_size))
        bounded = jnp.clip(new, wide(self.min_scale), wide(self.max_scale))
        scale = jnp.where(jnp.isfinite(new), bounded, state.scale)
        updates, direction = map_leaves(
            self.name,
            _scaled_step,
            updates,
            params,
            state.direction,
            shared=(scale, per_rate),
            keeps=1,
        )
        count = optax.safe_increment(state.count)
        return updates, HypergradientState(count, scale, direction, after)

    def factor(self, before: Any, after: Any, params: Any) -> Any:
        return after.scale

    def _rate(self, state: Any, after: Any, params: Any) -> jax.Array:
        """The largest learning rate of the inner optimizer in this update."""
        if self.learning_rate is not None:
            return wide(value_at(self.learning_rate, state.count))
        each = rates(self.inner, state.inner_state, after, params)
        known = {id(r): wide(r) for r in each if r is not None and not _is_nan(r)}
        if not known:
            raise ValueError(
                "hypergradient.update: the inner optimizer does not tell its learning rate; give "
                "it as hypergradient(inner, learning_rate=...), or take mode='multiplicative'."
            )
        return jnp.max(jnp.stack(list(known.values())))


def _scaled_step(
    u: jax.Array, p: Any, direction: jax.Array, scale: jax.Array, per_rate: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The update at the new scale, and the direction d that it goes along."""
    return scaled(u, scale), scaled(-u, per_rate)


def _is_nan(rate: Any) -> bool:
    return isinstance(rate, float) and math.isnan(rate)
