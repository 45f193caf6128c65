"""`leafwise`: a rule for one array, lifted to trees of parameters.

A rule is `init(p) -> slots` and `update(g, slots, p, count) -> (direction, slots)`, where slots is
a NamedTuple of arrays. What trees, dtypes, odd leaves and sharding need is in `lift`, once.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from adaptive_optax.core.checks import check_function
from adaptive_optax.core.lift import (
    Lifted,
    Rule,
    Walk,
    first_count,
    first_slots,
    lifted,
    step_of,
)
from adaptive_optax.core.programs import compiled
from adaptive_optax.core.rate import first_rate, next_rate


class LeafwiseState(NamedTuple):
    """What a leafwise transformation remembers."""

    count: Any  # updates done, int32, shape (); None where nothing reads it
    slots: Any  # the rule's NamedTuple; every field is a tree shaped like the parameters
    rate: Any = None  # `Rate`; None for a rule that walks by none


def _count(count: jax.Array) -> jax.Array:
    return count


def leafwise(
    slots: type,
    init: Callable[..., Any],
    update: Callable[..., tuple[jax.Array, Any]],
    *,
    per_step: Callable[[jax.Array], Any] | None = _count,
    waits: Callable[[Any], jax.Array] | None = None,
    labels: Callable[[Any], list[Any]] | None = None,
) -> Lifted:
    """A rule for one array as an optax transformation of trees.

    Args:
      slots: NamedTuple class of the arrays that the rule keeps per parameter.
      init: `init(p) -> slots`. p has the dtype to compute in (float32 or wider); it may be a
        `jax.ShapeDtypeStruct`, so use its shape and dtype only (`jnp.zeros_like(p)`), unless the
        slots copy the parameter. A slot that a leaf does not need is None.
      update: `update(g, slots, p, count) -> (direction, slots)`. g and p are arrays of the dtype
        to compute in, p is None where `tx.update` got no params, and count is the number of this
        update, an int32 scalar that is 1 at the first. The direction points uphill, as the
        gradient does: `descend` and `optax.scale_by_learning_rate` turn it.
      per_step: `per_step(count)` gives what `update` gets in count's place. Scalars that depend on
        the count alone, such as a bias correction, are computed here once for all leaves. None for
        a rule that does not read the count: `update` gets None, and the state keeps no count.

      waits: `waits(at)`, of what update gets in count's place, is whether this update moves
        nothing: `descend` does not decay the weights then either.
      labels: `labels(params)`, at update of the gradients, is a list of static values, one a leaf
        (None is one), which init gets after p and update after count: what the rule is to know of
        a leaf besides its shape. None, or of a class of `jax.tree_util.register_static`.

    Returns:
      A transformation whose state is `LeafwiseState(count, slots)`.

    Raises:
      ValueError: at update, when gradients and parameters differ in structure or shape.

    >>> import jax.numpy as jnp, optax
    >>> class Slots(NamedTuple):
    ...     trace: jax.Array  # sum of the gradients
    >>> def init(p):
    ...     return Slots(trace=jnp.zeros_like(p))
    >>> def update(g, slots, p, count):
    ...     trace = 0.5 * slots.trace + g
    ...     return trace, Slots(trace)
    >>> tx = optax.chain(leafwise(Slots, init, update), optax.scale_by_learning_rate(1.0))
    >>> params = {"w": jnp.zeros(2)}
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     updates, state = tx.update({"w": jnp.array([1.0, 2.0])}, state, params)
    >>> updates["w"].tolist()
    [-1.5, -3.0]
    """
    check_function("leafwise", slots=slots, init=init, update=update)
    given = {"per_step": per_step, "waits": waits, "labels": labels}
    check_function("leafwise", **{key: value for key, value in given.items() if value is not None})
    name = update.__qualname__.split(".")[0]
    return lift(Rule(name, slots, init, update, per_step, waits=waits, labels=labels))


def lift(rule: Rule) -> Lifted:
    """A rule of this kind as a transformation."""
    step = compiled(step_of(rule.update))
    per_step = compiled(rule.per_step) if rule.per_step else lambda count: None

    def init(params):
        rate = first_rate(rule.learning_rate)
        return LeafwiseState(first_count(rule), first_slots(rule, params), rate)

    def update(grads, state, params=None, **extra_args):
        rate = next_rate(state.rate, rule.learning_rate, state.count)
        walk = Walk(rule, (grads, params, extra_args), state, rate)
        count = None if state.count is None else optax.safe_increment(state.count)
        updates, slots = walk.trees(walk.each(step, per_step(count)))
        return updates, LeafwiseState(count, slots, rate)

    return lifted(rule, init, update, lift)
