"""`leafwise`: a rule for one array, lifted to trees of parameters.

A rule is `init(p) -> slots` and `update(g, slots, p, count) -> (direction, slots)`, where slots is
a NamedTuple of arrays. The lift keeps the contract for every rule, so that no rule has to:

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

from adaptive_optax.core.arrays import narrowed, working_dtype
from adaptive_optax.core.leaves import flat, flat_pair, is_trained, matching, unmoved
from adaptive_optax.core.programs import compiled


class LeafwiseState(NamedTuple):
    """What a leafwise transformation remembers."""

    count: Any  # updates done, int32, shape (); None where nothing reads it
    slots: Any  # the rule's NamedTuple; every field is a tree shaped like the parameters


class NoSlots(NamedTuple):
    """The slots of a rule that remembers nothing."""


class Rule(NamedTuple):
    """An update rule for one array."""

    name: str  # for errors
    slots: Any  # a NamedTuple class
    init: Callable[..., Any]  # p -> slots
    update: Callable[..., Any]  # g, slots, p, per_step(count), *extras -> direction, slots
    per_step: Callable[..., Any] | None  # count -> what all leaves share; None reads no count


def _count(count: jax.Array) -> jax.Array:
    return count


class Leafwise(optax.GradientTransformationExtraArgs):
    """A transformation made of a rule, which `descend` can extend before it is lifted."""

    rule: Rule


def leafwise(
    slots: type,
    init: Callable[[jax.Array], Any],
    update: Callable[..., tuple[jax.Array, Any]],
    *,
    per_step: Callable[[jax.Array], Any] | None = _count,
) -> Leafwise:
    """A rule for one array as an optax transformation of trees.

    Args:
      slots: NamedTuple class of the arrays that the rule keeps per parameter.
      init: `init(p) -> slots`. p has the dtype to compute in (float32 or wider); it may be a
        `jax.ShapeDtypeStruct`, so use its shape and dtype only (`jnp.zeros_like(p)`), unless the
        slots copy the parameter.
      update: `update(g, slots, p, count) -> (direction, slots)`. g and p are arrays of the dtype
        to compute in, p is None where `tx.update` got no params, and count is the number of this
        update, an int32 scalar that is 1 at the first. The direction points uphill, as the
        gradient does: `descend` and `optax.scale_by_learning_rate` turn it.
      per_step: `per_step(count)` gives what `update` gets in count's place. Scalars that depend on
        the count alone, such as a bias correction, are computed here once for all leaves. None for
        a rule that does not read the count: `update` gets None, and the state keeps no count.

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
    name = update.__qualname__.split(".")[0]
    return lift(Rule(name, slots, init, update, per_step))


def lift(
    rule: Rule, extras: Callable[..., Sequence[tuple]] | None = None, scheduled: bool = False
) -> Leafwise:
    """Lifts a rule; `leafwise` with room for values that only the whole tree can tell.

    Args:
      rule: the rule; its update takes the items of the leaf's extras as further arguments.
      extras: `extras(count, params, treedef)` gives one tuple a leaf of the flattened gradients;
        count is the number of updates done before, 0 at the first.
      scheduled: whether extras read the count.
    """
    step = compiled(_step_of(rule.update))
    per_step = compiled(rule.per_step) if rule.per_step else lambda count: None
    counted = scheduled or rule.per_step is not None

    def init(params):
        leaves, treedef = flat(params)
        rows = [_start(rule, p) for p in leaves]
        count = jnp.zeros((), jnp.int32) if counted else None
        return LeafwiseState(count, _trees(rule, treedef, rows))

    def update(grads, state, params=None, **extra_args):
        del extra_args
        leaves, weights, treedef = flat_pair(rule.name, grads, params)
        columns = _columns(rule, treedef, state)
        count = optax.safe_increment(state.count) if counted else None
        shared = per_step(count)
        more = extras(state.count, params, treedef) if extras else [()] * len(leaves)
        updates, rows = [], []
        for i, (g, p, extra) in enumerate(zip(leaves, weights, more, strict=True)):
            slots = rule.slots(*(column[i] for column in columns))
            if is_trained(g) and (params is None or is_trained(p)):
                u, slots = step(g, slots, p, shared, *extra)
            else:
                u = unmoved(g, p)
            updates.append(u)
            rows.append(slots)
        new_state = LeafwiseState(count, _trees(rule, treedef, rows))
        return jax.tree.unflatten(treedef, updates), new_state

    lifted = Leafwise(init, update)
    lifted.rule = rule
    return lifted


def _start(rule: Rule, p: Any) -> Any:
    """The slots of one leaf before its first update."""
    if not is_trained(p):
        return rule.slots(*(None for _ in rule.slots._fields))
    dtype = working_dtype(p.dtype)
    if p.dtype == dtype:
        view = p
    elif isinstance(p, jax.ShapeDtypeStruct):
        view = p.update(dtype=dtype)
    else:
        view = p.astype(dtype)
    return jax.tree.map(lambda slot: _placed(p, slot), rule.init(view))


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
    return _beside(p, slot) if spread and slot.shape == p.shape else slot


def _beside(p: jax.Array, slot: jax.Array) -> jax.Array:
    """The slot, bound to p by a condition that is never true, so that p's sharding reaches it.

    A constant has no sharding of its own: under jit it would stand on one device, or on all.
    """
    return jnp.where((p == p) & (p != p), jnp.ones_like(slot), slot)


def _step_of(rule_update: Callable) -> Callable:
    """The rule's update with its dtypes: wide inside, the parameter's outside."""

    def step(g, slots, p, shared, *extras):
        like = g if p is None else p
        dtype = working_dtype(like.dtype)
        wide = None if p is None else p.astype(dtype)
        direction, new = rule_update(g.astype(dtype), slots, wide, shared, *extras)
        import chex  # here, at the first trace: it would add a tenth to the time of `import`

        chex.assert_equal_shape((g, direction))
        chex.assert_trees_all_equal_shapes(slots, new)
        new = jax.tree.map(lambda slot, before: slot.astype(before.dtype), new, slots)
        return narrowed(direction, like.dtype), new

    return step


def _columns(rule: Rule, treedef: Any, state: LeafwiseState) -> list[list[Any]]:
    """The leaves of each slot's tree, in the order of the gradients."""
    try:
        return [matching(treedef, field) for field in state.slots]
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{rule.name}.update: the state does not fit the gradients; give the state that "
            f"tx.init, or the last tx.update of this optimizer, returned: {error}"
        ) from error


def _trees(rule: Rule, treedef: Any, rows: list[Any]) -> Any:
    """Slots of trees from one row of slots a leaf."""
    columns = ([row[i] for row in rows] for i in range(len(rule.slots._fields)))
    return rule.slots(*(jax.tree.unflatten(treedef, column) for column in columns))
