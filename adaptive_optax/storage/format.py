"""What a format is: how arrays of a state are kept in few bytes."""

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax

from adaptive_optax.core.value import expression

Bits: TypeAlias = tuple[jax.Array, jax.Array]
LONE = "lone"  # the role of a signed slot that no slot of squares follows


class Codes(NamedTuple):
    """What a format keeps in the place of one array."""

    codes: Any  # an integer or narrow float an element; the rows of `factored`
    scales: Any = None  # one a block, or the columns of `factored`; None where there are none


class Format:
    """How arrays are kept. Formats are values: equal ones compare and hash equal."""

    name: ClassVar[str]  # as it is saved, with a version that changes when codes change meaning

    def __repr__(self) -> str:
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return expression(type(self).__name__.lower(), options, {})

    def fits(self, role: str, shape: tuple[int, ...]) -> bool:
        """Whether an array of that role and whole shape can be kept so."""
        return True

    def otherwise(self) -> "Format | None":
        """The format of an array that does not fit; None leaves it in float32."""
        return None


class SingleFormat(Format, abc.ABC):
    """A format that keeps each array by itself."""

    @abc.abstractmethod
    def encode(self, x: jax.Array, role: str, bits: jax.Array) -> Codes:
        """X, float32, rounded by chance.

        Args:
          x: the array.
          role: "signed", "lone" (signed too), "non_negative" or "squares".
          bits: random, uint32, of x's shape.
        """

    @abc.abstractmethod
    def decode(self, kept: Codes, role: str) -> jax.Array:
        """The array that was rounded, float32."""


class PairFormat(Format, abc.ABC):
    """A format that keeps a mean and the mean of its squares in one array."""

    @abc.abstractmethod
    def encode_pair(self, mean: jax.Array, squares: jax.Array, bits: Bits) -> Codes:
        """Both, float32, rounded by chance; bits for each."""

    @abc.abstractmethod
    def decode_pair(self, kept: Codes) -> tuple[jax.Array, jax.Array]:
        """What was rounded, float32."""
