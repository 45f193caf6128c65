"""Flax nnx's `Optimizer`, with the loss passed on and the parameters to evaluate at hand."""

from typing import Any

from flax import nnx

from adaptive_optax.training.extra_args import taken
from adaptive_optax.wrappers.evaluation import eval_params


class Optimizer(nnx.Optimizer):
    """Flax's nnx.Optimizer, for any transformation, whether it takes extra arguments or not.

    `Optimizer(model, tx, wrt=nnx.Param)`, as in flax.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> from flax import nnx
    >>> model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    >>> optimizer = Optimizer(model, ao.lookahead(ao.sgd(0.1), every=2), wrt=nnx.Param)
    >>> loss, grads = nnx.value_and_grad(lambda m: jnp.sum(m(jnp.ones((1, 2)))))(model)
    >>> _ = optimizer.update(model, grads, value=loss)
    >>> [round(float(m.bias[0]), 2) for m in (model, optimizer.eval_model(model))]
    [-0.1, 0.0]
    """

    def update(self, model: Any, grads: Any, /, *, value: Any = None, **extra_args: Any) -> Any:
        """One step of the optimizer; changes the model and returns the updates.

        Args:
          model: the module that the optimizer was made for.
          grads: as `nnx.grad` gives them.
          value: the loss or metric that the optimizer watches, a scalar; None passes on none.
          **extra_args: other extra arguments of `tx.update`. An optimizer that takes none of them
            is not given them.
        """
        if value is not None:
            extra_args["value"] = value
        return super().update(model, grads, **taken(self.tx.update, extra_args))

    def eval_params(self, model: Any) -> Any:
        """The parameters to evaluate, checkpoint and ship, as `nnx.state(model, wrt)` has them."""
        params = nnx.state(model, self.wrt, graph=self.graph)
        found = eval_params(nnx.as_pure(self.opt_state), nnx.as_pure(params))
        return nnx.state(found, graph=self.graph)

    def eval_model(self, model: Any) -> Any:
        """A copy of the model with `eval_params` in it; the model itself stays as it is."""
        copy = nnx.clone(model)
        nnx.update(copy, self.eval_params(model))
        return copy
