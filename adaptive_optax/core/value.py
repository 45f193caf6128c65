"""`Value`: frozen dataclasses that are equal where their fields are, and the keys behind that.

Rules, wrappers and calls are values. A value splits into a static part, which keys a compiled
program, and its arrays, which are arguments of that program.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Hashable, Iterable
from typing import Annotated, Any, Literal, NamedTuple, Self, Union, cast, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adaptive_optax.core.checks import called, caller, check_choice, check_flag


@dataclass_transform(frozen_default=True)
class Value:
    """Base class of frozen dataclasses; subclasses need no decorator.

    When a value is built, each option is checked as its type says (`Fraction`, `AtLeastZero`,
    `Steps`, `bool`, `Literal[...]`, each perhaps `| None`), and then `check()` runs. Two values are
    equal if they have the same class and equal fields: 0.0 and -0.0, or 1 and 1.0, are different,
    NaN equals itself, arrays are compared bit by bit, and functions are equal if they are the same
    object.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)

    def __post_init__(self) -> None:
        with called(caller() or type(self).__name__):
            for name, check, optional in _field_checks(type(self)):  # type: ignore[arg-type]  # a class is hashable
                value = getattr(self, name)
                if not (optional and value is None):
                    check(**{name: value})
            self.check()

    def check(self) -> None:
        """Raise for options that do not fit together."""

    def fields(self) -> dict[str, Any]:
        """The options by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def replace(self, **changes: Any) -> Self:
        """The same value with other options."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    @functools.cached_property
    def key(self) -> Hashable:
        """What equality and hash come from."""
        return type(self), tuple(key_of(value) for value in self.fields().values())

    @functools.cached_property
    def static(self) -> "Static":
        """The value without its arrays."""
        places: list[Any] = []
        fields = {name: _without_arrays(value, places) for name, value in self.fields().items()}
        return Static(type(self), fields, None if places else self)

    @functools.cached_property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays among the options, in the order in which `static` leaves them out."""
        places: list[Any] = []
        for value in self.fields().values():
            _without_arrays(value, places)
        return tuple(places)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Value) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return expression(type(self).__name__, self.fields(), _defaults(type(self)))

    def __getstate__(self) -> dict[str, Any]:
        return self.fields()


class Static:
    """A value without its arrays: the static argument of a compiled program."""

    __slots__ = ("_fields", "_hash", "_key", "_kind", "_whole")

    def __init__(self, kind: type, fields: dict[str, Any], whole: Any):
        """Keep what is hashable.

        Args:
          kind: class of the value.
          fields: its options, with a `_Hole` in place of each array.
          whole: the value itself if it has no arrays, else None.
        """
        self._kind, self._fields, self._whole = kind, fields, whole
        self._key = (kind, tuple(key_of(value) for value in fields.values()))
        self._hash = hash(self._key)

    def joined(self, arrays: tuple[Any, ...]) -> Any:
        """The value with these arrays in it; its options are not checked again."""
        if self._whole is not None:
            return self._whole
        value: Any = object.__new__(self._kind)
        for name, option in self._fields.items():
            object.__setattr__(value, name, _with_arrays(option, arrays))
        return value

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Static) and self._hash == other._hash and self._key == other._key
        )

    def __hash__(self) -> int:
        return self._hash


class _Hole(NamedTuple):
    """The place of an array in a static value."""

    number: int


class _Same:
    """A key for a value that equals itself only."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class _Bits:
    """A key for an array: equal if shape, dtype and bits are; a tracer equals itself only."""

    def __init__(self, array: Any):
        self.array = array

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Bits):
            return False
        a, b = self.array, other.array
        if a is b:
            return True
        if any(isinstance(x, jax.core.Tracer) for x in (a, b)) or hash(self) != hash(other):
            return False
        return np.asarray(a).tobytes() == np.asarray(b).tobytes()

    def __hash__(self) -> int:
        return hash((self.array.shape, str(self.array.dtype)))


def is_array(x: Any) -> bool:
    """Whether x is an array of jax or NumPy; may be traced."""
    return isinstance(x, jax.Array | np.ndarray)


