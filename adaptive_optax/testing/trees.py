"""The small trees that properties are tried on, training loops over them, and comparisons.

A comparison that fails raises `BrokenError` with the path of the first leaf that differs.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adaptive_optax.testing.result import BrokenError

FLOATS = ("float32", "bfloat16", "float16")


def params_of(dtype: Any = "float32") -> dict:
    """Return a tree with a matrix, and a vector one level down.

    The matrix is square, so that a rule's eigenvectors are unique.
    """
    kernel = np.linspace(-1.0, 1.0, 16).reshape(4, 4)
    return {
        "kernel": jnp.asarray(kernel, dtype),
        "inner": {"bias": jnp.asarray([0.5, -0.25, 2.0], dtype)},
    }


def grads_of(params: Any, seed: int = 0, dtype: Any = None) -> Any:
    """Return normal random gradients shaped like params, of their dtypes or of the one given."""
    draw = np.random.default_rng(seed)

    def one(p):
        noise = draw.standard_normal(p.shape)
        if jnp.issubdtype(p.dtype, jnp.complexfloating):
            noise = noise + 1j * draw.standard_normal(p.shape)
        return jnp.asarray(noise, dtype or p.dtype)

    return jax.tree.map(one, params)


def filled(params: Any, value: float) -> Any:
    """Return a tree like params with one value in all leaves."""
    return jax.tree.map(lambda p: jnp.full(p.shape, value, p.dtype), params)


def stacked(*trees: Any) -> Any:
    """Return one tree whose leaves have a first axis over the trees."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def run(tx: Any, params: Any, gradients: list, update: Any = None) -> tuple[Any, Any, list]:
    """Train eagerly, one update per tree of gradients.

    Args:
      tx: the transformation.
      params: the start.
      gradients: one tree per update.
      update: called instead of `tx.update`, such as its `jax.jit`.

    Returns:
      The last parameters, the last state and the list of all updates.
    """
    state, history = tx.init(params), []
    for grads in gradients:
        updates, state = (update or tx.update)(grads, state, params)
        params = optax.apply_updates(params, updates)
        history.append(updates)
    return params, state, history


def scan(
    tx: Any,
    start: tuple[Any, Any],
    xs: Any,
    gradient: Callable[[Any, Any], Any] = lambda x, params: x,
    *,
    moving: bool = True,
    length: int | None = None,
    **extra: Any,
) -> tuple[tuple[Any, Any], Any]:
    """Train in one `lax.scan`.

    Args:
      tx: the transformation.
      start: parameters and state.
      xs: what is scanned over, such as stacked gradients; None with a length.
      gradient: (one of xs, params) -> gradients.
      moving: False leaves the parameters where they are.
      length: number of updates.
      **extra: arguments for `tx.update`.

    Returns:
      (last parameters, last state) and the stacked updates.
    """

    def step(carry, x):
        params, state = carry
        updates, state = tx.update(gradient(x, params), state, params, **extra)
        if moving:
            params = jax.tree.map(lambda p, u: p + u, params, updates)
        return (params, state), updates

    return jax.lax.scan(step, start, xs, length=length)


def is_inexact(x: Any) -> bool:
    """Return True if x is an array, or a Python number, of real or complex floats."""
    return jnp.issubdtype(getattr(x, "dtype", type(x)), jnp.inexact)


def paths(tree: Any) -> list[tuple[str, Any]]:
    """Return the path and the value of every leaf.

    >>> paths({"a": [1, 2]})
    [("['a'][0]", 1), ("['a'][1]", 2)]
    """
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(jax.tree_util.keystr(path), x) for path, x in found]


def form(tree: Any) -> dict[str, tuple[tuple, str, bool]]:
    """Map the path of every leaf to its shape, its dtype and whether it is weakly typed.

    >>> form({"a": jnp.zeros((2, 3)), "b": 1.0})
    {"['a']": ((2, 3), 'float32', False), "['b']": ((), 'float32', True)}
    """
    leaves = paths(jax.eval_shape(lambda x: x, tree))
    return {path or "the root": (x.shape, str(x.dtype), x.weak_type) for path, x in leaves}


def same_form(before: Any, after: Any, what: str) -> None:
    """Both trees have one structure, and their leaves one shape, dtype and weak type."""
    old, new = form(before), form(after)
    for path in old:
        for a, b in zip(old[path], new.get(path, old[path]), strict=True):
            if a != b:
                weak = "became weakly typed" if b is True else "was weakly typed and is no more"
                raise BrokenError(f"{what} {path} {weak if isinstance(b, bool) else f'{a} -> {b}'}")
    if old.keys() != new.keys():
        lost, got = sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys())
        words = [f"{word} {some[0]}" for word, some in (("lost", lost), ("got", got)) if some]
        raise BrokenError(f"{what} {' and '.join(words)}")
    one: Any = jax.tree.structure(before)
    other: Any = jax.tree.structure(after)
    if one != other:
        raise BrokenError(f"{what} changed its tree: {one} -> {other}")


def finite(tree: Any, what: str) -> None:
    """Every number in the tree is finite."""
    for path, x in _numbers(tree):
        bad = x[~np.isfinite(x)]
        if bad.size:
            raise BrokenError(f"{what} {path} is {bad.flat[0]}")


def close(one: Any, other: Any, what: str, names: tuple[str, str], share: float = 0.0) -> None:
    """The leaves are equal up to `share` of the largest number of each.

    Args:
      one: a tree.
      other: a tree of the same structure.
      what: name of the trees, for the evidence.
      names: how each was computed, for the evidence.
      share: relative tolerance per leaf; 0 asks for equal bits.
    """
    for (path, x), (_, y) in zip(_numbers(one), _numbers(other), strict=True):
        if x.shape != y.shape:
            raise BrokenError(f"{what} {path} has shape {x.shape} {names[0]}, {y.shape} {names[1]}")
        allowed = share * np.max(np.abs(y), initial=0.0) + (1e-30 if share else 0.0)
        off = ~((np.abs(x - y) <= allowed) | (x == y) | (np.isnan(x) & np.isnan(y)))
        if off.any():
            at = tuple(int(i) for i in np.argwhere(off)[0])
            place = f"{path}{list(at)}" if at else path
            raise BrokenError(f"{what} {place} is {x[at]:.9g} {names[0]}, {y[at]:.9g} {names[1]}")


def unchanged(before: Any, after: Any, what: str) -> None:
    """Every leaf has the value and the dtype that it had."""
    same_form(before, after, what)
    close(after, before, what, ("now", "before"))


def moved(before: Any, after: Any, what: str = "the parameter") -> None:
    """Every leaf changed, and is finite."""
    finite(after, what)
    for (path, x), (_, y) in zip(_numbers(before), _numbers(after), strict=True):
        if x.size and np.array_equal(x, y):
            raise BrokenError(f"{what} {path} did not move")


def _numbers(tree: Any) -> list[tuple[str, np.ndarray]]:
    """Return the path and the value of every leaf that is a number, in its kind's widest dtype."""
    found = []
    for path, x in paths(tree):
        if jnp.issubdtype(getattr(x, "dtype", float), jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        array = np.asarray(x)
        if array.dtype != jax.dtypes.float0:
            wide = np.complex128 if array.dtype.kind == "c" else np.float64
            found.append((path, array.astype(wide)))
    return found
