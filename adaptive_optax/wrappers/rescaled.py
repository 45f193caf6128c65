"""An optimizer whose updates are multiplied by a number in the state."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from adaptive_optax.core.anatomy import described
from adaptive_optax.core.feedback import multiplied
from adaptive_optax.core.treewise import wide
from adaptive_optax.core.types import Transformation


class RescaledState(NamedTuple):
    """What the wrapper remembers."""

    scale: Any  # what updates are multiplied by, the widest float, shape ()
    inner_state: Any

    @property
    def rate_factor(self) -> Any:
        """What it makes of the learning rate."""
        return self.scale


def rescaled(inner: Transformation) -> Transformation:
    """The same optimizer while the scale is 1, which it is until somebody replaces it."""

    def init(params):
        return RescaledState(wide(1.0), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        updates, inner_state = inner.update(grads, state.inner_state, params, **extra_args)
        return multiplied(updates, state.scale), RescaledState(state.scale, inner_state)

    return described(
        optax.GradientTransformationExtraArgs(init, update),
        "rescaled",
        members={"inner": inner},
        factor=lambda before, after, params: jnp.asarray(after.scale),
    )
