"""The small trees that properties are tried on, and the loop that they share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

FLOATS = ("float32", "bfloat16", "float16")
# Hugest gradients that a working program may meet, in each dtype.
HUGE = {"float32": 1e20, "bfloat16": 1e20, "float16": 6e4}


def params_of(dtype: Any = "float32") -> dict:
    """A tree with a matrix, and a vector one level down.

    The matrix is square: what a rule does with its eigenvectors is one thing only.
    """
    kernel = np.linspace(-1.0, 1.0, 16).reshape(4, 4)
    return {
        "kernel": jnp.asarray(kernel, dtype),
        "inner": {"bias": jnp.asarray([0.5, -0.25, 2.0], dtype)},
    }


def grads_of(params: Any, seed: int = 0, dtype: Any = None) -> Any:
    """Normal random gradients shaped like params, of their dtypes or of the one given."""
    draw = np.random.default_rng(seed)

    def one(p):
        noise = draw.standard_normal(p.shape)
        if jnp.issubdtype(p.dtype, jnp.complexfloating):
            noise = noise + 1j * draw.standard_normal(p.shape)
        return jnp.asarray(noise, dtype or p.dtype)

    return jax.tree.map(one, params)


def filled(params: Any, value: float) -> Any:
    """A tree like params with one value in all leaves."""
    return jax.tree.map(lambda p: jnp.full(p.shape, value, p.dtype), params)


def run(tx: Any, params: Any, gradients: list, step: Any = None) -> tuple[Any, Any, list]:
    """Updates, one a tree of gradients: parameters, state and the list of updates.

    Args:
      tx: the transformation.
      params: where to start.
      gradients: one tree an update.
      step: what to call in place of `tx.update`, such as its `jax.jit`.
    """
    state, history = tx.init(params), []
    for grads in gradients:
        updates, state = (step or tx.update)(grads, state, params)
        params = optax.apply_updates(params, updates)
        history.append(updates)
    return params, state, history


def form(tree: Any) -> dict[str, tuple[tuple, str, bool]]:
    """Path of every leaf -> its shape, dtype and whether it is weakly typed.

    >>> form({"a": jnp.zeros((2, 3)), "b": 1.0})
    {"['a']": ((2, 3), 'float32', False), "['b']": ((), 'float32', True)}
    """
    leaves = jax.tree_util.tree_flatten_with_path(jax.eval_shape(lambda x: x, tree))[0]
    return {
        jax.tree_util.keystr(path) or "the root": (x.shape, str(x.dtype), x.weak_type)
        for path, x in leaves
    }


def is_inexact(x: Any) -> bool:
    """Whether x is an array, or a Python number, of real or complex floats."""
    return jnp.issubdtype(getattr(x, "dtype", type(x)), jnp.inexact)


def stacked(*trees: Any) -> Any:
    """One tree whose leaves have a first axis over the trees."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
