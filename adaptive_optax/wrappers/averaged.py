"""Averaged: the parameters averaged with polynomial decay (Shamir & Zhang, 2013, arXiv:1212.1824).

    average <- average + (power + 1) / (t + power) (p - average)        p after the step

One slot a parameter besides the inner state. When to use it: over an optimizer that ends in noise,
such as `dog`, whose guarantees are of its average; evaluate with `eval_params(state, params)`.
power 0 is the mean of all; a larger one forgets the beginning. Put it last in a chain, where the
update it returns is the one that is applied. Departures: none.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import elapsed, scaled, shifted
from adaptive_optax.core.checks import check_params, check_transformation
from adaptive_optax.core.leaves import cast_like
from adaptive_optax.core.map_leaves import copies, map_leaves
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import AtLeastZero, Scalar


class AveragedState(NamedTuple):
    """What the average remembers."""

    count: Any  # steps averaged, int32, shape ()
    average: Any  # float32 or wider; a tree shaped like the parameters
    inner_state: Any

    def eval_params(self, params: Any) -> Any:
        """The average in the dtypes of params; params where there is none."""
        return cast_like(self.average, params)


@constructor
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
    check_transformation(inner=inner)
    return Averaged(optax.with_extra_args_support(inner), power).transformation()


class Averaged(Body):
    """An average over an optimizer's parameters."""

    inner: optax.GradientTransformationExtraArgs
    power: AtLeastZero

    keeps_parameters = True
    passes_gradients = True

    def init(self, params: Any) -> AveragedState:
        return AveragedState(jnp.zeros((), jnp.int32), copies(params), self.inner.init(params))

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, AveragedState]:
        updates, inner_state = self.inner.update(grads, state.inner_state, params, **extra_args)
        count = optax.safe_increment(state.count)
        shared = (_share(count, self.power),)
        updates, average = map_leaves(
            self.name, _followed, updates, params, state.average, shared=shared, keeps=1
        )
        return updates, AveragedState(count, average, inner_state)


@jax.jit
def _share(count: jax.Array, power: Scalar) -> jax.Array:
    """The weight of the new parameters in the average."""
    t = elapsed(count)
    return shifted(jnp.ones_like(t), power) / shifted(t, power)


def _followed(
    u: jax.Array, p: Any, average: jax.Array, share: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The update as it is, and the average after it."""
    check_params("averaged", "its average", p)
    return u, average + scaled(p + u - average, share)
