"""What is not finite in an update: gradients, updates, parameters after them, inner state.

Arrays of one shape are looked at together, in one pass for a gradient, its update and its slots.
XLA would fuse the flag over all leaves into each leaf's kernel, in a compile time that grows with
the square of their number; a sort prevents this.
"""

import enum
import functools
import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.leaves import flat, is_trained, matching


class Reason(enum.IntEnum):
    """Why a step is refused; the largest one that holds counts. 0 is none."""

    STATE = 1
    UPDATE = 2
    NORM = 3
    LOSS = 4
    GRADIENT = 5


class Look(NamedTuple):
    """Arrays of one shape, to be looked at together."""

    gradients: list[Any]
    updates: list[tuple[Any, Any]]  # and their parameters, or None
    states: list[tuple[Any, Any]]  # before, after


def reasons(grads: Any, updates: Any, params: Any, before: Any, after: Any) -> list[jax.Array]:
    """The worst `Reason` in each group of arrays, a float32 of shape (); 0 if there is none.

    Args:
      grads: what the transformation was given.
      updates: what it gave.
      params: that the updates are added to, or None.
      before: its state.
      after: its state with this update. What was not finite before may stay so.
    """
    found, treedef = flat(updates)
    weights = [w if is_trained(w) else None for w in _arrays(matching(treedef, params))]
    moves = [(u, p) for u, p in zip(found, weights, strict=True) if is_trained(u)]
    old, treedef = flat(before)
    new = _arrays(matching(treedef, after))
    states = [(a, b) for a, b in zip(old, new, strict=True) if is_trained(b) and b is not a]
    looks: dict[Any, list[Look]] = {}
    for place, x in _placed([g for g in flat(grads)[0] if is_trained(g)]):
        looks.setdefault(place, []).append(Look([x], [], []))
    used: dict[Any, int] = {}
    for place, pair in _placed(moves):
        _next(looks, used, place, more=False).updates.append(pair)
    used = {}
    more = {place for place, _ in _placed(states)}.difference(looks)  # of no leaf's shape
    for place, pair in _placed(states):
        _next(looks, used, place, more=place in more).states.append(pair)
    return [_fault(*look) for each in looks.values() for look in each]


def worst(each: list[jax.Array]) -> jax.Array:
    """The largest of several scalars, at least 0."""
    return jnp.sort(jnp.stack([x.astype(jnp.float32) for x in (jnp.zeros(()), *each)]))[-1]


def _arrays(leaves: list[Any]) -> list[Any]:
    return flat(leaves)[0]


def _placed(found: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Each array, or pair of them, with its shape and how it is known to be sharded."""
    types = [jax.typeof(x[0] if isinstance(x, tuple) else x) for x in found]
    return [((t.shape, t.sharding), x) for t, x in zip(types, found, strict=True)]


def _next(looks: dict[Any, list[Look]], used: dict[Any, int], place: Any, more: bool) -> Look:
    """The look that comes next in turn, so that a leaf's slots come to that leaf; or a new one."""
    own = looks.setdefault(place, [])
    number = used[place] = used.get(place, -1) + 1
    if more or not own:
        own.append(Look([], [], []))
        return own[-1]
    return own[number % len(own)]


@jax.jit
def _fault(gradients: list[Any], updates: list[Any], states: list[Any]) -> jax.Array:
    held = [jnp.isfinite(g) for g in gradients]
    moved = [_arrives(u, p) for u, p in updates]
    kept = [jnp.isfinite(new) | ~jnp.isfinite(old) for old, new in states]
    found: Any = 0.0
    for number, sound in (
        (Reason.STATE, kept),
        (Reason.UPDATE, moved),
        (Reason.GRADIENT, held),
    ):
        if sound:
            found = jnp.where(functools.reduce(operator.and_, sound), found, float(number))
    return jnp.max(found.astype(jnp.float32), initial=0.0)


def _arrives(u: jax.Array, p: Any) -> jax.Array:
    """Whether an update is finite, and a parameter that was finite is within its range after it."""
    if p is None:
        return jnp.isfinite(u)
    after, most = p + u.astype(p.dtype), jnp.finfo(p.dtype).max  # a compiler may compute it wider
    within = jnp.abs(after.real) <= most
    if jnp.iscomplexobj(after):
        within = within & (jnp.abs(after.imag) <= most)
    return jnp.isfinite(u) & (within | ~jnp.isfinite(p))