def key_of(x: Any) -> Hashable:
    """A hashable key that is equal for options that compute the same."""
    if is_array(x):
        return _Bits(x)
    if x is None or isinstance(x, bool | int | float | complex | str | bytes):
        return type(x), repr(x)
    if type(x) in (list, tuple):
        return type(x), tuple(map(key_of, x))
    if type(x) is dict:
        return dict, tuple((name, key_of(value)) for name, value in x.items())
    try:
        hash(x)
    except TypeError:
        return _Same(x)
    return cast(Hashable, x)


def kept(x: Any) -> Any:
    """An option as it is now: containers and NumPy arrays are copied, since users change them."""
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, np.ndarray):
        return x.copy()
    if type(x) in (list, tuple):
        return type(x)(map(kept, x))
    if type(x) is dict:
        return {name: kept(value) for name, value in x.items()}
    return x


def expression(name: str, arguments: dict[str, Any], defaults: dict[str, Any]) -> str:
    """A call as text, without the arguments that have their default."""
    words = [
        f"{argument}={shown(value)}"
        for argument, value in arguments.items()
        if argument not in defaults or key_of(value) != key_of(defaults[argument])
    ]
    return f"{name}({', '.join(words)})"


def shown(x: Any) -> str:
    """An option as text that evaluates to it, with the public names of `ao` and `jnp` in scope."""
    if isinstance(x, jax.core.Tracer):
        return f"<traced {x.aval.str_short()}>"
    if is_array(x):
        values = np.asarray(x)
        numbers = values if jnp.issubdtype(values.dtype, np.number) else values.astype(bool)
        wide = numbers.astype(np.float64) if numbers.dtype.kind == "V" else numbers
        return f"jnp.array({wide.tolist()!r}, dtype='{values.dtype}')"
    if type(x) is tuple:
        return f"({', '.join(map(shown, x))}{',' * (len(x) == 1)})"
    if type(x) is list:
        return f"[{', '.join(map(shown, x))}]"
    if type(x) is dict:
        return f"{{{', '.join(f'{shown(k)}: {shown(v)}' for k, v in x.items())}}}"
    if hasattr(x, "expression"):  # a schedule, which is not a name of `ao` itself
        return str(x.expression)
    if isinstance(x, optax.GradientTransformation) and not hasattr(x, "body"):
        update = getattr(x.update, "__qualname__", type(x.update).__name__)
        module = getattr(x.update, "__module__", None) or ""
        return f"<{module.partition('.')[0]}.{update.partition('.<locals>')[0]}>"
    if callable(x) and hasattr(x, "__qualname__"):
        return f"<function {x.__qualname__}>"
    return repr(x)


@functools.cache
def _field_checks(kind: type) -> list[tuple[str, Callable[..., None], bool]]:
    """The name and the check of each field whose type has one, and whether it may be None."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else ()
        choices = choices or (typing.get_args(hint) if typing.get_origin(hint) is Union else ())
        optional = type(None) in choices
        if optional and len(choices) == 2:
            (hint,) = (each for each in choices if each is not type(None))
        if hint is bool:
            found.append((field.name, check_flag, optional))
        elif typing.get_origin(hint) is Literal:
            check = functools.partial(check_choice, typing.get_args(hint))
            found.append((field.name, check, optional))
        elif typing.get_origin(hint) is Annotated and callable(hint.__metadata__[0]):
            found.append((field.name, hint.__metadata__[0], optional))
    return found


def _defaults(kind: type) -> dict[str, Any]:
    fields: Iterable[dataclasses.Field[Any]] = dataclasses.fields(kind)
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def _without_arrays(x: Any, found: list[Any]) -> Any:
    """An option with a hole for each array in it; the arrays go to the end of `found`."""

    def take(array: Any) -> _Hole:
        found.append(array)
        return _Hole(len(found) - 1)

    return _mapped(is_array, take, x)


def _with_arrays(x: Any, arrays: tuple[Any, ...]) -> Any:
    return _mapped(lambda y: isinstance(y, _Hole), lambda hole: arrays[hole.number], x)


def _mapped(picks: Callable[[Any], bool], function: Callable[[Any], Any], x: Any) -> Any:
    if picks(x):
        return function(x)
    if type(x) in (list, tuple):
        return type(x)(_mapped(picks, function, y) for y in x)
    if type(x) is dict:
        return {name: _mapped(picks, function, y) for name, y in x.items()}
    return x
