"""What counts as a leaf, and which leaves are trained.

None is a leaf here, so that gradients and parameters stay in step where one of them has None.
"""

import functools
import itertools
import operator
from typing import Any, NamedTuple

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


is_none = functools.partial(operator.is_, None)  # for `is_leaf`; of C, since it sees every node


def cast_like(tree: Any, params: Any) -> Any:
    """The leaves of a state's tree in the dtypes of params; params where it holds none."""

    def missing(x: Any) -> bool:
        return x is None or isinstance(x, optax.MaskedNode)

    def pick(x: Any, p: Any) -> Any:
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

    def spread(chosen: Any, part: Any) -> Any:
        return jax.tree.map(lambda _: chosen, part, is_leaf=is_none)

    try:
        whole = jax.tree.map(spread, mask, tree, is_leaf=lambda x: isinstance(x, kind))
        return list(treedef.flatten_up_to(whole))
    except ValueError as error:
        values = "bools" if kind is bool else f"bools and {kind.__name__}s"
        raise ValueError(
            f"{function}({argument}=...): {argument} must be a tree of {values} shaped like the "
            f"parameters, a prefix of one, or a function from the parameters to one: {error}"
        ) from error


class Pairs(NamedTuple):
    """Gradients and parameters, leaf by leaf."""

    grads: list[Any]
    params: list[Any]  # None at each leaf if there are no parameters
    treedef: Any
    trained: list[int]  # the places of the leaves that are trained


def pair_leaves(function: str, grads: Any, params: Any) -> Pairs:
    """Pair the leaves of gradients and parameters.

    Raises:
      ValueError: if they differ in structure, shape or kind; names the path.
    """
    leaves, treedef = jax.tree.flatten(grads, is_leaf=is_none)
    leaves = [x if x is None or hasattr(x, "dtype") else jnp.asarray(x) for x in leaves]
    if params is None:
        trained = [i for i, g in enumerate(leaves) if g is not None and _is_inexact(g.dtype)]
        return Pairs(leaves, [None] * len(leaves), treedef, trained)
    weights, expected = flat(params)
    if treedef != expected:
        raise ValueError(
            f"{function}.update: gradients and params differ in structure at "
            f"{_first_difference(grads, params)}; give both the tree that tx.init saw."
        )
    trained = []
    for index, (g, p) in enumerate(zip(leaves, weights, strict=True)):
        if g is None or p is None or not (_is_inexact(g.dtype) and _is_inexact(p.dtype)):
            continue
        trained.append(index)
        if g.shape == p.shape and g.dtype == p.dtype:
            continue
        if g.shape != p.shape or (jnp.iscomplexobj(g) and not jnp.iscomplexobj(p)):
            raise ValueError(
                f"{function}.update: at {_paths(params)[index]} the gradient is "
                f"{g.dtype}{list(g.shape)} and the parameter is {p.dtype}{list(p.shape)}; shapes "
                f"must agree, and a real parameter takes a real gradient."
            )
    return Pairs(leaves, weights, treedef, trained)


def flat_pair(function: str, grads: Any, params: Any) -> tuple[list[Any], list[Any], Any]:
    """INTERIM."""
    return pair_leaves(function, grads, params)[:3]


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
