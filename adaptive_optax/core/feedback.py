"""What wrappers that follow the loss share: ranges, the value given to an update, scaled steps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.core.arrays import narrowed, scaled, working_dtype
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.types import Scalar

_REAL = ("bool", "integral", "real floating")


def value_of(function: str, extra_args: dict[str, Any]) -> jax.Array:
    """The scalar that update was given as `value=`, in float32.

    Args:
      function: what errors call the function.
      extra_args: of its update.

    Raises:
      TypeError: where it is no number.
      ValueError: where it is missing, or no scalar.
    """
    value = extra_args.get("value")
    if value is None:
        raise ValueError(
            f"{function}.update needs value=, the loss or metric that it watches; call "
            f"tx.update(grads, state, params, value=loss). In flax: "
            f"state.apply_gradients(grads=grads, value=loss) of adaptive_optax.training.TrainState,"
            f" or optimizer.update(model, grads, value=loss) of nnx.Optimizer."
        )
    if isinstance(value, int | float):
        value = np.asarray(value)
    if not hasattr(value, "dtype") or not jnp.isdtype(value.dtype, _REAL):
        raise TypeError(
            f"{function}.update(value={value!r}): value must be a real number or a scalar array."
        )
    if value.shape != ():
        raise ValueError(
            f"{function}.update(value=array of shape {value.shape}): value must be a scalar; "
            f"give one number for the batch, such as jnp.mean(value)."
        )
    with np.errstate(over="ignore"):  # beyond float32 is inf, as on a device
        return jnp.asarray(value.astype(jnp.float32))


def multiplied(updates: Any, scale: Scalar) -> Any:
    """The updates times a scalar, computed in float32 or wider, each in the dtype it had."""
    leaves, treedef = flat(updates)
    return jax.tree.unflatten(treedef, [_times(u, scale) for u in leaves])


def _times(u: Any, scale: Scalar) -> Any:
    if not is_trained(u):
        return u
    return narrowed(scaled(u.astype(working_dtype(u.dtype)), scale), u.dtype)
