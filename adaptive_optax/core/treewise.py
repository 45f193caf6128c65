"""`treewise`: a rule that needs norms or inner products over the whole tree of parameters.

An update passes over the leaves twice. First every leaf is measured, `measure(g, slots, p, shared,
at) -> scalars`; then `settle(measures, shared, at) -> (shared, at)` makes of all leaves' measures
what the tree shares; then every leaf is updated as in `leafwise`, with what settle gave.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import norm, widest
from adaptive_optax.core.checks import check_params
from adaptive_optax.core.leaves import flat, is_trained
from adaptive_optax.core.lift import (
    Call,
    Lifted,
    Rule,
    Walk,
    first_count,
    first_slots,
    lifted,
    step_of,
    wide_view,
    widened,
)
from adaptive_optax.core.programs import compiled
from adaptive_optax.core.rate import first_rate, next_rate
from adaptive_optax.core.types import Scalar, Schedule


class TreewiseState(NamedTuple):
    """What a treewise transformation remembers."""

    count: Any  # updates done, int32, shape ()
    shared: Any  # the rule's NamedTuple of scalars, one for the whole tree
    slots: Any  # the rule's NamedTuple; every field is a tree shaped like the parameters
    rate: Any = None  # `Rate`; None for a rule that walks by none


class Whole(NamedTuple):
    """What a treewise rule does with the tree as a whole."""

    start: Callable[..., Any]  # list of parameters -> shared
    measure: Callable[..., Any]  # g, slots, p, shared, at -> a NamedTuple of scalars
    settle: Callable[..., Any]  # measures, each of shape (leaves,), shared, at -> shared, at


def treewise(
    slots: type,
    init: Callable[[jax.Array], Any],
    update: Callable[..., tuple[jax.Array, Any]],
    *,
    start: Callable[[list[jax.Array]], Any],
    measure: Callable[..., Any],
    settle: Callable[..., tuple[Any, Any]],
    per_step: Callable[..., Any] | None = None,
    extras: Callable[[Call], Sequence[tuple]] | None = None,
    learning_rate: Scalar | Schedule | None = None,
    name: str | None = None,
) -> Lifted:
    """A rule for one array and a few scalars of the whole tree, as an optax transformation.

    Args:
      slots: NamedTuple class of the arrays that the rule keeps per parameter.
      init: as in `leafwise`.
      update: `update(g, slots, p, at) -> (direction, slots)`, as in `leafwise`; `at` is what
        settle returned second.
      start: `start(leaves) -> shared`, a NamedTuple of float scalars of the widest dtype that jax
        has on, from the trained parameters in the dtype to compute in.
      measure: `measure(g, slots, p, shared, at) -> NamedTuple of scalars` of one leaf.
      settle: `settle(measures, shared, at) -> (shared, at)`, where every field of measures has one
        number a leaf. It combines them (a sum, the norm of norms) into the new shared scalars and
        into what `update` gets.
      per_step: `per_step(count)` gives `at` from the number of this update, 1 at the first; None
        gives the count itself.
      extras: further arguments of update, a tuple a leaf; see `lift.Call`.
      learning_rate: number or schedule that the rule itself walks by; per_step then gets the rate
        of this update after the count.
      name: what errors call the rule; update's own surroundings by default.

    Returns:
      A transformation whose state is `TreewiseState(count, shared, slots)`. It needs params at
      update.

    Raises:
      ValueError: at update, when params are missing, or gradients and parameters differ in
        structure or shape.
    """
    name = name or update.__qualname__.split(".")[0]
    whole = Whole(start, measure, settle)
    rule = Rule(name, slots, init, update, per_step, extras, counted=True, whole=whole)
    return lift(rule._replace(learning_rate=learning_rate, rated=learning_rate is not None))


def lift(rule: Rule) -> Lifted:
    """A rule of this kind as a transformation."""
    step, measure = compiled(step_of(rule.update)), compiled(widened(rule.whole.measure))

    def init(params):
        trained = [_known(wide_view(p)) for p in flat(params)[0] if is_trained(p)]
        shared = rule.whole.start(trained)
        rate = first_rate(rule.learning_rate)
        return TreewiseState(first_count(rule), shared, first_slots(rule, params), rate)

    def update(grads, state, params=None, **extra_args):
        rate = next_rate(state.rate, rule.learning_rate, state.count)
        walk = Walk(rule, (grads, params, extra_args), state, rate)
        count = optax.safe_increment(state.count)
        shared, at = state.shared, count
        if rule.per_step:
            at = rule.per_step(count, *((rate.now,) if rule.rated and rate else ()))
        if walk.moving:
            check_params(rule.name.removeprefix("scale_by_"), "its distances", params)
            each = walk.each(lambda g, slots, p, *_: measure(g, slots, p, shared, at))
            measures = jax.tree.map(lambda *column: jnp.stack([wide(x) for x in column]), *each)
            new, at = rule.whole.settle(measures, shared, at)
            shared = jax.tree.map(lambda after, before: after.astype(before.dtype), new, shared)
        updates, slots = walk.trees(walk.each(step, at))
        return updates, TreewiseState(count, shared, slots, rate)

    return lifted(rule, init, update, lift)


def norm_of_all(norms: list[jax.Array]) -> jax.Array:
    """The norm of all of what has these norms; 0 of nothing."""
    return norm(jnp.stack([wide(x) for x in norms])) if norms else wide(0.0)


def wide(value: Scalar) -> jax.Array:
    """A number as a scalar of the widest dtype that jax has on."""
    return jnp.asarray(value, widest())


def _known(p: Any) -> jax.Array:
    """The parameter; zeros where only its shape is known."""
    return jnp.zeros_like(p) if isinstance(p, jax.ShapeDtypeStruct) else p
