"""factored: of a second moment, the means of its rows and of its columns (Shazeer & Stern, 2018).

    kept: r = mean over columns, c = mean over rows         read as r c / mean(r)

arXiv:1804.04235. Nothing is rounded; what is lost is what rows and columns do not say. First
moments, and arrays of one axis, stay in float32: 4 bytes a parameter of Adam. To keep the first
moments small too, give `stored` a function that names a format for each role.
Unlike the other formats, it reduces over whole axes: where one is sharded, that is a collective.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import divided, mean_over
from adaptive_optax.core.roles import SIGNED
from adaptive_optax.storage.format import Codes, Format, SingleFormat


@dataclasses.dataclass(frozen=True, repr=False)
class Factored(SingleFormat):
    """A row and a column of float32 numbers."""

    name: ClassVar[str] = "factored/1"

    def fits(self, role: str, shape: tuple[int, ...]) -> bool:
        """Whether it is a second moment with rows and columns."""
        return role != SIGNED and len(shape) >= 2 and min(shape[-2:]) > 1

    def encode(self, x: jax.Array, role: str, bits: jax.Array) -> Codes:
        """The means over the last axis, and over the one before it."""
        return Codes(mean_over(x, -1)[..., 0], mean_over(x, -2)[..., 0, :])

    def decode(self, kept: Codes, role: str) -> jax.Array:
        """The products of the means, whose mean is that of the array."""
        rows, columns = kept
        whole = mean_over(rows, -1)
        share = divided(rows, jnp.where(whole > 0, whole, 1.0))
        return share[..., None] * columns[..., None, :]


def factored() -> Format:
    """Row and column means of second moments for `stored`; first moments stay in float32.

    Returns:
      A format of 4 (rows + columns) bytes an array of squares.

    >>> import adaptive_optax as ao, jax, jax.numpy as jnp
    >>> params = jax.ShapeDtypeStruct((4096, 4096), jnp.float32)
    >>> tx = ao.stored(ao.rmsprop(1e-3), ao.factored())
    >>> round(ao.state_bytes(tx, params) / params.size, 3)
    0.002
    """
    return Factored()
