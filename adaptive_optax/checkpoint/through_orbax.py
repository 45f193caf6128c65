"""Arrays to a folder and back through Orbax, each on the devices that it is asked for on.

Orbax is handed a flat dict from a leaf's number to its array, without what it does not take: leaves
without elements, and typed PRNG keys, of which their data go.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

HOW = "orbax is missing; install it with: pip install orbax-checkpoint"


def imported(function: str) -> Any:
    """The package `orbax.checkpoint`.

    Raises:
      ImportError: where it is not installed; says how to install it.
    """
    try:
        import orbax.checkpoint as ocp
    except ImportError as error:
        raise ImportError(f"{function}: {HOW}") from error
    return ocp


def write(ocp: Any, folder: Path, leaves: list[Any]) -> None:
    """Writes the arrays among the leaves; returns when all are written."""
    arrays = {str(k): _data(x) for k, x in enumerate(leaves) if _is_kept(x)}
    if arrays:  # Orbax refuses a tree without leaves
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder.absolute(), arrays)
            checkpointer.wait_until_finished()


def read(ocp: Any, folder: Path, like: list[Any]) -> list[Any]:
    """What was written, in leaves that are like these: on their devices, of their kind.

    Args:
      ocp: what `imported` returned.
      folder: that `write` wrote.
      like: a leaf each that was written, of its shape and dtype.
    """
    wanted = {str(k): _target(x) for k, x in enumerate(like) if _is_kept(x)}
    found = {}
    if wanted:
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.restore(folder.absolute(), wanted)
    return [_as(found.get(str(k)), x) for k, x in enumerate(like)]


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | jax.ShapeDtypeStruct | np.ndarray | np.generic)


def _is_kept(x: Any) -> bool:
    return _is_array(x) and x.size > 0 and x.dtype != jax.dtypes.float0


def _is_key(x: Any) -> bool:
    return bool(jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key))


def _data(x: Any) -> Any:
    """The numbers of an array; of a shape, the shape of them."""
    if not _is_key(x):
        return x
    of_shape = isinstance(x, jax.ShapeDtypeStruct)
    return jax.eval_shape(jax.random.key_data, x) if of_shape else jax.random.key_data(x)


def _target(x: Any) -> Any:
    """What Orbax restores into: a placed array, or one of NumPy."""
    x = _data(x)
    if isinstance(x, jax.Array) and x.committed:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
    if isinstance(x, jax.ShapeDtypeStruct) and x.sharding is not None:
        return x
    return np.empty(x.shape, x.dtype)


def _as(found: Any, like: Any) -> Any:
    """What was read, as the leaf that was asked for; the leaf itself where nothing was kept.

    An array that jax may move stays one: put on a device for good, a counter could no longer be
    used together with parameters that are spread over several.
    """
    if found is None:
        made = isinstance(like, jax.ShapeDtypeStruct) and not _is_key(like)
        return jnp.zeros(like.shape, like.dtype) if made else like
    if isinstance(like, np.generic):
        return like.dtype.type(found)
    if isinstance(like, np.ndarray):
        return found
    if not isinstance(found, jax.Array):
        found = jnp.array(found)
    if _is_key(like):
        return jax.random.wrap_key_data(found, impl=_implementation(like))
    if getattr(like, "weak_type", False) and isinstance(like, jax.Array):
        return like.at[...].set(found)  # what is set into a weakly typed array is weakly typed
    return found


def _implementation(like: Any) -> Any:
    one = like if isinstance(like, jax.Array) else None
    return jax.random.key_impl(one) if one is not None else like.dtype._impl.name
