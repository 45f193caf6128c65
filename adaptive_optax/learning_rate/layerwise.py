"""Layer-wise learning rates: the nearer to the input, the smaller the step.

Howard & Ruder, 2018, arXiv:1801.06146 (discriminative fine-tuning); as a power of one decay in
ELECTRA (Clark et al., 2020, arXiv:2003.10555) and BEiT (Bao et al., 2021, arXiv:2106.08254):

    u <- decay^(n - 1 - d) u        in layer d of 0 .. n - 1, the last nearest the output

u is the inner optimizer's update with its weight decay, so that both are scaled. No slot. When to
use it: to fine-tune a model whose lower layers were trained on more, or on similar, data.
Departures: the original divides by 2.6 from layer to layer, which is a decay of 0.38.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import widest
from adaptive_optax.core.checks import caller, check_transformation
from adaptive_optax.core.feedback import multiplied
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import AtLeastZero, Scalar
from adaptive_optax.learning_rate.layers import LayerNames, check_layers, layer_of


@constructor
def layerwise_decay(
    inner: optax.GradientTransformation, decay: Scalar = 0.75, *, layers: LayerNames = None
) -> Transformation:
    """Any optimizer, with a step that shrinks from the last layer to the first.

    Args:
      inner: a transformation whose updates are added to the parameters.
      decay: factor from a layer to the one below it, in [0, 1]; may be traced. 1 is inner, 0
        trains the last layer alone.
      layers: the layers from the input to the output: None reads them from the parameters' names
        (look at them with `layers_of(params)`); or regular expressions, or a function from a path
        to a number, as in `layer_of`.

    Returns:
      A transformation with the inner one's state. It forwards extra arguments.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at init, where names do not
        tell the layers, or a parameter is in none.

    >>> import adaptive_optax as ao
    >>> params = {f"Dense_{i}": {"kernel": jnp.ones(1)} for i in (0, 1, 10)}
    >>> tx = layerwise_decay(ao.sgd(1.0), 0.5)
    >>> updates, _ = tx.update(params, tx.init(params), params)
    >>> [float(updates[f"Dense_{i}"]["kernel"][0]) for i in (0, 1, 10)]
    [-0.25, -0.5, -1.0]
    """
    check_transformation(inner=inner)
    return LayerwiseDecay(optax.with_extra_args_support(inner), decay, layers).transformation()


class LayerwiseDecay(Body):
    """An optimizer with a step that shrinks from the last layer to the first."""

    inner: optax.GradientTransformationExtraArgs
    decay: AtLeastZero
    layers: LayerNames

    passes_gradients = True
    shares_state = True

    def check(self) -> None:
        if isinstance(self.decay, int | float) and self.decay > 1:
            raise ValueError(f"{caller()}(decay={self.decay}): decay must lie in [0, 1].")
        check_layers("layerwise_decay", self.layers)

    def init(self, params: Any) -> Any:
        self.factor(None, None, params)
        return self.inner.init(params)

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        updates, state = self.inner.update(grads, state, params, **extra_args)
        leaves, treedef = flat(updates)
        factors = self.factor(None, None, updates)
        moves = [_times(u, by) for u, by in zip(leaves, factors, strict=True)]
        return jax.tree.unflatten(treedef, moves), state

    def factor(self, before: Any, after: Any, params: Any) -> list[Scalar]:
        known = isinstance(self.decay, int | float)
        base: Any = float(self.decay) if known else jnp.asarray(self.decay, widest())
        names, depths = layer_of(params, self.layers, function="layerwise_decay")
        above = [len(names) - 1 - depth for depth in depths]
        return [1.0 if power == 0 else base**power for power in above]


def _times(u: Any, factor: Scalar) -> Any:
    """An update times a factor; that itself where the factor is known to be 1, or it has none."""
    known = isinstance(factor, float) and factor == 1
    return u if known or not is_trained(u) else _multiplied(u, factor)


_multiplied = jax.jit(multiplied)  # one program a shape, not four an update
