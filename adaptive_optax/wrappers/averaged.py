"""Averaged: the parameters averaged with polynomial decay (Shamir & Zhang, 2013, arXiv:1212.1824).

    average <- average + (power + 1) / (t + power) (p - average)        p after the step

One slot a parameter besides the inner state. When to use it: over an optimizer that ends in noise,
such as `dog`, whose guarantees are of its average; evaluate with `eval_params(state, params)`.
power 0 is the mean of all; a larger one forgets the beginning. Put it last in a chain, where the
update it returns is the one that is applied. Departures: none.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from adaptive_optax.core.anatomy import described
from adaptive_optax.core.arrays import elapsed, scaled, shifted
from adaptive_optax.core.checks import check_non_negative, check_params, check_transformation
from adaptive_optax.core.leafwise import LeafwiseState, leafwise
from adaptive_optax.core.leaves import cast_like
from adaptive_optax.core.types import Scalar, Transformation


class AverageSlots(NamedTuple):
    """What a leaf remembers."""

    average: Any  # of the parameters


class AveragedState(NamedTuple):
    """What the average remembers."""

    count: Any  # steps averaged, int32, shape ()
    average: Any  # float32 or wider; a tree shaped like the parameters
    inner_state: Any

    def eval_params(self, params: Any) -> Any:
        """The average in the dtypes of params; params where there is none."""
        return cast_like(self.average, params)


def averaged(inner: optax.GradientTransformation, *, power: Scalar = 8.0) -> Transformation:
    """Any optimizer, with the average of its parameters in the state; its steps stay as they are.

    Args:
      inner: a transformation whose updates are added to the parameters.
      power: how fast the beginning is forgotten, at least 0; 0 is the plain mean.

    Returns:
      A transformation that needs params at update. It forwards extra arguments.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = averaged(ao.sgd(1.0), power=0.0)
    >>> params = jnp.array(0.0)
    >>> state = tx.init(params)
    >>> for _ in range(3):
    ...     updates, state = tx.update(jnp.array(-1.0), state, params)
    ...     params = params + updates
    >>> float(params), float(ao.eval_params(state, params))
    (3.0, 2.0)
    """
    check_transformation("averaged", inner=inner)
    check_non_negative("averaged", power=power)
    inner = optax.with_extra_args_support(inner)

    def start(p):
        return AverageSlots(average=p)

    def share(count):
        t = elapsed(count)
        return shifted(jnp.ones_like(t), power) / shifted(t, power)

    def step(u, slots, p, weight):
        check_params("averaged", "its average", p)
        return u, AverageSlots(slots.average + scaled(p + u - slots.average, weight))

    average = leafwise(AverageSlots, start, step, per_step=share)

    def init(params):
        own = average.init(params)
        return AveragedState(own.count, own.slots.average, inner.init(params))

    def update(grads, state, params=None, **extra_args):
        updates, inner_state = inner.update(grads, state.inner_state, params, **extra_args)
        before = LeafwiseState(state.count, AverageSlots(state.average))
        updates, own = average.update(updates, before, params)
        return updates, AveragedState(own.count, own.slots.average, inner_state)

    tx = optax.GradientTransformationExtraArgs(init, update)
    return described(tx, "averaged", options={"power": power}, members={"inner": inner})
