"""Groups of parameters by their paths."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import optax

from adaptive_optax.core.leaves import is_none

REST = "rest"

Groups = Mapping[str, str] | Sequence[str]


def named_patterns(function: str, groups: Groups | None) -> dict[str, str]:
    """Return the pattern of each group by its name.

    Raises:
      TypeError, ValueError: if groups is not a mapping or sequence of patterns.
    """
    if groups is None:
        return {}
    if isinstance(groups, str) or not isinstance(groups, Mapping | Sequence):
        raise TypeError(
            f"{function}(groups={groups!r}): groups must be a list of patterns, such as "
            f"['encoder', 'head'], or a dict of them by name."
        )
    named = dict(groups) if isinstance(groups, Mapping) else {each: each for each in groups}
    for name, pattern in named.items():
        if not isinstance(name, str) or not isinstance(pattern, str) or not name:
            raise TypeError(
                f"{function}(groups={groups!r}): names and patterns must be words, and no name "
                f"empty."
            )
        if name == REST:
            raise ValueError(
                f"{function}(groups={groups!r}): 'rest' is what no group matches; take another "
                f"name."
            )
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"{function}(groups={{{name!r}: {pattern!r}}}): not a regular expression: {error}."
            ) from error
    return named


def group_of(function: str, patterns: Mapping[str, str], tree: Any) -> list[str]:
    """Return the first group of each leaf, None leaves included, whose pattern its path contains.

    A path is written "encoder/Dense_0/kernel". A leaf that no group matches is in REST.

    Raises:
      ValueError: if a group matches no leaf of a tree that has leaves, none of them hidden by
        `optax.masked`.
    """
    masked = optax.MaskedNode
    pairs = jax.tree_util.tree_flatten_with_path(
        tree, is_leaf=lambda x: x is None or isinstance(x, masked)
    )[0]
    hidden = any(is_none(x) or isinstance(x, masked) for _, x in pairs)
    paths = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, x in pairs
        if not isinstance(x, masked)
    ]
    found = [
        next((name for name, pattern in patterns.items() if re.search(pattern, path)), REST)
        for path in paths
    ]
    for name, pattern in patterns.items():
        if paths and not hidden and name not in found:
            raise ValueError(
                f"{function}(groups={{{name!r}: {pattern!r}}}): no parameter is in this group; the "
                f"paths are {', '.join(map(repr, paths[:8]))}{' ...' if len(paths) > 8 else ''}."
            )
    return found
