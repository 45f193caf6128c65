"""Flax linen's `TrainState`, with the loss passed on to the optimizer."""

from collections.abc import Mapping
from typing import Any

import optax
from flax.linen.fp8_ops import OVERWRITE_WITH_GRADIENT
from flax.training import train_state

from adaptive_optax.training.extra_args import taken
from adaptive_optax.wrappers.evaluation import eval_params


class TrainState(train_state.TrainState):
    """Flax's TrainState, whose `apply_gradients` takes what the optimizer wants besides gradients.

    All else is flax's: `TrainState.create(apply_fn=..., params=..., tx=...)`, the fields, and
    subclasses with fields of their own.

    >>> import adaptive_optax as ao, jax.numpy as jnp, optax
    >>> from adaptive_optax.learning_rate.plateau import reduce_on_plateau
    >>> tx = optax.chain(ao.sgd(1.0), reduce_on_plateau(0.5, patience=0))
    >>> state = TrainState.create(apply_fn=None, params=jnp.array(0.0), tx=tx)
    >>> for loss in (3.0, 3.0):
    ...     state = state.apply_gradients(grads=jnp.array(-1.0), value=loss)
    >>> float(state.params), state.step
    (1.5, 2)
    """

    def apply_gradients(
        self,
        *,
        grads: Any,
        value: Any = None,
        extra_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> "TrainState":
        """The state after one step.

        Args:
          grads: gradients, a tree like params.
          value: the loss or metric that the optimizer watches, a scalar; None passes on none.
          extra_args: other extra arguments of `tx.update`, by name, such as `grad` and `value_fn`
            of a line search. An optimizer that takes none of them is not given them.
          **kwargs: fields to replace, such as `batch_stats`.

        Raises:
          ValueError: where extra_args has a value besides `value`.
        """
        extra = dict(extra_args or {})
        if value is not None:
            if "value" in extra:
                raise ValueError(
                    "TrainState.apply_gradients(value=..., extra_args={'value': ...}): value is "
                    "given twice; leave it out of extra_args."
                )
            extra["value"] = value
        overwritten = _has_overwritten(grads)
        used: Any = grads
        params: Any = self.params
        if overwritten:
            used, params = grads["params"], params["params"]
        extra = taken(self.tx.update, extra)
        updates, opt_state = self.tx.update(used, self.opt_state, params, **extra)
        params = optax.apply_updates(params, updates)
        if overwritten:
            key = OVERWRITE_WITH_GRADIENT
            params = {"params": params, key: grads[key]}
        return self.replace(step=self.step + 1, params=params, opt_state=opt_state, **kwargs)

    @property
    def eval_params(self) -> Any:
        """The parameters to evaluate, checkpoint and ship; `ao.eval_params` of this state."""
        if _has_overwritten(self.params):
            return {**self.params, "params": eval_params(self.opt_state, self.params["params"])}
        return eval_params(self.opt_state, self.params)


def _has_overwritten(tree: Any) -> bool:
    """Whether it has parameters (of 8-bit floats) that are set to their "gradient".

    The optimizer has no part in these.
    """
    return isinstance(tree, Mapping) and OVERWRITE_WITH_GRADIENT in tree
