"""How a property says what it found: one line of evidence, or why the question does not apply.

A property that is kept returns; one that is not raises `BrokenError`. The comparisons here raise it
with the path of the first leaf that differs.
"""

import contextlib
import textwrap
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.testing.trees import form, is_inexact

LONGEST = 240  # letters of an evidence


class BrokenError(Exception):
    """A promise that is not kept; the text is the evidence."""


class NotApplicableError(Exception):
    """A promise that this transformation cannot be asked for, or not here; the text says why."""


@contextlib.contextmanager
def during(situation: str) -> Iterator[None]:
    """Puts the situation before the evidence of all that goes wrong inside."""
    try:
        yield
    except NotApplicableError:
        raise
    except Exception as error:
        raise BrokenError(f"{situation}: {in_a_line(error)}") from error


def in_a_line(error: BaseException) -> str:
    """The evidence of a `BrokenError`; the type and the first line of any other exception.

    >>> in_a_line(ZeroDivisionError("division by zero"))
    'ZeroDivisionError: division by zero'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else ""
    text = first if isinstance(error, BrokenError) else f"{type(error).__name__}: {first}"
    return textwrap.shorten(text.rstrip(": "), LONGEST, placeholder=" ...")


def same_form(before: Any, after: Any, what: str) -> None:
    """Both trees have one structure, and their leaves one shape, dtype and weak type."""
    old, new = form(before), form(after)
    for path in old:
        if path in new and old[path] != new[path]:
            raise BrokenError(f"{what} {path} {_change(old[path], new[path])}")
    if old.keys() != new.keys():
        gone, came = sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys())
        words = [f"{word} {path[0]}" for word, path in (("lost", gone), ("got", came)) if path]
        raise BrokenError(f"{what} {' and '.join(words)}")
    one: Any = jax.tree.structure(before)
    other: Any = jax.tree.structure(after)
    if one != other:
        raise BrokenError(f"{what} changed its tree: {one} -> {other}")


def finite(tree: Any, what: str) -> None:
    """Every number in the tree is finite."""
    for path, x in _floats(tree):
        bad = x[~np.isfinite(x)]
        if bad.size:
            raise BrokenError(f"{what} {path} is {bad.flat[0]}")


def close(
    one: Any,
    other: Any,
    what: str,
    names: tuple[str, str],
    share: float = 0.0,
    least: float = 1e-30,
) -> None:
    """The leaves are the same but for `share` of the largest number of each.

    Args:
      one: a tree.
      other: a tree of the same structure.
      what: the trees are, for the evidence.
      names: how each came about, for the evidence.
      share: 0 asks for equal bits.
      least: differences below it are none, where share is not 0.
    """
    for (path, x), y in zip(_numbers(one), (y for _, y in _numbers(other)), strict=True):
        if x.shape != y.shape:
            raise BrokenError(f"{what} {path} has shape {x.shape} {names[0]}, {y.shape} {names[1]}")
        allowed = share * np.max(np.abs(y), initial=0.0) + (least if share else 0.0)
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


def _change(old: tuple, new: tuple) -> str:
    """What of shape, dtype and weak type changed, in words."""
    for a, b in zip(old[:2], new[:2], strict=True):
        if a != b:
            return f"{a} -> {b}"
    return "became weakly typed" if new[2] else "was weakly typed and is no more"


def _numbers(tree: Any) -> list[tuple[str, np.ndarray]]:
    """Path and value of every leaf that is a number, in the widest dtype of its kind."""
    found = []
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if jnp.issubdtype(getattr(x, "dtype", float), jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        array = np.asarray(x)
        if array.dtype == jax.dtypes.float0:
            continue
        wide = np.complex128 if array.dtype.kind == "c" else np.float64
        found.append((jax.tree_util.keystr(path), array.astype(wide)))
    return found


def _floats(tree: Any) -> list[tuple[str, np.ndarray]]:
    return _numbers(jax.tree.map(lambda x: x if is_inexact(x) else 0, tree))
