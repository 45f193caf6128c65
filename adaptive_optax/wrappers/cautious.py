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

import jax.numpy as jnp
import optax

from adaptive_optax.core.anatomy import described
from adaptive_optax.core.arrays import scaled
from adaptive_optax.core.checks import check_transformation
from adaptive_optax.core.leafwise import LeafwiseState, lift
from adaptive_optax.core.lift import NoSlots, Rule
from adaptive_optax.core.types import Transformation

LEAST = 1e-3  # share of the leaf that agrees, of which no more than the inverse is made up


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
    check_transformation("cautious", inner=inner)
    inner = optax.with_extra_args_support(inner)

    def agreeing(u, slots, p, at, g):
        mask = ((u.conj() * g.astype(u.dtype)).real < 0).astype(u.real.dtype)
        share = jnp.sum(mask) / max(mask.size, 1)
        return scaled(u, mask / jnp.maximum(share, LEAST)), slots

    def gradients(call):
        found = call.treedef.flatten_up_to(call.extra_args["gradients"])
        return [(jnp.zeros(()) if g is None else g,) for g in found]

    mask = lift(Rule("cautious", NoSlots, lambda p: NoSlots(), agreeing, extras=gradients))

    def update(grads, state, params=None, **extra_args):
        updates, state = inner.update(grads, state, params, **extra_args)
        return mask.update(updates, LeafwiseState(None, NoSlots()), gradients=grads)[0], state

    tx = optax.GradientTransformationExtraArgs(inner.init, update)
    return described(tx, "cautious", members={"inner": inner}, own_state=False)
