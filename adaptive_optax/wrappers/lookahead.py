"""Lookahead: k steps forward, one step back (Zhang et al., 2019, arXiv:1907.08610).

    p <- p + u                                  the inner optimizer's step (fast weights)
    every k-th step:
    anchor <- anchor + step_size (p - anchor)   the slow weights, which start as p does
    p <- anchor

One slot per parameter besides the inner state, which "pullback" keeps a second time. When to
use it: over an optimizer that oscillates, or whose rate was hardly tuned; evaluate with the slow
weights, `eval_params(state, params)`. Put it last in a chain, where the update it returns is the
one that is applied. Departures: none.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import scaled
from adaptive_optax.core.checks import (
    caller,
    check_params,
    check_transformation,
)
from adaptive_optax.core.leaves import cast_like, is_trained
from adaptive_optax.core.map_leaves import copies, map_leaves
from adaptive_optax.core.rate import Rate
from adaptive_optax.core.transformation import Body, Transformation, constructor
from adaptive_optax.core.types import AboveZero, Scalar, Steps


class LookaheadState(NamedTuple):
    """What Lookahead remembers."""

    count: Any  # inner steps done, int32, shape ()
    anchor: Any  # slow weights, float32 or wider; a tree shaped like the parameters
    inner_state: Any
    inner_anchor: Any  # inner_state after the last sync, for "pullback"; else None

    def eval_params(self, params: Any) -> Any:
        """The slow weights in the dtypes of params; params where there are none."""
        return cast_like(self.anchor, params)


@constructor
def lookahead(
    inner: optax.GradientTransformation,
    every: int = 5,
    step_size: Scalar = 0.5,
    *,
    at_sync: Literal["keep", "reset", "pullback"] = "keep",
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
    check_transformation(inner=inner)
    wrapped = optax.with_extra_args_support(inner)
    return Lookahead(wrapped, every, step_size, at_sync).transformation()


class Lookahead(Body):
    """Lookahead over an optimizer."""

    inner: optax.GradientTransformationExtraArgs
    every: Steps
    step_size: AboveZero
    at_sync: Literal["keep", "reset", "pullback"]

    keeps_parameters = True
    passes_gradients = True

    def check(self) -> None:
        if isinstance(self.step_size, int | float) and self.step_size > 1:
            raise ValueError(
                f"{caller()}(step_size={self.step_size}): step_size must lie in (0, 1]."
            )

    def init(self, params: Any) -> LookaheadState:
        inner_state = self.inner.init(params)
        copied = jax.tree.map(jnp.copy, inner_state) if self.at_sync == "pullback" else None
        return LookaheadState(jnp.zeros((), jnp.int32), copies(params), inner_state, copied)

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, LookaheadState]:
        updates, inner_state = self.inner.update(grads, state.inner_state, params, **extra_args)
        count = optax.safe_increment(state.count)
        due = count % self.every == 0
        shared = (due, 1 - self.step_size)
        updates, anchor = map_leaves(
            self.name, _synced, updates, params, state.anchor, shared=shared, keeps=1
        )
        inner_anchor = state.inner_anchor
        if self.at_sync == "reset":
            fresh = self.inner.init(optax.apply_updates(params, updates))
            inner_state = _choose(due, fresh, inner_state)
        elif self.at_sync == "pullback":
            between = jax.tree.map(
                lambda old, new: _between(old, new, self.step_size), inner_anchor, inner_state
            )
            inner_state = _choose(due, between, inner_state)
            inner_anchor = _choose(due, inner_state, inner_anchor)
        return updates, LookaheadState(count, anchor, inner_state, inner_anchor)


def _synced(
    u: jax.Array, p: Any, anchor: jax.Array, due: jax.Array, back_share: Scalar
) -> tuple[jax.Array, jax.Array]:
    """The update, at a sync to the new slow weights, and the slow weights."""
    if p is None:
        check_params("lookahead", "its slow weights", p)
    fast = p + u
    back = scaled(fast - anchor, back_share)  # 0 for step_size 1: u stays u exactly
    return jnp.where(due, u - back, u), jnp.where(due, fast - back, anchor)


def _between(old: jax.Array, new: jax.Array, share: Scalar) -> jax.Array:
    """Floats that share of the way from old to new; anything else, such as a count, is new."""
    return new - scaled(new - old, 1 - share) if is_trained(new) else new


def _choose(condition: jax.Array, yes: Any, no: Any) -> Any:
    """Select a state, but keep the learning rates of the second: the user may have set them."""

    def either(a: Any, b: Any) -> Any:
        return b if isinstance(b, Rate) else jnp.where(condition, a, b)

    return jax.tree.map(either, yes, no, is_leaf=lambda x: isinstance(x, Rate))
