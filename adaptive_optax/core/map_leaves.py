"""`map_leaves`: a function of one array over the leaves of updates, for wrappers.

The function gets arrays in the dtype to compute in, and is compiled once per shape and dtype.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax

from adaptive_optax.core.arrays import narrowed, working_dtype
from adaptive_optax.core.leaves import flat, is_trained, matching, pair_leaves, unmoved
from adaptive_optax.core.lifting import placed, wide_view


def map_leaves(
    name: str,
    function: Callable[..., Any],
    updates: Any,
    params: Any,
    *trees: Any,
    shared: tuple[Any, ...] = (),
    keeps: int = 0,
) -> Any:
    """Apply `function(u, p, *leaves, *shared)` to each leaf that is trained.

    Args:
      name: what errors call the wrapper.
      function: defined at the top of a module, so that it is compiled once. It returns the new
        update; or a tuple of it and of what comes in place of the first `keeps` leaves.
      updates: a tree; its leaves u are float32 or wider in the function, and come back in the
        dtype of the parameter.
      params: a tree like it, or None: then p is None.
      *trees: trees like it, or None at leaves that are not trained.
      shared: arrays, numbers and None for all leaves.
      keeps: how many of the trees, from the first, the function renews.

    Returns:
      The tree of updates; a tuple of it and of the renewed trees if there are any. Leaves that are
      not trained do not move.
    """
    if "<locals>" in function.__qualname__:
        raise TypeError(
            f"map_leaves(function={function.__qualname__}): function must be defined at the top of "
            f"a module; a function within a function would be compiled at each call."
        )
    pairs = pair_leaves(name, updates, params)
    columns = [matching(pairs.treedef, tree) for tree in trees]
    moves: list[Any] = list(pairs.grads)
    for i in pairs.trained:
        leaves = tuple([column[i] for column in columns])
        found = _map_leaf(function, moves[i], pairs.params[i], leaves, shared)
        if keeps:
            found, *new = found
            for column, leaf in zip(columns, new, strict=False):
                column[i] = leaf
        moves[i] = found
    if len(pairs.trained) < len(moves):
        for i in set(range(len(moves))).difference(pairs.trained):
            moves[i] = unmoved(pairs.grads[i], pairs.params[i])
    moved = pairs.treedef.unflatten(moves)
    return (moved, *map(pairs.treedef.unflatten, columns[:keeps])) if keeps else moved


def first_leaves(function: Callable[[jax.Array], jax.Array], params: Any) -> Any:
    """`function(p)` of each parameter that is trained, sharded like it; None for all others."""
    leaves, treedef = flat(params)
    return treedef.unflatten(
        [placed(p, function(wide_view(p))) if is_trained(p) else None for p in leaves]
    )


def copies(params: Any) -> Any:
    """A copy of each parameter that is trained, float32 or wider; None for all others."""
    return first_leaves(lambda p: p, params)


@functools.partial(jax.jit, static_argnums=0)
def _map_leaf(
    function: Callable[..., Any], u: jax.Array, p: Any, leaves: tuple[Any, ...], shared: Any
) -> Any:
    dtype = (u if p is None else p).dtype
    wide = working_dtype(dtype)
    p = None if p is None else p.astype(wide)
    seen = [x if x is None or x.dtype == wide else wide_view(x) for x in leaves]
    found = function(u.astype(wide), p, *seen, *shared)
    if not isinstance(found, tuple):
        return narrowed(found, dtype)
    u, *new = found
    return (
        narrowed(u, dtype),
        *(x.astype(before.dtype) for x, before in zip(new, leaves, strict=False)),
    )
