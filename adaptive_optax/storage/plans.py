"""How each slot of a state is kept, and the state from its numbers to its codes and back."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.leaves import matching
from adaptive_optax.storage.format import Codes, Format
from adaptive_optax.storage.noise import random_bits
from adaptive_optax.storage.registry import slots_of, with_slots

SMALL = 2**14  # elements of a whole array under which it stays as it is
Choice = Callable[..., Format | None]


class Plan(NamedTuple):
    """How one slot is kept."""

    role: str
    kinds: tuple[Format | None, ...]  # the format of each leaf; None where it stays as it is


def plans_for(choice: Format | Choice, state: Any) -> list[Plan]:
    """The plan of each slot of an inner state, from its shapes."""
    plans = []
    for role, tree in slots_of(state):
        leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
        plans.append(Plan(role, tuple(_chosen(choice, role, path, x) for path, x in leaves)))
    return plans


def decoded(plans: Sequence[Plan], state: Any, scales: Sequence[Any]) -> Any:
    """An inner state with float32 numbers for its codes."""
    trees = []
    for plan, slot, beside in zip(plans, slots_of(state), scales, strict=True):
        codes, treedef = jax.tree.flatten(slot.tree)
        rows = zip(plan.kinds, codes, matching(treedef, beside), strict=True)
        leaves = [
            x if kind is None else _decode(kind, plan.role, Codes(x, scale))
            for kind, x, scale in rows
        ]
        trees.append(jax.tree.unflatten(treedef, leaves))
    return with_slots(state, trees)


def encoded(plans: Sequence[Plan], state: Any, step: jax.Array | None) -> tuple[Any, tuple]:
    """An inner state with codes for its numbers, and what is kept beside them, a tree a slot.

    Args:
      plans: of the state.
      state: with numbers in its slots.
      step: the number of the update, to round by chance; None rounds to the nearest.
    """
    codes, scales, number = [], [], 0
    for plan, slot in zip(plans, slots_of(state), strict=True):
        leaves, treedef = jax.tree.flatten(slot.tree)
        kept = []
        for kind, x in zip(plan.kinds, leaves, strict=True):
            kept.append(Codes(x) if kind is None else _encode(kind, plan.role, x, step, number))
            number += 1
        codes.append(jax.tree.unflatten(treedef, [each.codes for each in kept]))
        scales.append(jax.tree.unflatten(treedef, [each.scales for each in kept]))
    return with_slots(state, codes), tuple(scales)


def _chosen(choice: Format | Choice, role: str, path: Any, leaf: Any) -> Format | None:
    """The format of one leaf; None where it stays as it is."""
    shape, dtype = tuple(leaf.shape), jnp.dtype(leaf.dtype)
    if leaf.size < SMALL or not jnp.issubdtype(dtype, jnp.floating) or dtype.itemsize > 4:
        return None
    kind = choice if isinstance(choice, Format) else _asked(choice, path, role, shape, dtype)
    while kind is not None and not kind.fits(role, shape):
        kind = kind.otherwise()
    return kind


def _asked(choice: Choice, path: Any, role: str, shape: Any, dtype: Any) -> Format | None:
    """What the user's function says of one leaf."""
    where = jax.tree_util.keystr(path, simple=True, separator="/")
    kind = choice(where, role, shape, dtype)
    if kind is None or isinstance(kind, Format):
        return kind
    raise TypeError(
        f"stored(format=...): the function gave {kind!r} for {where!r}; it must give a format, "
        f"such as ao.minifloat8(), or None."
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _decode(kind: Format, role: str, kept: Codes) -> jax.Array:
    return kind.decode(kept, role)


def _encode(kind: Format, role: str, x: jax.Array, step: Any, number: int) -> Codes:
    if step is None:
        return _nearest(kind, role, x)
    return _rounded(kind, role, x, step, jnp.uint32(number))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _rounded(kind: Format, role: str, x: jax.Array, step: jax.Array, number: jax.Array) -> Codes:
    """Rounded by chance; a jitted function, so that equal leaves are traced once."""
    return kind.encode(x.astype(jnp.float32), role, random_bits(x.shape, step, number))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _nearest(kind: Format, role: str, x: jax.Array) -> Codes:
    middle = jnp.full(x.shape, 2**31 - 1, jnp.uint32)
    return kind.encode(x.astype(jnp.float32), role, middle)
