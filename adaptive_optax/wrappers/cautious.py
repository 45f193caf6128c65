"""Cautious: moves a coordinate only where the step agrees with the gradient.

Liang, Chen, Liu & Liu, 2024, arXiv:2411.16085:
    mask = 1 where u g < 0, else 0
    u <- u mask / max(mean(mask), 1e-3)         the mean over the leaf

u is the inner optimizer's update, which is added to p. No slot. When to use it: over an optimizer
with momentum, whose steps outlast the gradient's change of sign. Put it around the optimizer; its
weight decay is then part of u. To leave the decay out of the mask, chain it after:
`optax.chain(ao.cautious(ao.adam(rate)), optax.add_decayed_weights(-rate * decay))`.
Departures: none.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import scaled
from adaptive_optax.core.checks import check_transformation
from adaptive_optax.core.map_leaves import map_leaves
from adaptive_optax.core.transformation import Body, Transformation, constructor

LEAST = 1e-3  # the update is scaled up as if at least this share of the leaf agreed


@constructor
def cautious(inner: optax.GradientTransformation) -> Transformation:
    """Any optimizer, without the coordinates whose step goes up the gradient.

    Args:
      inner: a transformation whose updates are added to the parameters.

    Returns:
      A transformation with the inner one's state. It forwards extra arguments.

    Raises:
      TypeError: where inner is no transformation.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = cautious(ao.sgd(1.0, momentum=0.5))
    >>> params = jnp.zeros(2)
    >>> state = tx.init(params)
    >>> for g in (jnp.array([4.0, 4.0]), jnp.array([4.0, -1.0])):
    ...     updates, state = tx.update(g, state, params)
    >>> updates.tolist()
    [-12.0, -0.0]
    """
    check_transformation(inner=inner)
    return Cautious(optax.with_extra_args_support(inner)).transformation()


class Cautious(Body):
    """An optimizer without the coordinates whose step goes up the gradient."""

    inner: optax.GradientTransformationExtraArgs

    passes_gradients = True
    shares_state = True

    def init(self, params: Any) -> Any:
        return self.inner.init(params)

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        updates, state = self.inner.update(grads, state, params, **extra_args)
        return map_leaves(self.name, _agreeing, updates, None, grads), state


def _agreeing(u: jax.Array, p: Any, g: Any) -> jax.Array:
    """The update where it goes down the gradient, scaled up to make good for the rest."""
    g = jnp.zeros((), u.dtype) if g is None else g.astype(u.dtype)
    mask = ((u.conj() * g).real < 0).astype(u.real.dtype)
    share = jnp.sum(mask) / max(mask.size, 1)
    return scaled(u, mask / jnp.maximum(share, LEAST))
