"""Where one narrow parameter goes, and the update that takes it there.

    u = t - p        float32, so that p + u, cast to p's dtype, is t

That is so wherever float32 has such a u. It has, but for two corners: a way of more than 3.4e38,
and a target of less than 2^-16 of p that only a master or a compensation could make out. Then
p + u is what one sum of float32 comes to. Devices that take what is below 2^-126 for 0 get there
too: such a target is 0, and such a step none.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import beside
from adaptive_optax.core.leaves import flat, is_trained, matching
from adaptive_optax.core.lifting import wide_view
from adaptive_optax.storage.hash_bits import mixed, random_bits
from adaptive_optax.storage.stochastic_rounding import by_chance, is_narrow, nearest

MODES = ("stochastic", "kahan", "master")
TINY = float(jnp.finfo(jnp.float32).tiny)
APART = 2**31  # from the numbers of the leaves that `stored` rounds, lest both go up together


def first_kept(mode: str, params: Any) -> Any:
    """What the mode keeps at first, as a tree; None at leaves that are not narrow.

    Raises:
      TypeError: for floats of 8 bits or less.
    """
    leaves, treedef = flat(params)
    for i, p in enumerate(leaves):
        if p is not None and is_trained(p) and p.dtype.itemsize < 2:
            paths = jax.tree_util.tree_flatten_with_path(params, is_leaf=lambda x: x is None)[0]
            where = jax.tree_util.keystr(paths[i][0]) or "the root"
            raise TypeError(
                f"rounded.init: at {where} the parameter is {p.dtype}{list(p.shape)}; narrow ones "
                f"must be bfloat16 or float16; leave others out by optax.masked."
            )
    return jax.tree.unflatten(treedef, [_first(mode, p) for p in leaves])


def kept_leaves(mode: str, treedef: Any, weights: list, compensation: Any, master: Any) -> list:
    """What is kept of each leaf; None where the leaf is not narrow, or nothing is.

    Raises:
      ValueError: where the state is of other parameters.
    """
    kept = compensation if mode == "kahan" else master
    if mode == "stochastic":
        return [None] * len(weights)
    try:
        found = matching(treedef, kept)
        fits = all((k is None) != is_narrow(p) for k, p in zip(found, weights, strict=True))
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            "rounded.update: the state does not fit the parameters; give the state that tx.init "
            "made of parameters of these dtypes and this tree, or the last tx.update returned."
        )
    return found


def wide_param(mode: str, p: Any, kept: Any) -> Any:
    """The parameter for the inner optimizer, with what is known besides its digits."""
    if not is_narrow(p):
        return p
    if mode == "stochastic":
        return wide_view(p)
    return _believed(mode, p, kept)


def landed(mode: str, u: jax.Array, p: jax.Array, kept: Any, count: Any, number: int) -> tuple:
    """The update in float32 that ends on the rounded parameter, and what is kept.

    Args:
      mode: one of `MODES`.
      u: the inner optimizer's update.
      p: the parameter.
      kept: its compensation or master.
      count: number of this update.
      number: of the leaf in its tree.
    """
    return _landed(mode, u.astype(jnp.float32), p, kept, count, jnp.uint32(APART + number))


@functools.partial(jax.jit, static_argnums=0)
def _landed(mode: str, u: Any, p: Any, kept: Any, count: Any, number: jax.Array) -> tuple:
    dtype, wide = p.dtype, _exact(p)
    if mode == "stochastic":
        x = _sum(wide, u, dtype)
        return _way(wide, by_chance(x, dtype, random_bits(u.shape, mixed(count, number)))), None
    if mode == "master":
        x = _sum(_adopted(wide, kept, dtype), u, dtype)
        return _way(wide, nearest(x, dtype)), x
    s = kept.astype(jnp.float32) + u
    x = _sum(wide, s, dtype)
    way = _way(wide, nearest(x, dtype))
    # What is beyond the largest number is gone: kept, it would hold the parameter there.
    left = jnp.where(jnp.abs(x) < float(jnp.finfo(dtype).max), s - way, 0.0)
    return way, by_chance(left, jnp.bfloat16, random_bits(u.shape, mixed(count, number))).astype(
        jnp.bfloat16
    )


@functools.partial(jax.jit, static_argnums=0)
def _believed(mode: str, p: jax.Array, kept: jax.Array) -> jax.Array:
    wide = _exact(p)
    return wide + kept.astype(jnp.float32) if mode == "kahan" else _adopted(wide, kept, p.dtype)


def _exact(p: jax.Array) -> jax.Array:
    """P in float32; rounded, since XLA may give what p was before it was cast."""
    return nearest(p.astype(jnp.float32), p.dtype)


def _adopted(wide: jax.Array, master: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """The master copy; the parameter where it is not what that is rounded to."""
    return jnp.where(jnp.abs(wide - nearest(master, dtype)) < TINY, master, wide)


def _sum(x: jax.Array, u: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """X + u, at most the largest number of dtype where both are finite."""
    largest = float(jnp.finfo(dtype).max)
    total = x + u
    return jnp.where(jnp.isfinite(x) & jnp.isfinite(u), jnp.clip(total, -largest, largest), total)


def _way(p: jax.Array, target: jax.Array) -> jax.Array:
    """The number that takes p to the target; -0.0 where it is there, which keeps p's own sign."""
    largest = float(jnp.finfo(jnp.float32).max)
    target = jnp.where(jnp.abs(target) < TINY, 0.0, target)
    way = target - p
    way = jnp.where(jnp.isfinite(target), jnp.clip(way, -largest, largest), way)
    return jnp.where(jnp.abs(way) < TINY, -0.0, way)


def _first(mode: str, p: Any) -> Any:
    if not is_narrow(p) or mode == "stochastic":
        return None
    if mode == "master":
        return jnp.zeros(p.shape, jnp.float32) if _unknown(p) else jnp.asarray(p, jnp.float32)
    zeros = jnp.zeros_like(p, jnp.bfloat16)
    return zeros if _unknown(p) else beside(jnp.asarray(p), zeros)


def _unknown(p: Any) -> bool:
    """Whether only the shape of p is known."""
    return isinstance(p, jax.ShapeDtypeStruct)
