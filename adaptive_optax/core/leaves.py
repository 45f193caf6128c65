"""What counts as a leaf, and which leaves are trained.

None is a leaf here, so that gradients and parameters stay in step where one of them has None.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def flat(tree: Any) -> tuple[list[Any], Any]:
    """Leaves as arrays (or None, or `jax.ShapeDtypeStruct`) and the tree's structure."""
    leaves, treedef = jax.tree.flatten(tree, is_leaf=is_none)
    return [x if x is None or hasattr(x, "dtype") else jnp.asarray(x) for x in leaves], treedef


def matching(treedef: Any, tree: Any) -> list[Any]:
    """The leaves of a tree of that structure; all None where the tree itself is None."""
    return [None] * treedef.num_leaves if tree is None else treedef.flatten_up_to(tree)


def is_trained(x: Any) -> bool:
    """Whether x is an array of real or complex floats; all else is left as it is."""
    return x is not None and _is_inexact(x.dtype)


def is_none(x: Any) -> bool:
    """Whether x is None, for `is_leaf`."""
    return x is None


def cast_like(tree: Any, params: Any) -> Any:
    """The leaves of a state's tree in the dtypes of params; params where it holds none."""

    def missing(x):
        return x is None or isinstance(x, optax.MaskedNode)

    def pick(x, p):
        return p if missing(x) else x.astype(p.dtype)

    return jax.tree.map(pick, tree, params, is_leaf=missing)


def unmoved(g: Any, p: Any) -> Any:
    """The update that leaves p as it is: zeros of its kind, or None where it is None."""
    like = g if p is None else p
    if like is None or like.dtype == jax.dtypes.float0:
        return like
    return jnp.zeros_like(like)


def broadcast(function: str, argument: str, mask: Any, tree: Any, kind: type = bool) -> list[Any]:
    """One value of mask for each leaf of tree, None leaves included; True where mask is None.

    Args:
      function: what the error calls the function.
      argument: what the error calls the mask.
      mask: a tree like `tree`, a prefix of one, or a function from `tree` to one.
      tree: parameters, or gradients.
      kind: of the values, where they are trees to jax.
    """
    treedef = flat(tree)[1]
    if treedef.num_leaves == 0:
        return []
    mask = mask(tree) if callable(mask) else mask
    if mask is None:
        return [True] * treedef.num_leaves

    def spread(chosen, part):
        return jax.tree.map(lambda _: chosen, part, is_leaf=is_none)

    try:
        whole = jax.tree.map(spread, mask, tree, is_leaf=lambda x: isinstance(x, kind))
        return treedef.flatten_up_to(whole)
    except ValueError as error:
        values = "bools" if kind is bool else f"bools and {kind.__name__}s"
        raise ValueError(
            f"{function}({argument}=...): {argument} must be a tree of {values} shaped like the "
            f"parameters, a prefix of one, or a function from the parameters to one: {error}"
        ) from error


def flat_pair(function: str, grads: Any, params: Any) -> tuple[list[Any], list[Any], Any]:
    """Leaves of gradients and of parameters (None each where params is None), and the structure.

    Raises:
      ValueError: where they differ in structure, shape or kind; names the path.
    """
    leaves, treedef = flat(grads)
    if params is None:
        return leaves, [None] * len(leaves), treedef
    weights, expected = flat(params)
    if treedef != expected:
        raise ValueError(
            f"{function}.update: gradients and params differ in structure at "
            f"{_first_difference(grads, params)}; give both the tree that tx.init saw."
        )
    for index, (g, p) in enumerate(zip(leaves, weights, strict=True)):
        if g is None or p is None or (g.shape == p.shape and g.dtype == p.dtype):
            continue
        widened = jnp.iscomplexobj(g) and not jnp.iscomplexobj(p)
        if is_trained(g) and is_trained(p) and (g.shape != p.shape or widened):
            raise ValueError(
                f"{function}.update: at {_paths(params)[index]} the gradient is "
                f"{g.dtype}{list(g.shape)} and the parameter is {p.dtype}{list(p.shape)}; shapes "
                f"must agree, and a real parameter takes a real gradient."
            )
    return leaves, weights, treedef


def _paths(tree: Any) -> list[str]:
    pairs = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_none)[0]
    return [jax.tree_util.keystr(path) or "the root" for path, _ in pairs]


def _first_difference(one: Any, other: Any) -> str:
    for a, b in itertools.zip_longest(_paths(one), _paths(other), fillvalue="nothing"):
        if a != b:
            return f"{a} against {b}"
    return f"its containers: {jax.tree.structure(one)} against {jax.tree.structure(other)}"


@functools.cache
def _is_inexact(dtype: np.dtype) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.inexact))
