"""The lift of a rule for one array to trees: what `leafwise` and `treewise` share.

It keeps the contract for every rule, so that no rule has to:

- arithmetic and slots are float32 or wider, updates come back in the parameter's dtype, and the
  state keeps its dtypes whatever dtype the gradients have;
- None, integer, bool and float0 leaves have no slots and do not move;
- slots of the parameter's shape are sharded like the parameter, under jit as well as eagerly;
- a rule is traced once per shape and dtype, not once per leaf.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import beside, narrowed, working_dtype
from adaptive_optax.core.leaves import flat, flat_pair, is_trained, matching, unmoved
from adaptive_optax.core.rate import Rate


class NoSlots(NamedTuple):
    """The slots of a rule that remembers nothing."""


class Rule(NamedTuple):
    """An update rule for one array."""

    name: str  # for errors
    slots: Any  # a NamedTuple class
    init: Callable[..., Any]  # p, or p and its label -> slots
    update: Callable[..., Any]  # g, slots, p, at, or then its label, *extras -> direction, slots
    per_step: Callable[..., Any] | None = None  # count -> at, which all leaves share
    extras: Callable[["Call"], Sequence[tuple]] | None = None  # further arguments, a tuple a leaf
    counted: bool = False  # whether extras read the count
    whole: Any = None  # of a treewise rule: its `Whole`
    waits: Callable[[Any], jax.Array] | None = None  # at -> whether this update moves nothing
    labels: Callable[[Any], list] | None = None  # params -> static values, one a leaf
    learning_rate: Any = None  # number or schedule that its update or its extras walk by
    rated: bool = False  # whether per_step takes the learning rate too


class Call(NamedTuple):
    """What an update was called with, for the extras of a rule."""

    count: Any  # updates done before, 0 at the first; None where the rule keeps no count
    params: Any
    treedef: Any  # of the gradients
    extra_args: dict[str, Any]
    rate: Any  # the learning rate of this update; None where the rule has none


class Lifted(optax.GradientTransformationExtraArgs):
    """A transformation made of a rule, which `descend` can extend before it is lifted again."""

    rule: Rule
    again: Callable[[Rule], "Lifted"]


def lifted(rule: Rule, init: Callable, update: Callable, again: Callable) -> Lifted:
    """The pair of functions, with what it was made of."""
    tx = Lifted(init, update)
    tx.rule, tx.again = rule, again
    return tx


def first_count(rule: Rule) -> jax.Array | None:
    """The count before the first update; None for a rule that reads none."""
    return jnp.zeros((), jnp.int32) if rule.counted or rule.per_step else None


def first_slots(rule: Rule, params: Any) -> Any:
    """The slots of all leaves before the first update."""
    leaves, treedef = flat(params)
    rows = [_start(rule, p, *label) for p, label in zip(leaves, _labels(rule, params), strict=True)]
    return trees(rule, treedef, rows)


class Walk:
    """One update's way over the leaves.

    Attributes:
      rows: the slots of each leaf.
      moving: the indices of the leaves that are trained.
    """

    def __init__(self, rule: Rule, call: tuple[Any, Any, dict], before: Any, rate: Rate | None):
        """Pairs the leaves of a call with their slots.

        Args:
          rule: the rule.
          call: gradients, params and extra arguments.
          before: the state before this update.
          rate: of this update, as `next_rate` gives it.
        """
        grads, params, extra_args = call
        self.rule = rule
        self.grads, self.weights, self.treedef = flat_pair(rule.name, grads, params)
        columns = _columns(rule, self.treedef, before.slots)
        self.rows = [rule.slots(*(column[i] for column in columns)) for i in range(len(self.grads))]
        self.moving = [
            i
            for i, (g, p) in enumerate(zip(self.grads, self.weights, strict=True))
            if is_trained(g) and (params is None or is_trained(p))
        ]
        self.extras = _labels(rule, grads)
        if rule.extras and self.moving:
            now = None if rate is None else rate.now
            more = rule.extras(Call(before.count, params, self.treedef, extra_args, now))
            both = zip(self.extras, more, strict=True)
            self.extras = [(*label, *map(_wide, m)) for label, m in both]

    def each(self, function: Callable, *shared: Any) -> list[Any]:
        """`function(g, slots, p, *shared, *extras)` of the leaves that are trained."""
        return [
            function(self.grads[i], self.rows[i], self.weights[i], *shared, *self.extras[i])
            for i in self.moving
        ]

    def trees(self, results: list[tuple[Any, Any]]) -> tuple[Any, Any]:
        """Updates and slots as trees, from those of the trained leaves."""
        updates, rows = [None] * len(self.rows), list(self.rows)
        for i, (u, slots) in zip(self.moving, results, strict=True):
            updates[i], rows[i] = u, slots
        for i in set(range(len(rows))).difference(self.moving):
            updates[i] = unmoved(self.grads[i], self.weights[i])
        return jax.tree.unflatten(self.treedef, updates), trees(self.rule, self.treedef, rows)


def widened(function: Callable) -> Callable:
    """A function of (g, slots, p, ...) that is given g and p in the dtype to compute in."""

    def wide(g, slots, p, *rest):
        dtype = working_dtype((g if p is None else p).dtype)
        return function(g.astype(dtype), slots, None if p is None else p.astype(dtype), *rest)

    return wide


def step_of(rule_update: Callable) -> Callable:
    """The rule's update with its dtypes: wide inside, the parameter's outside."""
    wide = widened(rule_update)

    def step(g, slots, p, *rest):
        direction, new = wide(g, slots, p, *rest)
        import chex  # here, at the first trace: it would add a tenth to the time of `import`

        chex.assert_equal_shape((g, direction))
        chex.assert_trees_all_equal_shapes(slots, new)
        new = jax.tree.map(lambda slot, before: slot.astype(before.dtype), new, slots)
        return narrowed(direction, (g if p is None else p).dtype), new

    return step


def trees(rule: Rule, treedef: Any, rows: list[Any]) -> Any:
    """Slots of trees from one row of slots a leaf."""
    columns = ([row[i] for row in rows] for i in range(len(rule.slots._fields)))
    return rule.slots(*(jax.tree.unflatten(treedef, column) for column in columns))


def _labels(rule: Rule, tree: Any) -> list[tuple]:
    """Of each leaf a tuple of its label, or an empty one."""
    if rule.labels is None:
        return [()] * flat(tree)[1].num_leaves
    return [(label,) for label in rule.labels(tree)]


def _start(rule: Rule, p: Any, *label: Any) -> Any:
    """The slots of one leaf before its first update."""
    if not is_trained(p):
        return rule.slots(*(None for _ in rule.slots._fields))
    return jax.tree.map(lambda slot: _placed(p, slot), rule.init(wide_view(p), *label))


def _wide(x: Any) -> Any:
    """An array of floats in the dtype to compute in; all else as it is."""
    return wide_view(x) if hasattr(x, "dtype") and is_trained(x) else x


def wide_view(p: Any) -> Any:
    """A parameter, or its `jax.ShapeDtypeStruct`, in the dtype to compute in."""
    dtype = working_dtype(p.dtype)
    if p.dtype == dtype:
        return p
    return p.update(dtype=dtype) if isinstance(p, jax.ShapeDtypeStruct) else p.astype(dtype)


def _placed(p: Any, slot: Any) -> jax.Array:
    """A slot of its lasting dtype, in a buffer of its own, sharded like p where shaped like p."""
    if isinstance(slot, jax.ShapeDtypeStruct):  # the copy of a parameter not known yet
        return jnp.zeros_like(slot)
    if is_trained(slot):
        slot = slot.astype(working_dtype(slot.dtype))
    if slot is p:
        slot = jnp.copy(slot)
    spread = isinstance(p, jax.core.Tracer) or (
        isinstance(p, jax.Array) and len(p.sharding.device_set) > 1
    )
    return beside(p, slot) if spread and slot.shape == p.shape else slot


def _columns(rule: Rule, treedef: Any, slots: Any) -> list[list[Any]]:
    """The leaves of each slot's tree, in the order of the gradients."""
    try:
        return [matching(treedef, field) for field in slots]
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{rule.name}.update: the state does not fit the gradients; give the state that "
            f"tx.init, or the last tx.update of this optimizer, returned: {error}"
        ) from error
