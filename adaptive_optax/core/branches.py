"""One of several ways to go on, of which only the one that is taken costs anything."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import narrowed
from adaptive_optax.core.leaves import is_trained


def taken(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """What the branch of that number returns; all return the same structure, shapes and dtypes.

    Args:
      index: an integer or a bool, of shape (); it may be traced.
      branches: functions of the operands.
      operands: what a branch may return as it is, without a copy.
    """
    if len(branches) == 1:
        return branches[0](*operands)
    if isinstance(index, jax.core.Tracer):
        return jax.lax.switch(jnp.asarray(index, jnp.int32), branches, *operands)
    return branches[int(index)](*operands)  # outside of jit a switch is compiled at each call


def as_before(old: Any, new: Any) -> Any:
    """What comes in place of old, in old's dtype if that is of floats; old where it is None."""
    if new is None:
        return old
    return narrowed(new, old.dtype) if hasattr(old, "dtype") and is_trained(old) else new
