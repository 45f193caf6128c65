"""Which parameter each leaf of a state belongs to, and which axes of it each of its axes is.

No optimizer is known here. A leaf belongs to the parameter whose path stands in the leaf's own. Its
axes show when the state is made once more of parameters that have grown, axis k by the k-th prime:
an axis that grew by it is that axis, or blocks of it; by a product, several made one; by 1, an axis
of the leaf's own. All of it is done on shapes.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

PRIMES = (2, 3, 5, 7, 11, 13)  # ascending, so that axes of one length stay in order


class Origin(NamedTuple):
    """Where a leaf of a state comes from."""

    parameter: int | None  # its index among the parameters' leaves; None: of none
    axes: tuple[tuple[int, ...], ...]  # for each of its axes, the parameter's that it is made of


def shapes_of(tree: Any) -> Any:
    """The shapes and dtypes of a tree's leaves, and nothing of where they lie."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), _dtype(x)), tree)


def origins(init: Callable[[Any], Any], params: Any, state: Any) -> list[Origin]:
    """The origin of each leaf of a state.

    Args:
      init: makes a state of parameters; any.
      params: parameters, or their shapes.
      state: the shapes that init makes of them.
    """
    paths, shapes = _paths(params)
    grown = _grown(init, params)
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    owners = _owners([path for path, _ in leaves], paths)
    found = []
    for (path, leaf), owner in zip(leaves, owners, strict=True):
        shape = jnp.shape(leaf)
        if owner is None:
            found.append(Origin(None, ((),) * len(shape)))
        else:
            found.append(Origin(owner, _axes(shape, grown.get(path), shapes[owner])))
    return found


def _dtype(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else jnp.result_type(x)


def _paths(params: Any) -> tuple[list[tuple], list[tuple[int, ...]]]:
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return [path for path, _ in leaves], [jnp.shape(leaf) for _, leaf in leaves]


def _grown(init: Callable[[Any], Any], params: Any) -> dict[tuple, tuple[int, ...]]:
    """Shapes of the state of grown parameters by path; empty where init takes no others."""

    def grow(x):
        factors = (*PRIMES, *(1,) * len(x.shape))
        shape = tuple(n * factor for n, factor in zip(x.shape, factors, strict=False))
        return jax.ShapeDtypeStruct(shape, x.dtype)

    try:
        state = jax.eval_shape(init, jax.tree.map(grow, shapes_of(params)))
    except Exception:  # one that is made for these shapes alone; the first state has to tell
        return {}
    return {path: leaf.shape for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]}


def _owners(leaves: Sequence[tuple], params: Sequence[tuple]) -> list[int | None]:
    """For each path of a leaf the index of its parameter.

    A parameter's path may stand in a leaf's more than once: [0] is a parameter of a list, and the
    first member of a chain. The right one is where most other parameters are found beside it; then
    the longest; then the last.
    """
    index_of = {path: index for index, path in enumerate(params)}
    lengths = sorted({len(path) for path in params})
    places: list[list[tuple[tuple, int, int]]] = []
    beside: dict[tuple, set[int]] = {}
    for path in leaves:
        places.append([])
        for length in lengths:
            for start in range(len(path) - length + 1):
                index = index_of.get(path[start : start + length])
                if index is not None:
                    places[-1].append((path[:start], length, index))
                    beside.setdefault(path[:start], set()).add(index)

    def rank(place):
        before, length, _ = place
        return len(beside[before]), length, len(before)

    return [max(found, key=rank)[2] if found else None for found in places]


def _axes(
    shape: tuple[int, ...], grown: tuple[int, ...] | None, parameter: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """For each axis of a leaf, the axes of its parameter that it is made of."""
    if grown is not None and len(grown) == len(shape):
        found = [_factors(n, m, parameter) for n, m in zip(shape, grown, strict=True)]
        if None not in found:
            return tuple(axes for axes in found if axes is not None)
    if shape == parameter:  # a larger parameter would be kept otherwise, so lengths have to tell
        return tuple((k,) for k in range(len(shape)))
    return tuple(_same_length(n, parameter) for n in shape)


def _factors(n: int, grown: int, parameter: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes that made n grow; None where it did not grow as they did."""
    if n == grown:
        return ()
    if n == 0 or grown % n:
        return None
    rest, axes = grown // n, []
    for k, prime in enumerate(PRIMES[: len(parameter)]):
        if rest % prime == 0:
            rest //= prime
            axes.append(k)
    if rest != 1:
        return None
    if len(axes) == 1:
        return tuple(axes) if parameter[axes[0]] % n == 0 else ()
    return tuple(axes) if n == math.prod(parameter[k] for k in axes) else ()


def _same_length(n: int, parameter: tuple[int, ...]) -> tuple[int, ...]:
    same = [k for k, length in enumerate(parameter) if length == n]
    return (same[0],) if len(same) == 1 and n > 1 else ()
