"""States that keep their numbers in codes, such as those of `stored`, and the numbers beside them.

Such a state has `decoded()`, the plain state that it stands for, `encoded(plain)`, another one of
the same formats, and `layout`, an array that says which formats these are. A plain state has the
names that it would have without codes; the codes themselves are kept too, since rounding again
does not give all of them back.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

LAYOUT = "layout"


class Opened(NamedTuple):
    """A state in codes, opened."""

    plain: Any  # what it decodes to, opened in its turn
    coded: Any  # itself, with None for the leaves that the plain state gives back


def opened(state: Any) -> Any:
    """A state with `Opened` for all states in codes."""

    def open_one(node):
        if not _is_coded(node):
            return node
        plain = node.decoded()
        own = {id(leaf) for leaf in jax.tree.leaves(plain)}
        coded = jax.tree.map(lambda x: None if id(x) in own or _is_narrow(x) else x, node)
        return Opened(opened(plain), coded)

    return jax.tree.map(open_one, state, is_leaf=_is_coded)


def closed(state: Any, tree: Any, exact: Iterator[bool]) -> Any:
    """An opened state in codes again.

    Args:
      state: as it was before it was opened, for its formats.
      tree: what `opened` made of it, with other leaves.
      exact: of each state in codes, those inside first, whether its own codes are to be taken.
    """
    nodes = [x for x in jax.tree.leaves(state, is_leaf=_is_coded) if _is_coded(x)]
    following = iter(nodes)

    def close_one(part):
        if not isinstance(part, Opened):
            return part
        node = next(following)
        again = node.encoded(closed(node.decoded(), part.plain, exact))
        if not next(exact):
            return again

        def chosen(code, rounded):
            return rounded if code is None else code

        return jax.tree.map(chosen, part.coded, again, is_leaf=lambda x: x is None)

    return jax.tree.map(close_one, tree, is_leaf=lambda x: isinstance(x, Opened))


def _is_coded(node: Any) -> bool:
    return all(hasattr(node, each) for each in ("decoded", "encoded", LAYOUT))


def _is_narrow(x: Any) -> bool:
    """Whether it is floats of 16 bits or less, which rounding to the nearest gives back."""
    return bool(jnp.issubdtype(x.dtype, jnp.floating)) and x.dtype.itemsize < 4
