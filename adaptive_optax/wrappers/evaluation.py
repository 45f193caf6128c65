"""`eval_params`: the parameters to evaluate with, wherever a state keeps them.

A wrapper whose training parameters are not the ones to evaluate gives its state a method
`eval_params(params)`.
"""

from typing import Any

import jax

from adaptive_optax.core.protocols import HasEvalParams


def eval_params(state: Any, params: Any) -> Any:
    """The parameters to evaluate, checkpoint and ship, instead of those that training holds.

    Args:
      state: optimizer state, of any nesting of chains and wrappers.
      params: the parameters in training.

    Returns:
      A tree like params: the slow weights of `lookahead`, for the leaves that it covers; params
      themselves where the state keeps no others. Of nested wrappers the outermost counts.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = ao.lookahead(ao.sgd(1.0), every=2, step_size=0.5)
    >>> params = jnp.array(4.0)
    >>> updates, state = tx.update(jnp.array(1.0), tx.init(params), params)
    >>> params = params + updates
    >>> float(params), float(eval_params(state, params))
    (3.0, 4.0)
    """
    for node in jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, HasEvalParams)):
        if isinstance(node, HasEvalParams):
            params = node.eval_params(params)
    return params
