"""What the range test trains on: batches as one tree of arrays, stacked on a first axis."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def stacked(function: str, batches: Any, steps: int) -> tuple[Any, int]:
    """The batches, leaves (n, ...), and n; (None, 1) for none.

    Args:
      function: what errors call the function.
      batches: a tree of arrays that are stacked already; or a list, an iterator, or an object
        that jax does not know and that can be iterated, of batches; or None.
      steps: how many batches are taken from an iterable, at most.

    Raises:
      TypeError: for what is none of these.
      ValueError: where there is no batch, or batches differ in structure, shape or dtype.

    >>> batches, count = stacked("f", [(1.0, 2), (3.0, 4)], steps=5)
    >>> count, [leaf.tolist() for leaf in batches]
    (2, [[1.0, 3.0], [2, 4]])
    """
    if batches is None:
        return None, 1
    if _is_iterable(batches):
        batches = _stack(function, list(itertools.islice(batches, steps)))
    leaves = jax.tree.leaves(batches)
    for leaf in leaves:
        if not isinstance(leaf, jax.Array | np.ndarray):
            raise TypeError(
                f"{function}(batches={type(leaf).__name__} among others): batches must be a tree "
                f"of arrays stacked on a first axis, or a list or iterator of batches."
            )
    counts = sorted({np.shape(leaf)[:1] for leaf in leaves})
    if len(counts) != 1 or counts[0] in ((), (0,)):
        found = [leaf.shape for leaf in leaves]
        raise ValueError(
            f"{function}(batches=arrays of shapes {found}): all must have one first axis, of at "
            f"least one batch; put batches of one shape in a list to have them stacked."
        )
    return jax.tree.map(jnp.asarray, batches), counts[0][0]


def _is_iterable(batches: Any) -> bool:
    if isinstance(batches, list | Iterator):
        return True
    if isinstance(batches, str | bytes):
        return False
    unknown = jax.tree_util.all_leaves([batches])  # to jax, so no tree
    return unknown and not hasattr(batches, "shape") and hasattr(batches, "__iter__")


def _stack(function: str, batches: list[Any]) -> Any:
    if not batches:
        raise ValueError(f"{function}(batches=[]): give at least one batch.")
    first = _form(batches[0])
    for at, batch in enumerate(batches):
        if _form(batch) != first:
            raise ValueError(
                f"{function}(batches=...): batch {at} is {_form(batch)[1]} and the first is "
                f"{first[1]}; all must agree in structure, shape and dtype: leave out a last, "
                f"smaller batch."
            )
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *batches)


def _form(batch: Any) -> tuple[Any, list[str]]:
    leaves, structure = jax.tree.flatten(batch)
    return structure, [f"{jnp.result_type(x)}{list(np.shape(x))}" for x in leaves]
