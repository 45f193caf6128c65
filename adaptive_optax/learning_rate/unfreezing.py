"""Gradual unfreezing: at first the last layer moves alone, then one more at a time joins.

Howard & Ruder, 2018, arXiv:1801.06146, who let a layer join after each epoch:

    u <- u if t >= start + k every, else 0      in the k-th layer from the last; always for k = 0

t counts the updates done before. Frozen parameters do not move at all: no weight decay either.
The inner optimizer sees all gradients from the beginning, which costs their computation but keeps
its moments warm. Without them a second moment would start at zero when its layer joins, under a
count that says that it is long past its bias: with Adam's defaults the steps of that layer would
be 3.2 times too large at first, and 6.6 times after a dozen more.

No slot. When to use it: to fine-tune on few examples, where a new head's first gradients would
spoil what the layers below have learnt. Put it inside of wrappers that keep parameters of their
own: `lookahead(gradual_unfreezing(adam(rate), 100))`. Departures: none.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adaptive_optax.core.anatomy import described
from adaptive_optax.core.checks import check_count, check_steps, check_transformation
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.types import Transformation
from adaptive_optax.learning_rate.layers import LayerNames, check_layers, layer_of

_NEVER = np.iinfo(np.int32).max  # where the count stops


class GradualUnfreezingState(NamedTuple):
    """What gradual unfreezing remembers."""

    count: Any  # updates done, int32, shape ()
    inner_state: Any


def gradual_unfreezing(
    inner: optax.GradientTransformation,
    every: int,
    *,
    layers: LayerNames = None,
    start: int = 0,
) -> Transformation:
    """Any optimizer, at first for the last layer alone, then for one layer more at a time.

    Args:
      inner: a transformation whose updates are added to the parameters.
      every: steps from one layer's joining to the next one's, at least 1; an epoch in the paper.
      layers: the layers from the input to the output, as in `layer_of`; None reads them from the
        parameters' names.
      start: steps that the last layer moves alone besides the first `every`, at least 0.

    Returns:
      A transformation with inner's state and a count. It forwards extra arguments.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at init, where names do not
        tell the layers, or a parameter is in none.

    >>> import adaptive_optax as ao
    >>> params = {"embed": jnp.ones(1), "head": jnp.ones(1)}
    >>> tx = gradual_unfreezing(ao.sgd(1.0), every=2)
    >>> state = tx.init(params)
    >>> for _ in range(3):
    ...     updates, state = tx.update(params, state, params)
    ...     print(float(updates["embed"][0]), float(updates["head"][0]))
    0.0 -1.0
    0.0 -1.0
    -1.0 -1.0
    """
    check_transformation("gradual_unfreezing", inner=inner)
    check_steps("gradual_unfreezing", every=every)
    check_count("gradual_unfreezing", start=start)
    check_layers("gradual_unfreezing", layers)
    wrapped = optax.with_extra_args_support(inner)

    def joining(place: int) -> Any:
        """The count at which the layer at that place, 0 the last, begins to move."""
        if place == 0:
            return 0
        count = start + place * every
        return count if isinstance(count, jax.Array) else min(int(count), _NEVER)

    def joinings(tree: Any) -> list[Any]:
        names, depths = layer_of(tree, layers, function="gradual_unfreezing")
        return [joining(len(names) - 1 - depth) for depth in depths]

    def init(params):
        joinings(params)
        return GradualUnfreezingState(jnp.zeros((), jnp.int32), wrapped.init(params))

    def update(grads, state, params=None, **extra_args):
        updates, inner_state = wrapped.update(grads, state.inner_state, params, **extra_args)
        leaves, treedef = flat(updates)
        pairs = zip(leaves, joinings(updates), strict=True)
        moves = [_from(at, state.count, u) if is_trained(u) else u for u, at in pairs]
        count = optax.safe_increment(state.count)
        return jax.tree.unflatten(treedef, moves), GradualUnfreezingState(count, inner_state)

    def factor(before, after, params):
        return [jnp.asarray(before.count >= at, jnp.float32) for at in joinings(params)]

    return described(
        optax.GradientTransformationExtraArgs(init, update),
        "gradual_unfreezing",
        options={"every": every, "start": start},
        members={"inner": inner},
        factor=factor,
    )


@jax.jit
def _from(joining: Any, count: jax.Array, u: jax.Array) -> jax.Array:
    """An update; exact zeros, even of what is not finite, before the count of joining."""
    return jnp.where(count >= joining, u, jnp.zeros_like(u))
