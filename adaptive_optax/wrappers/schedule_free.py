"""Schedule-free: an average in place of a schedule (Defazio et al., 2024, arXiv:2405.15682).

    z <- z + u                      u, the inner optimizer's update, from the gradient at y
    w = (largest learning rate so far)^weight_power
    x <- x + w / (w_1 + ... + w_t) (z - x)
    y = (1 - b1) z + b1 x           the parameters in training

Evaluate, checkpoint and ship x, `eval_params(state, params)`. Two slots per parameter, x and z,
both in float32 or wider, so that narrow parameters do not wear x down. When to use it: where the
length of the run is not known. Put it last in a chain, over an inner optimizer without momentum
(b1 is the momentum: `ao.adam(rate, b1=0.0)`, `ao.sgd(rate)`), at a rate that warms up and stays.
Departures: none. The weight takes the rate of the step that z has just made; one of the next or
the last step is wrong under warm-up.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import scaled, wide
from adaptive_optax.core.checks import (
    check_params,
    check_rate,
    check_transformation,
)
from adaptive_optax.core.leaves import cast_like
from adaptive_optax.core.lifting import value_at
from adaptive_optax.core.map_leaves import copies, map_leaves
from adaptive_optax.core.transformation import Body, Transformation, body_of, constructor
from adaptive_optax.core.types import AtLeastZero, Fraction, Scalar, Schedule


class ScheduleFreeState(NamedTuple):
    """What the wrapper remembers."""

    count: Any  # updates done, int32, shape ()
    largest: Any  # the largest learning rate so far
    weight_sum: Any  # w_1 + ... + w_t
    average: Any  # x, float32 or wider; a tree shaped like the parameters
    anchor: Any  # z, likewise
    inner_state: Any

    def eval_params(self, params: Any) -> Any:
        """X in the dtypes of params; params where there is none."""
        return cast_like(self.average, params)


@constructor
def schedule_free(
    inner: optax.GradientTransformation,
    *,
    learning_rate: Scalar | Schedule | None = None,
    b1: Scalar = 0.9,
    weight_power: Scalar = 2.0,
) -> Transformation:
    """Any optimizer, walking on z, with gradients at y and its average x.

    Args:
      inner: a transformation whose updates are added to the parameters; it gets y for params.
      learning_rate: the inner optimizer's, which weighs the average; a number, an array or a
        schedule. None takes it from an inner optimizer of this library; another is taken to
        have a constant rate, so give its schedule here.
      b1: share of the average in y, in [0, 1).
      weight_power: power of the learning rate that weighs the average, at least 0; 0 is the mean.

    Returns:
      A transformation that needs params at update. It forwards extra arguments.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = schedule_free(ao.sgd(1.0), b1=0.5)
    >>> params = jnp.array(0.0)
    >>> state = tx.init(params)
    >>> for _ in range(3):
    ...     updates, state = tx.update(jnp.array(-1.0), state, params)
    ...     params = params + updates
    >>> float(state.anchor), float(params), float(ao.eval_params(state, params))
    (3.0, 2.5, 2.0)
    """
    check_transformation(inner=inner)
    if learning_rate is not None:
        check_rate(learning_rate=learning_rate)
    wrapped = optax.with_extra_args_support(inner)
    return ScheduleFree(wrapped, learning_rate, b1, weight_power).transformation()


class ScheduleFree(Body):
    """An optimizer that walks on z, with gradients at y and its average x."""

    inner: optax.GradientTransformationExtraArgs
    learning_rate: Scalar | Schedule | None
    b1: Fraction
    weight_power: AtLeastZero

    keeps_parameters = True
    passes_gradients = True

    @property
    def learning_rate_used(self) -> Any:
        if self.learning_rate is not None:
            return self.learning_rate
        body = body_of(self.inner)
        known = None if body is None else body.learning_rate_used
        return 1.0 if known is None else known

    def init(self, params: Any) -> ScheduleFreeState:
        return ScheduleFreeState(
            count=jnp.zeros((), jnp.int32),
            largest=wide(0.0),
            weight_sum=wide(0.0),
            average=copies(params),
            anchor=copies(params),
            inner_state=self.inner.init(params),
        )

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, ScheduleFreeState]:
        updates, inner_state = self.inner.update(grads, state.inner_state, params, **extra_args)
        used = getattr(inner_state, "rate", None) if self.learning_rate is None else None
        rate = value_at(self.learning_rate_used, state.count) if used is None else used.now
        largest = jnp.maximum(state.largest, wide(rate))
        weight = largest ** wide(self.weight_power)
        total = state.weight_sum + weight
        share = weight / jnp.where(total > 0, total, 1.0)
        updates, average, anchor = map_leaves(
            self.name,
            _walked,
            updates,
            params,
            state.average,
            state.anchor,
            shared=(share, self.b1),
            keeps=2,
        )
        count = optax.safe_increment(state.count)
        return updates, ScheduleFreeState(count, largest, total, average, anchor, inner_state)


def _walked(
    u: jax.Array, p: Any, average: jax.Array, anchor: jax.Array, share: Any, b1: Scalar
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The update that leads to the new y, the new x and the new z."""
    check_params("schedule_free", "its average", p)
    anchor = anchor + u
    average = average + scaled(anchor - average, share)
    return anchor + scaled(average - anchor, b1) - p, average, anchor
