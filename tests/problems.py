"""Small trees of parameters and gradients, and one training loop, that many tests share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def params_of(dtype: Any = jnp.float32) -> dict:
    """A tree with a matrix, a vector and a scalar."""
    return {
        "kernel": jnp.asarray(np.linspace(-1.0, 1.0, 12).reshape(4, 3), dtype),
        "inner": {"bias": jnp.asarray([0.5, -0.25, 2.0], dtype), "scale": jnp.asarray(1.5, dtype)},
    }


def grads_of(params: Any, seed: int = 0, scale: float = 1.0, dtype: Any = None) -> Any:
    """Random gradients shaped like params."""
    leaves, treedef = jax.tree.flatten(params)
    draw = np.random.default_rng(seed)
    new = [jnp.asarray(scale * draw.standard_normal(p.shape), dtype or p.dtype) for p in leaves]
    return jax.tree.unflatten(treedef, new)


def form(tree: Any) -> Any:
    """Shape, dtype and weak type of every leaf."""
    return jax.tree.map(lambda x: (x.shape, str(x.dtype), jax.typeof(x).weak_type), tree)


def run(tx: optax.GradientTransformation, params: Any, gradients: list) -> tuple[Any, Any, list]:
    """Eager updates, one a tree of gradients: parameters, state and the list of updates."""
    state, history = tx.init(params), []
    for grads in gradients:
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        history.append(updates)
    return params, state, history
