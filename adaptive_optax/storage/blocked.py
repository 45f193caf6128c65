"""Formats whose numbers share a power of two in blocks along the last axis."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from adaptive_optax.core.roles import SIGNED
from adaptive_optax.storage.blocks import by_power, over_power, powers, stored_powers
from adaptive_optax.storage.format import LONE, Codes, SingleFormat
from adaptive_optax.storage.grid import Grid
from adaptive_optax.storage.quadratic import Quadratic
from adaptive_optax.storage.signs import signed, with_sign

_WITH_SIGN = (SIGNED, LONE)


@dataclasses.dataclass(frozen=True, repr=False)
class Blocked(SingleFormat):
    """Codes of a few bits, and a byte a block."""

    block: int
    width: ClassVar[int]  # bits of a code
    grids: ClassVar[Mapping[str, Grid | Quadratic]]  # by role; of what has a sign, of its modulus

    def fits(self, role: str, shape: tuple[int, ...]) -> bool:
        """Whether blocks divide the last axis."""
        return len(shape) > 0 and shape[-1] > 0 and shape[-1] % self.block == 0

    def encode(self, x: jax.Array, role: str, bits: jax.Array) -> Codes:
        """X in codes and the exponents of its blocks."""
        grid, modulus = self.grids[role], jnp.abs(x) if role in _WITH_SIGN else x
        power = powers(modulus, self.block, grid.largest)
        code = grid.encode(modulus * over_power(power, self.block), bits)
        code = with_sign(code, x, self.width) if role in _WITH_SIGN else code
        return Codes(self.packed(code), stored_powers(power))

    def decode(self, kept: Codes, role: str) -> jax.Array:
        """The float32 numbers of the codes."""
        code, power = self.unpacked(kept.codes), by_power(kept.scales, self.block)
        if role not in _WITH_SIGN:
            return self.grids[role].decode(code) * power
        modulus = code & jnp.uint32(2 ** (self.width - 1) - 1)
        return signed(self.grids[role].decode(modulus) * power, code, self.width)

    @abc.abstractmethod
    def packed(self, code: jax.Array) -> jax.Array:
        """Codes, uint32, in bytes."""

    @abc.abstractmethod
    def unpacked(self, codes: jax.Array) -> jax.Array:
        """The codes of the bytes, uint32."""
