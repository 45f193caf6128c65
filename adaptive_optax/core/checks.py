"""Checks of options when a transformation is built; traced values pass.

Every error names the function as called, the argument, its value and the rule. A check is given
the name of the function; without it, the name is that of the constructor that the user called.
"""

import contextlib
import contextvars
import difflib
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

_CALLED: contextvars.ContextVar[str] = contextvars.ContextVar("called", default="")


def caller() -> str:
    """The public function that is being called; empty outside of one."""
    return _CALLED.get()


@contextlib.contextmanager
def called(function: str) -> Iterator[None]:
    """Errors of checks within begin with this name."""
    token = _CALLED.set(function)
    try:
        yield
    finally:
        _CALLED.reset(token)


def check_fraction(function: str = "", /, **values: Any) -> None:
    """Each value is a number in [0, 1)."""
    function = function or caller()
    for name, value in values.items():
        if _number(function, name, value) and not 0 <= value < 1:
            raise ValueError(f"{function}({name}={value}): {name} must lie in [0, 1).")


def check_non_negative(function: str = "", /, **values: Any) -> None:
    """Each value is a finite number of at least 0."""
    function = function or caller()
    for name, value in values.items():
        if _number(function, name, value) and not 0 <= value < math.inf:
            raise ValueError(f"{function}({name}={value}): {name} must be finite and at least 0.")


def check_positive(function: str = "", /, **values: Any) -> None:
    """Each value is a finite number above 0."""
    function = function or caller()
    for name, value in values.items():
        if _number(function, name, value) and not 0 < value < math.inf:
            raise ValueError(f"{function}({name}={value}): {name} must be finite and above 0.")


def check_steps(function: str = "", /, **values: Any) -> None:
    """Each value is an integer of at least 1, a number of steps; traced integers pass."""
    function = function or caller()
    for name, value in values.items():
        _whole(function, name, value, least=1)


def check_count(function: str = "", /, **values: Any) -> None:
    """Each value is an integer of at least 0; traced integers pass."""
    function = function or caller()
    for name, value in values.items():
        _whole(function, name, value, least=0)


def check_numbers(length: Any, function: Any = "", /, **values: Any) -> None:
    """Each value is a tuple or list of that many numbers."""
    if isinstance(length, str):  # INTERIM
        length, function = function, length
    function = function or caller()
    for name, value in values.items():
        if not isinstance(value, tuple | list) or len(value) != length:
            raise TypeError(f"{function}({name}={value!r}): {name} must be {length} numbers.")
        for each in value:
            _number(function, name, each)


def check_choice(allowed: Any, function: Any = "", /, **values: Any) -> None:
    """Each value is one of `allowed`."""
    if isinstance(allowed, str):  # INTERIM
        allowed, function = function, allowed
    function = function or caller()
    for name, value in values.items():
        if not isinstance(value, str) or value not in allowed:
            words = ", ".join(map(repr, allowed))
            raise ValueError(
                f"{function}({name}={value!r}): {name} must be one of {words}"
                f"{suggestion(value, allowed)}"
            )


def check_flag(function: str = "", /, **values: Any) -> None:
    """Each value is True or False."""
    function = function or caller()
    for name, value in values.items():
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{function}({name}={value!r}): {name} must be True or False.")


def check_function(function: str = "", /, **values: Any) -> None:
    """Each value is a function."""
    function = function or caller()
    for name, value in values.items():
        if not callable(value):
            raise TypeError(f"{function}({name}={value!r}): {name} must be a function.")


def check_mask(function: str = "", /, **values: Any) -> None:
    """Each value is None, a function from the parameters to a mask, or a tree of bools."""
    function = function or caller()
    for name, value in values.items():
        for leaf in [] if callable(value) else jax.tree.leaves(value):
            if np.ndim(leaf) or not (isinstance(leaf, bool) or _dtype(leaf) == np.bool_):
                raise TypeError(
                    f"{function}({name}={leaf!r}): {name} must be a tree of bools shaped like the "
                    f"parameters, a prefix of one, or a function from the parameters to one."
                )


