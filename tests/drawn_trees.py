"""Parameters and gradients as hypothesis draws them: odd trees, shapes, dtypes and values."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

FLOATS = ("float32", "bfloat16", "float16", "complex64")
KINDS = (*FLOATS, *FLOATS, "float32", "int32", "bool", "float0", "none")
FEW_SHAPES = ((), (3,), (0,), (2, 3), (1, 1), (2, 0), (2, 1, 3))  # few programs to compile
ORDINARY = (0.25, -1.0, 1.5, -3.0)
LARGEST = 1e30  # the largest float32 has no room: the sum of two gradients of it is inf
WIDE = (0.0, -0.0, 1e-30, -1e-30, 1e20, -1e20)


def shapes(free: bool) -> st.SearchStrategy:
    """Of up to three axes of at most five; few of them unless free."""
    some = st.sampled_from(FEW_SHAPES)
    return some | st.lists(st.integers(0, 5), max_size=3).map(tuple) if free else some


def trees(leaves: st.SearchStrategy) -> st.SearchStrategy:
    """Dicts, lists and tuples of leaves, empty ones too, or one leaf alone."""
    words = st.sampled_from(["a", "b", "c"])
    return st.recursive(
        leaves,
        lambda part: (
            st.lists(part, min_size=1, max_size=2)
            | st.tuples(part, part)
            | st.dictionaries(words, part, min_size=1, max_size=3)
        ),
        max_leaves=4,
    )


@st.composite
def numbers(draw: Any, dtype: str, shape: tuple, gradient: bool) -> np.ndarray:
    """Finite values; gradients of float16 may be as large as its numbers are."""
    part = jnp.finfo(dtype)
    largest = min(float(part.max), LARGEST)
    edges = (largest, -largest, float(part.smallest_subnormal))
    pool = st.sampled_from(ORDINARY) | st.sampled_from(WIDE + (edges if gradient else ()))
    size, limit = int(np.prod(shape)), largest if gradient else largest / 64

    def column():
        values = draw(st.lists(pool, min_size=size, max_size=size))
        return np.clip(np.asarray(values, np.float64), -limit, limit).reshape(shape)

    values = column() + 1j * column() if dtype == "complex64" else column()
    return values.astype(jnp.dtype(dtype))


@st.composite
def params(draw: Any, free: bool = False) -> Any:
    """A tree of parameters."""

    @st.composite
    def leaf(draw):
        kind, shape = draw(st.sampled_from(KINDS)), draw(shapes(free))
        if kind == "none":
            return None
        if kind in ("int32", "bool", "float0"):
            return jnp.ones(shape, "bool" if kind == "bool" else "int32")
        return jnp.asarray(draw(numbers(kind, shape, gradient=False)))

    some = trees(leaf()).filter(lambda tree: tree is not None)  # None is no gradient at all
    return draw(some | some | some | st.sampled_from([{}, [], ()]))


@st.composite
def grads_of(draw: Any, tree: Any, wide: bool) -> Any:
    """Gradients of a tree of parameters: float0 or zeros where it is not trained.

    With `wide`, those of narrow real parameters are float32.
    """

    def leaf(p):
        if not jnp.issubdtype(p.dtype, jnp.inexact):
            zeros = draw(st.sampled_from(["float0", "own"]))
            return np.zeros(p.shape, jax.dtypes.float0) if zeros == "float0" else jnp.zeros_like(p)
        dtype = "float32" if wide and p.dtype != "complex64" else p.dtype.name
        return jnp.asarray(draw(numbers(dtype, p.shape, gradient=True)))

    return jax.tree.map(leaf, tree)
