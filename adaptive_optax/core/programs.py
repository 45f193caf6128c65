"""One compiled program for all functions that compute the same.

`jax.jit` caches by the identity of a function, so two equal optimizers, or one rebuilt at every
step by `optax.inject_hyperparams`, would be traced and compiled again. A rule is a closure; here
it is split into what is static (code and plain values, hashed) and the arrays closed over, which
become arguments of the program.
"""

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np


def compiled(function: Callable) -> Callable:
    """`jax.jit(function)`, sharing its program with every function that computes the same.

    Args:
      function: pure; the values it closes over must not change afterwards.

    Returns:
      A function of the same positional arguments.
    """
    arrays: list[Any] = []
    try:
        spec = _split(function, arrays)
    except RecursionError:  # functions that close over one another
        return jax.jit(function)
    return functools.partial(_program(spec), tuple(arrays))


@functools.lru_cache(maxsize=1024)
def _program(spec: Any) -> Callable:
    def program(arrays, *args):
        return _joined(spec, iter(arrays))(*args)

    return jax.jit(program)


class _Function(NamedTuple):
    code: types.CodeType
    namespace: "_Same"  # the globals
    defaults: Any
    cells: tuple


class _Tuple(NamedTuple):
    kind: type
    items: tuple


class _Value(NamedTuple):
    kind: type  # 1, 1.0 and True are equal and hash alike, but do not compute the same
    value: Any


class _Same:
    """A value that counts as equal to itself alone."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


_ARRAY = object()  # stands where an array was


def _split(value: Any, arrays: list[Any]) -> Any:
    """A hashable stand-in for value; the arrays in it go to the end of `arrays`."""
    if isinstance(value, jax.Array | np.ndarray):
        arrays.append(value)
        return _ARRAY
    if isinstance(value, types.FunctionType) and not value.__kwdefaults__:
        defaults = _split(value.__defaults__ or (), arrays)
        cells = tuple(_split(cell.cell_contents, arrays) for cell in value.__closure__ or ())
        return _Function(value.__code__, _Same(value.__globals__), defaults, cells)
    if isinstance(value, tuple):
        return _Tuple(type(value), tuple(_split(item, arrays) for item in value))
    try:
        hash(value)
    except TypeError:
        return _Same(value)
    return _Value(type(value), value)


def _joined(spec: Any, arrays: Iterator[Any]) -> Any:
    """The value that `_split` made `spec` of, with other arrays in it."""
    if spec is _ARRAY:
        return next(arrays)
    if isinstance(spec, _Function):
        defaults = _joined(spec.defaults, arrays)
        cells = tuple(types.CellType(_joined(cell, arrays)) for cell in spec.cells)
        return types.FunctionType(
            spec.code, spec.namespace.value, spec.code.co_name, defaults, cells
        )
    if isinstance(spec, _Tuple):
        items = [_joined(item, arrays) for item in spec.items]
        return spec.kind._make(items) if hasattr(spec.kind, "_make") else spec.kind(items)
    return spec.value
