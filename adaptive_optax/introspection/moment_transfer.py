"""Moments handed from one optimizer to the next, where both mean the same by them.

What is handed over is the mean gradient and the mean square, free of the ways to keep them:

    slot                        the mean it stands for
    mu, nu corrected for bias   slot / (1 - b^count)
    mu, nu as they are          slot
    trace, an undamped sum      slot (1 - momentum)

A rule that corrects for bias takes both of its moments with the count, or none: under a count of
its own a handed mean would be divided by 1 - b. It takes none either where a schedule reads that
count. Rules that are not named here, and states with several such rules, hand over nothing.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import bias, scaled
from adaptive_optax.core.rule import Moment
from adaptive_optax.introspection.structure import Part, parts


class _Holder(NamedTuple):
    """The one rule of an optimizer that keeps moments, and where."""

    kinds: Mapping[str, Moment]  # by slot
    decays: Mapping[str, float]  # by slot
    node: Any  # the part of the state with the slots and perhaps a count
    scheduled: bool  # whether its rate is a schedule, which may read the same count

    @property
    def slots(self) -> Any:
        return getattr(self.node, "slots", self.node)

    @property
    def count(self) -> Any:
        return getattr(self.node, "count", None)


def handed_over(old: Part, before: Any, new: Part, fresh: Any) -> Any:
    """A fresh state of one optimizer, with the moments of another's state where they fit.

    Args:
      old: the optimizer that made the last update.
      before: its state.
      new: the optimizer that makes the next one.
      fresh: its state from `init`.
    """
    giver, taker = _holder(old, before), _holder(new, fresh)
    if giver is None or taker is None:
        return fresh
    means = {kind.of: _mean(giver, field) for field, kind in giver.kinds.items()}
    corrects = any(kind.kept == "corrected" for kind in taker.kinds.values())
    missing = [kind.of for kind in taker.kinds.values() if kind.of not in means]
    if corrects and (missing or giver.count is None or taker.scheduled):
        return fresh
    slots = {
        field: _slot(taker, field, means[kind.of], giver.count)
        for field, kind in taker.kinds.items()
        if kind.of in means
    }
    olds = {field: getattr(taker.slots, field) for field in slots}
    (shapes, form), (expected, own_form) = (_shapes(tree) for tree in (slots, olds))
    if form != own_form or shapes != expected:
        return fresh
    node = _with_slots(taker.node, slots)
    if corrects:
        node = node._replace(count=giver.count)
    return jax.tree.map(lambda x: node if x is taker.node else x, fresh, is_leaf=_keeps)


def _shapes(tree: Any) -> tuple[list[Any], Any]:
    """The leaves' shapes and the structure, without which a masked leaf would equal shape ()."""
    leaves, treedef = jax.tree.flatten(tree)
    return [jnp.shape(x) for x in leaves], treedef


def _holder(part: Part, state: Any) -> _Holder | None:
    """What keeps moments; None where nothing does, or several rules do, or a decay is not known."""
    inside = list(parts(part))
    if any(each.body is not None and each.body.encodes_state for each in inside):
        return None
    found = [each for each in inside if each.moments]
    nodes = [x for x in jax.tree.leaves(state, is_leaf=_keeps) if _keeps(x)]
    if len(found) != 1 or len(nodes) != 1:
        return None
    (rule,), (node,) = found, nodes
    slots = getattr(node, "slots", node)
    kinds = {
        field: kind
        for field, kind in rule.moments.items()
        if getattr(slots, field, None) is not None
    }
    own = rule.options if rule.rule is None else rule.rule.fields()
    options = {field: own.get(kind.decay) for field, kind in kinds.items()}
    decays = {field: float(x) for field, x in options.items() if isinstance(x, float | int)}
    if not kinds or len(decays) < len(kinds):
        return None
    return _Holder(kinds, decays, node, callable(rule.learning_rate))


def _keeps(node: Any) -> bool:
    """Whether a part of a state has slots that moments are kept in."""
    fields = getattr(getattr(node, "slots", node), "_fields", ())
    return any(field in fields for field in ("mu", "nu", "trace"))


def _mean(giver: _Holder, field: str) -> Any:
    """The mean that a slot stands for."""
    tree, decay = getattr(giver.slots, field), giver.decays[field]
    if giver.kinds[field].kept == "sum":
        return _times(tree, 1 - decay)
    if giver.kinds[field].kept == "plain":
        return tree
    return _times(tree, 1 / bias(decay, jnp.maximum(giver.count, 1)))


def _slot(taker: _Holder, field: str, mean: Any, count: Any) -> Any:
    """What a rule keeps of a mean."""
    decay = taker.decays[field]
    if taker.kinds[field].kept == "sum":
        return _times(mean, 1 / (1 - decay))
    if taker.kinds[field].kept == "plain":
        return mean
    return _times(mean, bias(decay, jnp.maximum(count, 1)))


def _times(tree: Any, factor: Any) -> Any:
    return jax.tree.map(lambda x: scaled(x, factor), tree)


def _with_slots(node: Any, slots: Mapping[str, Any]) -> Any:
    if hasattr(node, "slots"):
        return node._replace(slots=node.slots._replace(**slots))
    return node._replace(**slots)
