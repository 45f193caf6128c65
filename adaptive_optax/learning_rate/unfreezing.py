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

from adaptive_optax.core.checks import check_transformation
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import Count, Steps
from adaptive_optax.learning_rate.layers import LayerNames, check_layers, layer_of

_NEVER = np.iinfo(np.int32).max  # where the count stops


class GradualUnfreezingState(NamedTuple):
    """What gradual unfreezing remembers."""

    count: Any  # updates done, int32, shape ()
    inner_state: Any


@constructor
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
    check_transformation(inner=inner)
    wrapped = optax.with_extra_args_support(inner)
    return GradualUnfreezing(wrapped, every, layers, start).transformation()


class GradualUnfreezing(Body):
    """An optimizer, at first for the last layer alone, then for one layer more at a time."""

    inner: optax.GradientTransformationExtraArgs
    every: Steps
    layers: LayerNames
    start: Count

    passes_gradients = True

    def check(self) -> None:
        check_layers("gradual_unfreezing", self.layers)

    def init(self, params: Any) -> GradualUnfreezingState:
        self._joinings(params)
        return GradualUnfreezingState(jnp.zeros((), jnp.int32), self.inner.init(params))

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, GradualUnfreezingState]:
        updates, inner_state = self.inner.update(grads, state.inner_state, params, **extra_args)
        leaves, treedef = flat(updates)
        pairs = zip(leaves, self._joinings(updates), strict=True)
        moves = [_from(at, state.count, u) if is_trained(u) else u for u, at in pairs]
        count = optax.safe_increment(state.count)
        return jax.tree.unflatten(treedef, moves), GradualUnfreezingState(count, inner_state)

    def factor(self, before: Any, after: Any, params: Any) -> list[Any]:
        return [jnp.asarray(before.count >= at, jnp.float32) for at in self._joinings(params)]

    def _joinings(self, tree: Any) -> list[Any]:
        """Of each leaf the count at which its layer begins to move."""
        names, depths = layer_of(tree, self.layers, function="gradual_unfreezing")
        joinings: list[Any] = []
        for depth in depths:
            place = len(names) - 1 - depth  # 0 is the last layer
            count = self.start + place * self.every if place else 0
            joinings.append(count if isinstance(count, jax.Array) else min(int(count), _NEVER))
        return joinings


@jax.jit
def _from(joining: Any, count: jax.Array, u: jax.Array) -> jax.Array:
    """An update; exact zeros, even of what is not finite, before the count of joining."""
    return jnp.where(count >= joining, u, jnp.zeros_like(u))
