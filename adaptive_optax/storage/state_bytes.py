"""What an optimizer's state costs, before anything is allocated."""

from typing import Any

import jax
import optax

from adaptive_optax.core.checks import check_arrays, check_transformation


def state_bytes(tx: optax.GradientTransformation, params: Any) -> int:
    """The bytes that an optimizer's state takes.

    Args:
      tx: any optax transformation.
      params: parameters, or `jax.ShapeDtypeStruct`s of them; nothing of their size is allocated.

    Returns:
      Bytes of all leaves of the state together, on all devices once. What a compiled update needs
      besides is told by `jax.jit(tx.update).lower(...).compile().memory_analysis()`.

    Raises:
      TypeError: where tx is no transformation, or params no arrays.

    >>> import adaptive_optax as ao, jax, jax.numpy as jnp
    >>> params = jax.ShapeDtypeStruct((50_000, 1024), jnp.float32)
    >>> for tx in (ao.adam(1e-3), ao.stored(ao.adam(1e-3), ao.minifloat8())):
    ...     print(round(ao.state_bytes(tx, params) / params.size, 3), "bytes a parameter")
    8.0 bytes a parameter
    2.0 bytes a parameter
    """
    check_transformation("state_bytes", tx=tx)
    check_arrays("state_bytes", params=params)
    state = jax.eval_shape(tx.init, params)
    return sum(_bytes(leaf) for leaf in jax.tree.leaves(state))


def _bytes(leaf: Any) -> int:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return int(jax.eval_shape(jax.random.key_data, leaf).nbytes)
    return int(leaf.size) * leaf.dtype.itemsize
