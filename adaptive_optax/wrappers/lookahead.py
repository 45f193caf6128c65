"""Lookahead: k steps forward, one step back (Zhang et al., 2019, arXiv:1907.08610).

    p <- p + u                                  the inner optimizer's step (fast weights)
    every k-th step:
    anchor <- anchor + step_size (p - anchor)   the slow weights, which start as p does
    p <- anchor

One slot a parameter besides the inner state, which "pullback" keeps a second time. When to
use it: over an optimizer that oscillates, or whose rate was hardly tuned; evaluate with the slow
weights, `eval_params(state, params)`. Put it last in a chain, where the update it returns is the
one that is applied. Departures: none.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.anatomy import described
from adaptive_optax.core.arrays import scaled
from adaptive_optax.core.checks import (
    check_choice,
    check_params,
    check_positive,
    check_steps,
    check_transformation,
)
from adaptive_optax.core.leafwise import LeafwiseState, leafwise
from adaptive_optax.core.leaves import cast_like, is_trained
from adaptive_optax.core.rate import Rate
from adaptive_optax.core.types import Scalar, Transformation


class SyncSlots(NamedTuple):
    """What the sync of fast and slow weights remembers."""

    anchor: Any  # slow weights


class LookaheadState(NamedTuple):
    """What Lookahead remembers."""

    count: Any  # inner steps done, int32, shape ()
    anchor: Any  # slow weights, float32 or wider; a tree shaped like the parameters
    inner_state: Any
    inner_anchor: Any  # inner_state after the last sync, for "pullback"; else None

    def eval_params(self, params: Any) -> Any:
        """The slow weights in the dtypes of params; params where there are none."""
        return cast_like(self.anchor, params)


def lookahead(
    inner: optax.GradientTransformation,
    every: int = 5,
    step_size: Scalar = 0.5,
    *,
    at_sync: str = "keep",
) -> Transformation:
    """Lookahead over any optimizer, with the slow weights in its state.

    Args:
      inner: a transformation whose updates are added to the parameters.
      every: inner steps from one sync to the next, at least 1; the paper's k.
      step_size: share of the way that the slow weights go, in (0, 1]; the paper's alpha.
      at_sync: what becomes of the inner state: "keep" it; "reset" it to its start, counts too;
        "pullback" its floats to between their values at the last sync and now, by step_size.

    Returns:
      A transformation that needs params at update. It forwards extra arguments.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = lookahead(ao.sgd(1.0), every=2, step_size=0.5)
    >>> params = jnp.array(4.0)
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     updates, state = tx.update(jnp.array(1.0), state, params)
    ...     params = params + updates
    >>> float(params)
    3.0
    """
    check_transformation("lookahead", inner=inner)
    check_steps("lookahead", every=every)
    check_positive("lookahead", step_size=step_size)
    if isinstance(step_size, int | float) and step_size > 1:
        raise ValueError(f"lookahead(step_size={step_size}): step_size must lie in (0, 1].")
    check_choice("lookahead", ("keep", "reset", "pullback"), at_sync=at_sync)
    inner = optax.with_extra_args_support(inner)

    def start(p):
        return SyncSlots(anchor=p)

    def step(u, slots, p, count):
        check_params("lookahead", "its slow weights", p)
        fast = p + u
        back = scaled(fast - slots.anchor, 1 - step_size)  # 0 for step_size 1: u stays u exactly
        due = count % every == 0
        anchor = jnp.where(due, fast - back, slots.anchor)
        return jnp.where(due, u - back, u), SyncSlots(anchor)

    sync = leafwise(SyncSlots, start, step)

    def init(params):
        synced, inner_state = sync.init(params), inner.init(params)
        copied = jax.tree.map(jnp.copy, inner_state) if at_sync == "pullback" else None
        return LookaheadState(synced.count, synced.slots.anchor, inner_state, copied)

    def update(grads, state, params=None, **extra_args):
        updates, inner_state = inner.update(grads, state.inner_state, params, **extra_args)
        before = LeafwiseState(state.count, SyncSlots(state.anchor))
        updates, synced = sync.update(updates, before, params)
        due = synced.count % every == 0
        inner_anchor = state.inner_anchor
        if at_sync == "reset":
            fresh = inner.init(optax.apply_updates(params, updates))
            inner_state = _choose(due, fresh, inner_state)
        elif at_sync == "pullback":
            between = jax.tree.map(
                lambda old, new: _between(old, new, step_size), inner_anchor, inner_state
            )
            inner_state = _choose(due, between, inner_state)
            inner_anchor = _choose(due, inner_state, inner_anchor)
        return updates, LookaheadState(synced.count, synced.slots.anchor, inner_state, inner_anchor)

    tx = optax.GradientTransformationExtraArgs(init, update)
    options = {"every": every, "step_size": step_size, "at_sync": at_sync}
    return described(tx, "lookahead", options=options, members={"inner": inner})


def _between(old: jax.Array, new: jax.Array, share: Scalar) -> jax.Array:
    """Floats that share of the way from old to new; anything else, such as a count, is new."""
    return new - scaled(new - old, 1 - share) if is_trained(new) else new


def _choose(condition: jax.Array, yes: Any, no: Any) -> Any:
    """One state or the other, but always the second's learning rates, which may have been set."""

    def either(a, b):
        return b if isinstance(b, Rate) else jnp.where(condition, a, b)

    return jax.tree.map(either, yes, no, is_leaf=lambda x: isinstance(x, Rate))
