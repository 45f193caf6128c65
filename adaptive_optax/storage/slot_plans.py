"""How each slot of a state is kept, and the state from its numbers to its codes and back."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.leaves import flat, is_none, matching
from adaptive_optax.core.roles import NON_NEGATIVE, SIGNED, SQUARES
from adaptive_optax.storage.bfloat16 import Bfloat16
from adaptive_optax.storage.format import LONE, Bits, Codes, Format, PairFormat, SingleFormat
from adaptive_optax.storage.hash_bits import Seed, random_bits, seeds
from adaptive_optax.storage.int8 import Int8
from adaptive_optax.storage.minifloat_grid import MANTISSA
from adaptive_optax.storage.registry import slots_of, with_slots

SMALL = 2**14  # elements of a whole array under which it stays as it is
NEAREST = 2**31 - 1  # bits that round to the nearest
ALONE = (Int8(32), Bfloat16())  # of an array whose format is for pairs, and that has no other
Choice = Callable[..., Format | None]


class Plan(NamedTuple):
    """How one slot is kept."""

    role: str
    kinds: tuple[Format | None, ...]  # the format of each leaf; None where it stays as it is


def plans_for(choice: Format | Choice, state: Any) -> list[Plan]:
    """The plan of each slot of an inner state, from its shapes."""
    slots, leaves = slots_of(state), []
    for slot in slots:
        leaves.append(jax.tree_util.tree_flatten_with_path(slot.tree, is_leaf=is_none)[0])
    plans = [
        Plan(role, tuple(_chosen(choice, role, path, x) for path, x in row))
        for (role, _), row in zip(slots, leaves, strict=True)
    ]
    joined = _joined(plans)

    def kept(i, j, kind):
        if not isinstance(kind, PairFormat) or {(i, j), (i + 1, j)} & joined:
            return kind
        role, shape = slots[i].role, tuple(leaves[i][j][1].shape)
        return next(each for each in ALONE if each.fits(role, shape))

    following = [*(plan.role for plan in plans[1:]), SIGNED]
    return [
        Plan(
            LONE if role == SIGNED == following[i] else role,
            tuple(kept(i, j, kind) for j, kind in enumerate(kinds)),
        )
        for i, (role, kinds) in enumerate(plans)
    ]


def decoded(plans: Sequence[Plan], state: Any, scales: Sequence[Any]) -> Any:
    """An inner state with float32 numbers for its codes."""
    table, treedefs = _table(state)
    joined = _joined(plans)
    for i, plan in enumerate(plans):
        beside = matching(treedefs[i], scales[i])
        for j, kind in enumerate(plan.kinds):
            if (i, j) in joined:
                table[i - 1][j], table[i][j] = _decode_pair(kind, Codes(table[i - 1][j]))
            elif kind is not None and (i + 1, j) not in joined:
                table[i][j] = _decode(kind, plan.role, Codes(table[i][j], beside[j]))
    return with_slots(state, map(jax.tree.unflatten, treedefs, table))


def encoded(plans: Sequence[Plan], state: Any, step: jax.Array | None) -> tuple[Any, tuple]:
    """An inner state with codes for its numbers, and what is kept beside them, a tree a slot.

    Args:
      plans: of the state.
      state: with numbers in its slots.
      step: the number of the update, to round by chance; None rounds to the nearest.
    """
    table, treedefs = _table(state)
    joined = _joined(plans)
    chance = [None] if step is None else seeds(step)
    kept = [[Codes(x) for x in row] for row in table]
    for i, plan in enumerate(plans):
        for j, kind in enumerate(plan.kinds):
            seed = chance[(2 * j + i % 2) % len(chance)]
            if (i, j) in joined:
                kept[i][j] = Codes(None)
            elif (i + 1, j) in joined:
                kept[i][j] = _encode_pair(kind, table[i][j], table[i + 1][j], seed)
            elif kind is not None:
                kept[i][j] = _encode(kind, plan.role, table[i][j], seed)
    codes, scales = (
        [
            jax.tree.unflatten(treedef, [each[part] for each in row])
            for treedef, row in zip(treedefs, kept, strict=True)
        ]
        for part in range(2)
    )
    return with_slots(state, codes), tuple(scales)


def lengths(state: Any) -> list[int]:
    """How many leaves each slot of a state has, None included."""
    return [len(row) for row in _table(state)[0]]


def _table(state: Any) -> tuple[list[list[Any]], list[Any]]:
    """The leaves of each slot, None included, and the structure of each."""
    found = [flat(slot.tree) for slot in slots_of(state)]
    return [leaves for leaves, _ in found], [treedef for _, treedef in found]


def _joined(plans: Sequence[Plan]) -> set[tuple[int, int]]:
    """The leaves of squares, by slot and leaf, that share an array with the slot before."""
    found = set()
    for i in range(1, len(plans)):
        mean, squares = plans[i - 1], plans[i]
        if mean.role == SIGNED and squares.role == SQUARES:
            both = enumerate(zip(mean.kinds, squares.kinds, strict=True))
            found |= {
                (i, j) for j, (one, two) in both if isinstance(one, PairFormat) and one == two
            }
    return found


def _chosen(choice: Format | Choice, role: str, path: Any, leaf: Any) -> Format | None:
    """The format of one leaf; None where it stays as it is."""
    if leaf is None or leaf.size < SMALL:
        return None
    shape, dtype = tuple(leaf.shape), jnp.dtype(leaf.dtype)
    if not jnp.issubdtype(dtype, jnp.floating) or dtype.itemsize > 4:
        return None
    kind = choice if isinstance(choice, Format) else _asked(choice, path, role, shape, dtype)
    while kind is not None and not kind.fits(role, shape):
        kind = kind.otherwise()
    return kind


def _asked(choice: Choice, path: Any, role: str, shape: Any, dtype: Any) -> Format | None:
    """What the user's function says of one leaf."""
    where = jax.tree_util.keystr(path, simple=True, separator="/")
    kind = choice(where, NON_NEGATIVE if role == SQUARES else role, shape, dtype)
    if kind is None or isinstance(kind, Format):
        return kind
    raise TypeError(
        f"stored(format=...): the function gave {kind!r} for {where!r}; it must give a format, "
        f"such as ao.minifloat8(), or None."
    )


# Jitted functions, so that equal leaves are traced once, and an eager update is one program a leaf.


@functools.partial(jax.jit, static_argnums=(0, 1))
def _decode(kind: SingleFormat, role: str, kept: Codes) -> jax.Array:
    return kind.decode(kept, role)


@functools.partial(jax.jit, static_argnums=0)
def _decode_pair(kind: PairFormat, kept: Codes) -> tuple[jax.Array, jax.Array]:
    return kind.decode_pair(kept)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _encode(kind: SingleFormat, role: str, x: jax.Array, seed: Seed | None) -> Codes:
    return kind.encode(x.astype(jnp.float32), role, _bits(x.shape, seed)[1])


@functools.partial(jax.jit, static_argnums=0)
def _encode_pair(kind: PairFormat, mean: jax.Array, squares: jax.Array, seed: Seed | None) -> Codes:
    bits = _bits(mean.shape, seed)
    return kind.encode_pair(mean.astype(jnp.float32), squares.astype(jnp.float32), bits)


def _bits(shape: tuple[int, ...], seed: Seed | None) -> Bits:
    """Bits for two arrays: those of the second, moved up, serve the first."""
    if seed is None:
        return (jnp.full(shape, NEAREST, jnp.uint32),) * 2
    bits = random_bits(shape, seed.mixed) ^ seed.opposite
    return bits << jnp.uint32(32 - MANTISSA), bits
