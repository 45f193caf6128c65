"""Schedule-free: an average in place of a schedule (Defazio et al., 2024, arXiv:2405.15682).

    z <- z + u                      u, the inner optimizer's update, from the gradient at y
    w = (largest learning rate so far)^weight_power
    x <- x + w / (w_1 + ... + w_t) (z - x)
    y = (1 - b1) z + b1 x           the parameters in training

Evaluate, checkpoint and ship x, `eval_params(state, params)`. Two slots a parameter, x and z,
both in float32 or wider, so that narrow parameters do not wear x down. When to use it: where the
length of the run is not known. Put it last in a chain, over an inner optimizer without momentum
(b1 is the momentum: `ao.adam(rate, b1=0.0)`, `ao.sgd(rate)`), at a rate that warms up and stays.
Departures: none. The weight takes the rate of the step that z has just made; one of the next or
the last step is wrong under warm-up.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from adaptive_optax.core.anatomy import described
from adaptive_optax.core.arrays import scaled
from adaptive_optax.core.checks import (
    check_fraction,
    check_non_negative,
    check_params,
    check_rate,
    check_transformation,
)
from adaptive_optax.core.descend import value_at, walking
from adaptive_optax.core.leafwise import LeafwiseState, lift
from adaptive_optax.core.leaves import cast_like
from adaptive_optax.core.lift import Rule
from adaptive_optax.core.treewise import wide
from adaptive_optax.core.types import Scalar, Schedule, Transformation


class FreeSlots(NamedTuple):
    """What a leaf remembers."""

    average: Any  # x
    anchor: Any  # z


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
    check_transformation("schedule_free", inner=inner)
    follows = learning_rate is None
    if learning_rate is None:
        learning_rate = getattr(inner, "learning_rate", 1.0)
    check_rate("schedule_free", learning_rate=learning_rate)
    check_fraction("schedule_free", b1=b1)
    check_non_negative("schedule_free", weight_power=weight_power)
    inner = optax.with_extra_args_support(inner)

    def start(p):
        return FreeSlots(average=p, anchor=p)

    def step(u, slots, p, at, share):
        check_params("schedule_free", "its average", p)
        anchor = slots.anchor + u
        average = slots.average + scaled(anchor - slots.average, share)
        return anchor + scaled(average - anchor, b1) - p, FreeSlots(average, anchor)

    def shares(call):
        return [(call.extra_args["share"],)] * call.treedef.num_leaves

    walk = lift(Rule("schedule_free", FreeSlots, start, step, extras=shares))

    def init(params):
        own = walk.init(params).slots
        return ScheduleFreeState(
            jnp.zeros((), jnp.int32),
            wide(0.0),
            wide(0.0),
            own.average,
            own.anchor,
            inner.init(params),
        )

    def update(grads, state, params=None, **extra_args):
        updates, inner_state = inner.update(grads, state.inner_state, params, **extra_args)
        walked_by = getattr(inner_state, "rate", None) if follows else None
        rate = value_at(learning_rate, state.count) if walked_by is None else walked_by.now
        largest = jnp.maximum(state.largest, wide(rate))
        weight = largest ** wide(weight_power)
        total = state.weight_sum + weight
        share = weight / jnp.where(total > 0, total, 1.0)
        before = LeafwiseState(None, FreeSlots(state.average, state.anchor))
        updates, walked = walk.update(updates, before, params, share=share)
        own, count = walked.slots, optax.safe_increment(state.count)
        return updates, ScheduleFreeState(
            count, largest, total, own.average, own.anchor, inner_state
        )

    tx = optax.GradientTransformationExtraArgs(init, update)
    options = {"b1": b1, "weight_power": weight_power}
    return walking(
        described(tx, "schedule_free", options=options, members={"inner": inner}), learning_rate
    )
