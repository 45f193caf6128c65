"""What a tree looks like, written down leaf by leaf, and compared before anything is restored."""

import itertools
from typing import Any

import jax
import numpy as np

from adaptive_optax.core.leaves import is_none

PLAIN = (bool, int, float, str)  # kept in the manifest itself, digit for digit

Form = list[Any]  # path, kind, shape, and the value of a leaf that is no array


def forms(function: str, tree: Any) -> list[Form]:
    """Path, kind and shape of each leaf, None leaves included, as JSON has them.

    Args:
      function: what the error calls the function.
      tree: arrays, `jax.ShapeDtypeStruct`s, Python numbers and texts.

    Raises:
      TypeError: for a leaf of another kind; names its path.

    >>> forms("save_checkpoint", {"w": np.zeros((2, 3)), "n": 7})
    [["['n']", 'int', [], 7], ["['w']", 'float64', [2, 3], None]]
    """
    return [_form(function, path, x) for path, x in _leaves(tree)]


def check_forms(where: str, kept: list[Form], like: Any) -> None:
    """The tree has the leaves that were kept.

    Raises:
      ValueError: names the first leaf that differs, and how.
    """
    expected = forms("restore_checkpoint", like)
    for one, other in itertools.zip_longest(kept, expected):
        if one is None or other is None or one[0] != other[0]:
            raise ValueError(
                f"restore_checkpoint: {where} has {_told(one)} where `like` has {_told(other)}; "
                f"give a tree of the structure that was saved."
            )
        if one[1:3] != other[1:3]:
            raise ValueError(
                f"restore_checkpoint: {where} has {_told(one)}, but `like` has "
                f"{other[1]}{other[2]} there; shapes and dtypes must be those that were saved."
            )


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    pairs = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_none)[0]
    return [(jax.tree_util.keystr(path) or "the root", x) for path, x in pairs]


def _form(function: str, path: str, x: Any) -> Form:
    if x is None:
        return [path, "None", [], None]
    if type(x) in PLAIN:
        return [path, type(x).__name__, [], x]
    is_array = isinstance(x, jax.Array | jax.ShapeDtypeStruct | np.ndarray | np.generic)
    if is_array and _is_numeric(x.dtype):
        name = "float0" if x.dtype == jax.dtypes.float0 else str(x.dtype)
        return [path, name, list(x.shape), None]
    raise TypeError(
        f"{function}: at {path} the leaf is {x!r:.80}; leaves must be arrays of numbers, PRNG "
        f"keys, Python numbers, texts or None."
    )


def _is_numeric(dtype: Any) -> bool:
    if jax.dtypes.issubdtype(dtype, jax.dtypes.extended) or dtype == jax.dtypes.float0:
        return True
    return dtype.kind not in "OSUMmT" and dtype.names is None


def _told(form: Form | None) -> str:
    return "nothing" if form is None else f"{form[1]}{form[2]} at {form[0]}"
