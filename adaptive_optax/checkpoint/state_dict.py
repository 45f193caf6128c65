"""`state_dict`: an optimizer's state by names that outlast the optimizer."""

import json
from typing import Any

import jax
import numpy as np

from adaptive_optax.checkpoint.encoded_states import opened
from adaptive_optax.checkpoint.leaf_conversion import to_save
from adaptive_optax.checkpoint.names import entries

FORMAT = "format"  # the name of what follows
VERSION = "adaptive_optax.state_dict/1"


def state_dict(state: Any) -> dict[str, Any]:
    """A state as arrays by name, for any file format; `load_state_dict` brings it back.

    Names do not depend on places in a chain. They are a field and the path of a parameter, such as
    "mu/dense/kernel", or a field alone, such as "count"; what a wrapper keeps begins with the
    wrapper's name, "lookahead.anchor/dense/kernel", and what one of several optimizers keeps with
    its label, "fast:mu/dense/kernel". Where two states of a chain would share a name, as two EMAs
    do, the second one's is numbered, "ema#2/dense/kernel": these do depend on their order.

    All values are plain arrays, where they were and sharded as they were: `numpy.savez`, Orbax,
    flax's msgpack and safetensors take them. Floats of less than 16 bits, and bfloat16, become
    float32, and PRNG keys their data. Of states in codes (`stored`) there are the numbers, in
    float32, and the codes, so that the same formats come back bit for bit; have memory for both.
    "format" holds the version and all the names, as bytes of text.

    Arrays are the state's own: save them before an update to which the state is donated.

    Args:
      state: of any optax transformation, ours or not; not traced.

    Returns:
      Arrays by name.

    Raises:
      TypeError: where a leaf is no array and no number, or is traced.

    >>> import jax.numpy as jnp, optax
    >>> params = {"dense": {"kernel": jnp.zeros((3, 2))}}
    >>> tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    >>> list(state_dict(tx.init(params)))
    ['count', 'mu/dense/kernel', 'nu/dense/kernel', 'format']
    """
    check_leaves("state_dict", state)
    found: dict[str, Any] = {}
    for entry in entries(opened(state)):
        found |= to_save(entry.name, entry.leaf)
    text = f"{VERSION}\n{json.dumps(list(found))}"
    return {**found, FORMAT: np.frombuffer(text.encode(), np.uint8)}


def check_leaves(function: str, state: Any) -> None:
    """The state is of arrays and numbers that are known.

    Raises:
      TypeError: where it is not; names the leaf.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        traced = isinstance(leaf, jax.core.Tracer)
        known = isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float | complex)
        if traced or not known:
            raise TypeError(
                f"{function}: at {jax.tree_util.keystr(path) or 'the root'} the state's leaf is "
                f"{'traced' if traced else type(leaf).__name__}; call it outside of jit, for "
                f"states of arrays and numbers."
            )
