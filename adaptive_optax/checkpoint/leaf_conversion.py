"""One leaf of a state as arrays that every file format takes, and back."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

KEY = "/impl"  # what a name ends in that tells the kind of a PRNG key
_KINDS = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)


def to_save(name: str, leaf: Any) -> dict[str, Any]:
    """A leaf as plain arrays by name: typed PRNG keys as their data, narrow floats in float32.

    Leaves without elements are left out, since there is nothing to keep of them.

    >>> sorted(to_save("key", jax.random.key(0)))
    ['key', 'key/impl']
    """
    if np.size(leaf) == 0:
        return {}
    if not hasattr(leaf, "dtype"):
        return {name: np.asarray(leaf)}
    if is_key(leaf):
        kind = np.frombuffer(str(jax.random.key_impl(leaf)).encode(), np.uint8)
        return {name: jax.random.key_data(leaf), name + KEY: kind}
    if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype.name not in _OF_NUMPY:
        return {name: leaf.astype(jnp.float32)}  # exact, and NumPy's files know no bfloat16
    if jnp.issubdtype(leaf.dtype, jnp.integer) and leaf.dtype.name.endswith(("int2", "int4")):
        return {name: leaf.astype(jnp.int8 if leaf.dtype.name.startswith("i") else jnp.uint8)}
    return {name: leaf}


_OF_NUMPY = ("float16", "float32", "float64")


def text_of(array: Any) -> str:
    """The text that is kept as an array of its bytes."""
    return np.asarray(array).astype(np.uint8).tobytes().decode(errors="replace")


def is_key(leaf: Any) -> bool:
    """Whether a leaf is an array of typed PRNG keys."""
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and bool(jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key))


def misfit(leaf: Any, value: Any, kind: str | None) -> str:
    """Why a saved value cannot take the place of a leaf; empty where it can.

    Args:
      leaf: of a fresh state.
      value: what was saved.
      kind: of PRNG key, where it was saved as one.
    """
    if is_key(leaf):
        own = str(jax.random.key_impl(leaf))
        if kind != own:
            return f"is {'a PRNG key ' + kind if kind else 'no PRNG key'}, and the state's is {own}"
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    shape, dtype = np.shape(leaf), jnp.result_type(leaf)
    if tuple(np.shape(value)) != tuple(shape):
        return f"has shape {list(np.shape(value))}, and the state's has {list(shape)}"
    given = np.dtype(getattr(value, "dtype", None) or np.asarray(value).dtype)
    if not any(jnp.issubdtype(given, k) and jnp.issubdtype(dtype, k) for k in _KINDS):
        return f"is {given}, and the state's is {dtype}"
    return ""


def converted(leaf: Any, value: Any) -> str:
    """What becomes of a saved value that changes, such as "float64 to float32"; else empty."""
    old, new = getattr(value, "dtype", None), getattr(leaf, "dtype", None)
    if old is None or new is None or old == new or is_key(leaf):
        return ""
    numbers = jnp if isinstance(value, jax.Array) else np
    back = value.astype(new).astype(old)
    same = bool(numbers.all((back == value) | ((back != back) & (value != value))))
    return "" if same else f"{old} to {new}"


def restored(leaf: Any, value: Any) -> Any:
    """A saved value as a leaf like this one: its dtype, weak type and sharding, its own buffer.

    >>> restored(jnp.zeros(2), np.array([1.0, 2.0], np.float64))
    Array([1., 2.], dtype=float32)
    """
    if not hasattr(leaf, "dtype"):
        return type(leaf)(np.asarray(value).item())
    if isinstance(leaf, np.ndarray | np.generic):
        return np.asarray(value).astype(leaf.dtype)[()]
    if is_key(leaf):
        kind, data = jax.random.key_impl(leaf), jax.eval_shape(jax.random.key_data, leaf)
        plain = jnp.array(np.asarray(value), data.dtype)
        found = jax.random.wrap_key_data(plain, impl=kind)
        return jax.device_put(found, leaf.sharding) if leaf.committed else found
    if leaf.committed:  # elsewhere an array may follow those that it is used with
        cast = (value if hasattr(value, "dtype") else np.asarray(value)).astype(leaf.dtype)
        found = jax.device_put(cast, leaf.sharding, may_alias=False)
    else:
        found = jnp.array(_here(value), leaf.dtype)
    # what is set into a weakly typed array is weakly typed
    return leaf.at[...].set(found) if leaf.weak_type else found


def _here(value: Any) -> np.ndarray:
    """The numbers on this machine; of an array spread over several, which each has whole."""
    if isinstance(value, jax.Array) and not value.is_fully_addressable:
        value = value.addressable_data(0)
    return np.asarray(value)