def check_rate(function: str = "", /, **values: Any) -> None:
    """Each value is a schedule or a finite number of at least 0."""
    function = function or caller()
    for name, value in values.items():
        if callable(value):
            continue
        rate = name == "learning_rate"
        if value is None:
            alone = "; for the direction alone use the scale_by_... rule" if rate else ""
            raise TypeError(
                f"{function}({name}=None): {name} must be a number, an array or a schedule{alone}."
            )
        if _number(function, name, value) and not 0 <= value < math.inf:
            ascent = "; to ascend, chain with optax.scale(-1.0)" if rate else ""
            raise ValueError(
                f"{function}({name}={value}): {name} must be finite and at least 0{ascent}."
            )


def check_range(
    words: str, holds: Callable[[Any], bool], function: str = "", /, **values: Any
) -> None:
    """Each value that is a Python number is in the range; the error says that it must `words`."""
    function = function or caller()
    for name, value in values.items():
        if isinstance(value, int | float | np.number) and not holds(value):
            raise ValueError(f"{function}({name}={value}): {name} must {words}.")


def check_transformation(function: str = "", /, **values: Any) -> None:
    """Each value is an optax transformation."""
    function = function or caller()
    for name, value in values.items():
        if not (hasattr(value, "init") and hasattr(value, "update")):
            what = getattr(value, "__name__", repr(value))
            raise TypeError(
                f"{function}({name}={what}): {name} must be an optax transformation, such as "
                f"optax.adam(1e-3); an optimizer's constructor has to be called."
            )


def check_arrays(function: str = "", /, **trees: Any) -> None:
    """Each leaf of each tree is an array, the shape of one, or a number."""
    function = function or caller()
    for name, tree in trees.items():
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            dtype = type(leaf) if isinstance(leaf, int | float | complex) else _dtype(leaf)
            if dtype is None or getattr(dtype, "kind", "") in [*"OSUMm"]:  # objects, text, times
                where = jax.tree_util.keystr(path) or "the root"
                raise TypeError(
                    f"{function}({name}=...): the leaf at {where} is {leaf!r}; {name} must be a "
                    f"tree of arrays, of their jax.ShapeDtypeStructs, or of numbers."
                )


def check_params(function: str, argument: str, params: Any) -> None:
    """At update: parameters were given, since `argument` needs them."""
    if params is None:
        raise ValueError(
            f"{function}.update needs params for {argument}; call tx.update(grads, state, params)."
        )


def check_state(function: str, kind: type, state: Any) -> None:
    """Raises unless state is what the wrapper's own init made."""
    if not isinstance(state, kind):
        raise TypeError(
            f"{function}(state={type(state).__name__}): state must be a {kind.__name__}; give what "
            f"this transformation's init made, or what its update gave."
        )


def suggestion(value: Any, allowed: tuple[str, ...]) -> str:
    """The end of a message: the nearest allowed word as "; did you mean 'x'?", or a stop."""
    near = difflib.get_close_matches(str(value), allowed, n=1)
    return f"; did you mean {near[0]!r}?" if near else "."


def _dtype(value: Any) -> Any:
    return getattr(value, "dtype", None)


def _number(function: str, name: str, value: Any) -> bool:
    """Whether value is a Python number to check; scalar arrays pass, all else raises."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return True
    if isinstance(value, jax.Array | np.ndarray):
        if value.ndim == 0:
            return False
        raise ValueError(
            f"{function}({name}=array of shape {value.shape}): {name} must be a scalar; "
            f"to try several values use jax.vmap."
        )
    raise TypeError(f"{function}({name}={value!r}): {name} must be a number or a scalar array.")


def _whole(function: str, name: str, value: Any, least: int) -> None:
    """Raises unless value is an integer of at least `least`; arrays of one integer pass."""
    if isinstance(value, jax.Array) and value.shape == () and value.dtype.kind in "iu":
        return
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{function}({name}={value!r}): {name} must be an integer.")
    if value < least:
        raise ValueError(f"{function}({name}={value}): {name} must be at least {least}.")
