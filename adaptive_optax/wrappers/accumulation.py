"""Multi-steps: one step of an optimizer for several micro-batches, from their mean gradient.

    mean <- mean + (g - mean) / i           the i-th micro-batch of the window, i = 1 .. every
    u = inner(mean) at the last one, 0 before

It is optax.MultiSteps with what that leaves out: the inner transformation is given the mean of
`value` over the window (MultiSteps gives it the last micro-batch's alone), so that a plateau inside
judges the whole batch; the mean of narrow gradients is not rounded to their dtype; None, integer
and float0 leaves have no accumulator; the inner transformation runs at the last micro-batch only.
One slot per parameter besides the inner state. When to use it: where the batch does not fit into
memory. Other extra arguments reach the inner transformation as they are at the last micro-batch.
Departures: none.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import divided
from adaptive_optax.core.branches import as_before, taken
from adaptive_optax.core.checks import check_transformation
from adaptive_optax.core.feedback import value_of
from adaptive_optax.core.leaves import flat, is_trained, matching, unmoved
from adaptive_optax.core.map_leaves import first_leaves, map_leaves
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import Steps


class MultiStepsState(NamedTuple):
    """What the wrapper remembers; the words are optax.MultiSteps's."""

    mini_step: Any  # micro-batches of the window so far, int32, shape ()
    gradient_step: Any  # steps of the inner transformation, int32, shape ()
    value_count: Any  # finite values of the window so far, int32, shape ()
    value_mean: Any  # their mean, float32, shape ()
    acc_grads: Any  # mean of the window's gradients, float32 or wider; a tree like the parameters
    inner_state: Any


@constructor
def multi_steps(inner: optax.GradientTransformation, every: int) -> Transformation:
    """Any optimizer, stepping once for `every` micro-batches.

    Args:
      inner: a transformation. It gets the mean of the gradients, in float32 or wider, and, where
        update is given `value=`, the mean of the values that are finite: nan where none is.
      every: micro-batches in a window, at least 1.

    Returns:
      A transformation whose updates are 0 but at the last micro-batch of a window. It forwards
      extra arguments.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = multi_steps(ao.sgd(1.0), every=2)
    >>> params = jnp.array(0.0)
    >>> state, steps = tx.init(params), []
    >>> for g in (-1.0, -3.0, -2.0, -2.0):
    ...     updates, state = tx.update(jnp.array(g), state, params)
    ...     steps.append(float(updates))
    >>> steps
    [0.0, 2.0, 0.0, 2.0]
    """
    check_transformation(inner=inner)
    return MultiSteps(optax.with_extra_args_support(inner), every).transformation()


class MultiSteps(Body):
    """An optimizer that steps once for several micro-batches."""

    inner: optax.GradientTransformationExtraArgs
    every: Steps

    def init(self, params: Any) -> MultiStepsState:
        return MultiStepsState(
            mini_step=jnp.zeros((), jnp.int32),
            gradient_step=jnp.zeros((), jnp.int32),
            value_count=jnp.zeros((), jnp.int32),
            value_mean=jnp.zeros((), jnp.float32),
            acc_grads=first_leaves(jnp.zeros_like, params),
            inner_state=self.inner.init(params),
        )

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, MultiStepsState]:
        gathered = optax.safe_increment(state.mini_step)
        acc_grads = map_leaves(
            self.name, _gathered, grads, params, state.acc_grads, shared=(gathered,), keeps=1
        )[1]
        count, value_mean = state.value_count, state.value_mean
        if extra_args.get("value") is not None:
            value = value_of(self.name, extra_args)
            finite = jnp.isfinite(value)
            count = count + finite.astype(jnp.int32)
            away = jnp.where(finite, value, value_mean) - value_mean
            value_mean = value_mean + away / jnp.maximum(count, 1).astype(jnp.float32)
            extra_args = {**extra_args, "value": jnp.where(count > 0, value_mean, jnp.nan)}

        leaves, treedef = flat(grads)
        weights = matching(treedef, params)
        still = [unmoved(g, p) for g, p in zip(leaves, weights, strict=True)]

        def step() -> Any:
            pairs = zip(leaves, matching(treedef, acc_grads), strict=True)
            means = [g if g is None or mean is None else mean for g, mean in pairs]
            updates, new = self.inner.update(
                jax.tree.unflatten(treedef, means), state.inner_state, params, **extra_args
            )
            moves = map(as_before, still, matching(treedef, updates))
            inner_state = jax.tree.map(as_before, state.inner_state, new)
            return [u for u in moves if is_trained(u)], inner_state

        def wait() -> Any:
            return [zero for zero in still if is_trained(zero)], state.inner_state

        due = gathered >= self.every
        moves, inner_state = taken(due, (wait, step))
        moved = iter(moves)
        updates = [next(moved) if is_trained(zero) else zero for zero in still]

        def begun(x: Any) -> Any:
            return jnp.where(due, jnp.zeros_like(x), x)

        return jax.tree.unflatten(treedef, updates), MultiStepsState(
            mini_step=begun(gathered),
            gradient_step=state.gradient_step + due.astype(jnp.int32),
            value_count=begun(count),
            value_mean=begun(value_mean),
            acc_grads=jax.tree.map(begun, acc_grads),
            inner_state=inner_state,
        )


def _gathered(
    g: jax.Array, p: Any, acc_grads: jax.Array, count: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The mean gradient with that of the count-th micro-batch."""
    mean = acc_grads + divided(g - acc_grads, count)
    return mean, mean
