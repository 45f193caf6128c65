"""An optimizer whose updates are multiplied by a number in the state."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import wide
from adaptive_optax.core.feedback import multiplied
from adaptive_optax.core.transformation import Body


class RescaledState(NamedTuple):
    """What the wrapper remembers."""

    scale: Any  # what updates are multiplied by, the widest float, shape ()
    inner_state: Any

    @property
    def rate_factor(self) -> Any:
        """What it makes of the learning rate."""
        return self.scale


class Rescaled(Body):
    """The same optimizer while the scale is 1, which it is until somebody replaces it."""

    inner: optax.GradientTransformationExtraArgs

    def init(self, params: Any) -> RescaledState:
        return RescaledState(wide(1.0), self.inner.init(params))

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, RescaledState]:
        updates, inner_state = self.inner.update(grads, state.inner_state, params, **extra_args)
        return multiplied(updates, state.scale), RescaledState(state.scale, inner_state)

    def factor(self, before: Any, after: Any, params: Any) -> Any:
        return jnp.asarray(after.scale)
