"""The lift of a rule for one array to trees of parameters.

It keeps the contract for every rule, so that no rule has to:

- arithmetic and slots are float32 or wider, updates come back in the parameter's dtype, and the
  state keeps its dtypes whatever dtype the gradients have;
- None, integer, bool and float0 leaves have no slots and do not move;
- slots of the parameter's shape are sharded like the parameter, under jit as well as eagerly;
- equal rules share two compiled programs: one begins an update for all leaves, one updates a leaf,
  traced once per shape and dtype.

Learning rate, decay and sign are data of the lift: they cost no further pass over memory.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import beside, narrowed, widest, working_dtype
from adaptive_optax.core.checks import check_mask, check_params, check_rate
from adaptive_optax.core.leaves import Pairs, broadcast, flat, is_trained, pair_leaves, unmoved
from adaptive_optax.core.rate import Rate, first_rate
from adaptive_optax.core.rule import Rule, Step, TreeRule
from adaptive_optax.core.transformation import Body
from adaptive_optax.core.types import Mask, Scalar, Schedule

UPHILL = "uphill"  # the direction, as the rule gives it
DOWNHILL = "downhill"  # the rule applies learning rate and decay; the lift turns the sign
COUPLED = "coupled"  # the lift applies both, decay times learning rate
INDEPENDENT = "independent"  # the lift applies both, decay as it is


class LeafwiseState(NamedTuple):
    """What a lifted rule remembers."""

    count: Any  # updates done, int32, shape (); None if nothing reads it
    slots: Any  # the rule's NamedTuple; every field is a tree shaped like the parameters
    rate: Any = None  # `Rate`; None in a direction without a learning rate


class TreewiseState(NamedTuple):
    """What a lifted `TreeRule` remembers."""

    count: Any  # updates done, int32, shape ()
    shared: Any  # the rule's NamedTuple of scalars, one for the whole tree
    slots: Any  # the rule's NamedTuple; every field is a tree shaped like the parameters
    rate: Any = None  # `Rate`; None in a direction without a learning rate


class Call(NamedTuple):
    """What an update was called with, for `LiftedRule.extras`."""

    count: Any  # updates done before, 0 at the first
    params: Any
    treedef: Any  # of the gradients
    extra_args: dict[str, Any]


class LiftedRule(Body):
    """A rule on trees, with its descent.

    Attributes:
      rule: the rule for one array.
      learning_rate: number or schedule; None for a direction.
      weight_decay: number or schedule, at least 0.
      mask: which leaves decay; None for all.
      descent: UPHILL, DOWNHILL, COUPLED or INDEPENDENT.
      labels: from a tree to static labels, one for each leaf, which the rule gets; None for none.
      extras: from the call of an update to `Step.extra` of each leaf; None for none.
    """

    rule: Rule
    learning_rate: Scalar | Schedule | None = None
    weight_decay: Scalar | Schedule = 0.0
    mask: Mask | None = None
    descent: str = UPHILL
    labels: Callable[[Any], list[Any]] | None = None
    extras: Callable[[Call], list[Any]] | None = None

    def check(self) -> None:
        if self.learning_rate is not None or self.descent != UPHILL or self.rule.takes_rate:
            check_rate(learning_rate=self.learning_rate)
        check_rate(weight_decay=self.weight_decay)
        check_mask(mask=self.mask)

    @property
    def learning_rate_used(self) -> Any:
        return self.learning_rate

    @functools.cached_property
    def counted(self) -> bool:
        """Whether the state counts updates."""
        return self.rule.counted or callable(self.learning_rate) or callable(self.weight_decay)

    @functools.cached_property
    def decays(self) -> bool:
        """Whether there is any weight decay."""
        decay = self.weight_decay
        return not (isinstance(decay, int | float) and decay == 0)

    @functools.cached_property
    def programs(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The programs that begin an update and that update a leaf.

        What a rule of somebody else's reads besides its options is not known, so a rule of theirs
        that is built again is compiled again.
        """
        if type(self.rule).__module__.partition(".")[0] == __name__.partition(".")[0]:
            return _BEGIN, _UPDATE_LEAF
        return (
            jax.jit(functools.partial(begin), static_argnums=0),
            jax.jit(functools.partial(update_leaf), static_argnums=(0, 2, 3)),
        )

    def init(self, params: Any) -> Any:
        count = jnp.zeros((), jnp.int32) if self.counted else None
        return LeafwiseState(count, self.first_slots(params), first_rate(self.learning_rate))

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        pairs = pair_leaves(self.name, grads, params)
        rows = self.rows(pairs.treedef, state.slots)
        start, move = self.programs
        count, rate, shared = start(self.rule.static, self.rule.arrays, *self.now(state))
        step = Step(count, shared, None if rate is None else rate.now)
        updates, slots = self.moved(move, pairs, rows, state.count, params, extra_args, step)
        return updates, LeafwiseState(count, slots, rate)

    def now(self, state: Any) -> tuple[Any, Any, Any]:
        """Count and rate of a state, and the learning rate of the update that follows."""
        given = self.learning_rate
        return state.count, state.rate, given(state.count) if callable(given) else given

    def first_slots(self, params: Any) -> Any:
        """The slots of all leaves before the first update."""
        leaves, treedef = flat(params)
        labels = [()] * len(leaves) if self.labels is None else zip(self.labels(params))
        nothing = self.rule.Slots(*(None for _ in self.rule.Slots._fields))
        rows = [
            jax.tree.map(functools.partial(placed, p), self.rule.init(wide_view(p), *label))
            if is_trained(p)
            else nothing
            for p, label in zip(leaves, labels, strict=True)
        ]
        return self.trees(treedef, rows)

    def rows(self, treedef: Any, slots: Any) -> list[Any]:
        """The slots of each leaf, from trees."""
        size = treedef.num_leaves
        try:
            columns = [[None] * size if x is None else treedef.flatten_up_to(x) for x in slots]
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{self.name}.update: the state does not fit the gradients; give the state that "
                f"tx.init, or the last tx.update of this optimizer, returned: {error}"
            ) from error
        made = self.rule.Slots
        return [made(*row) for row in zip(*columns, strict=True)] if columns else [made()] * size

    def trees(self, treedef: Any, rows: list[Any]) -> Any:
        """The slots as trees, from those of each leaf."""
        made = self.rule.Slots
        columns = zip(*rows, strict=True) if rows else [()] * len(made._fields)
        return made(*[treedef.unflatten(column) for column in columns])

    def moved(
        self,
        move: Callable[..., Any],
        pairs: Pairs,
        rows: list[Any],
        done: Any,
        params: Any,
        extra_args: dict[str, Any],
        step: Step,
    ) -> tuple[Any, Any]:
        """Updates and slots of all leaves, as trees.

        Args:
          move: the program that updates a leaf.
          pairs: gradients and parameters.
          rows: the slots of each leaf.
          done: updates done before.
          params: the parameters, or None.
          extra_args: of the update.
          step: what all leaves get.
        """
        updates = list(pairs.grads)
        steps, labels = self.steps(pairs, done, params, extra_args, step)
        static, arrays, descent = self.rule.static, self.rule.arrays, self.descent
        for i in pairs.trained:
            g, p = pairs.grads[i], pairs.params[i]
            updates[i], rows[i] = move(static, arrays, descent, labels[i], g, rows[i], p, steps[i])
        if len(pairs.trained) < len(updates):
            for i in set(range(len(updates))).difference(pairs.trained):
                updates[i] = unmoved(pairs.grads[i], pairs.params[i])
        return pairs.treedef.unflatten(updates), self.trees(pairs.treedef, rows)

    def steps(
        self, pairs: Pairs, done: Any, params: Any, extra_args: dict[str, Any], step: Step
    ) -> tuple[list[Step], list[Any]]:
        """What each leaf gets besides gradient, slots and parameter, and its static label."""
        size = len(pairs.grads)
        steps, labels = [step] * size, [None] * size
        if not pairs.trained:
            return steps, labels
        if self.decays:
            if params is None:
                check_params(self.name, "weight_decay", params)
            decay = jnp.asarray(value_at(self.weight_decay, done))  # sent once, not for each leaf
            if self.mask is None:
                steps = [step._replace(decay=decay)] * size
            else:
                chosen = broadcast(self.name, "mask", self.mask, params)
                steps = [step._replace(decay=decay if each else None) for each in chosen]
        if self.labels is not None:
            labels = self.labels(pairs.treedef.unflatten(pairs.grads))
        if self.extras is not None:
            given = self.extras(Call(done, params, pairs.treedef, extra_args))
            both = zip(steps, given, strict=True)
            steps = [each._replace(extra=wide_view(x)) for each, x in both]
        return steps, labels


class LiftedTreeRule(LiftedRule):
    """A rule that measures the whole tree, on trees."""

    rule: TreeRule

    @functools.cached_property
    def counted(self) -> bool:
        return True

    def init(self, params: Any) -> Any:
        trained = [wide_view(p) for p in flat(params)[0] if is_trained(p)]
        known = [jnp.zeros_like(p) if isinstance(p, jax.ShapeDtypeStruct) else p for p in trained]
        shared, slots = self.rule.start(known), self.first_slots(params)
        return TreewiseState(
            jnp.zeros((), jnp.int32), shared, slots, first_rate(self.learning_rate)
        )

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        pairs = pair_leaves(self.name, grads, params)
        rows = self.rows(pairs.treedef, state.slots)
        static, arrays = self.rule.static, self.rule.arrays
        count, rate, now = _BEGIN(static, arrays, *self.now(state))
        step, shared = Step(count, now, None if rate is None else rate.now), state.shared
        if pairs.trained:
            check_params(self.name, "its distances", params)
            each = [
                _MEASURE(static, arrays, pairs.grads[i], rows[i], pairs.params[i], step, shared)
                for i in pairs.trained
            ]
            shared, after = _SETTLE(static, arrays, each, step, shared)
            step = step._replace(shared=after)
        updates, slots = self.moved(
            _UPDATE_LEAF, pairs, rows, state.count, params, extra_args, step
        )
        return updates, TreewiseState(count, shared, slots, rate)


def lift(rule: Rule, **options: Any) -> LiftedRule:
    """A rule on trees; the options are those of `LiftedRule`."""
    if isinstance(rule, TreeRule):
        return LiftedTreeRule(rule, **options)
    return LiftedRule(rule, **options)


def begin(
    static: Any, arrays: tuple[Any, ...], count: Any, rate: Any, given: Any
) -> tuple[Any, Any, Any]:
    """Count and rate of this update, and what its leaves share; the rate that was set wins."""
    count = None if count is None else optax.safe_increment(count)
    if rate is not None:
        given = jnp.asarray(given, rate.now.dtype)
        rate = Rate(jnp.where(rate.held, rate.now, given), rate.held)
    step = Step(count, learning_rate=None if rate is None else rate.now)
    return count, rate, static.joined(arrays).per_step(step)


def update_leaf(
    static: Any,
    arrays: tuple[Any, ...],
    descent: str,
    label: Any,
    g: jax.Array,
    slots: Any,
    p: Any,
    step: Step,
) -> tuple[jax.Array, Any]:
    """The update and the new slots of one leaf: wide inside, the parameter's dtype outside."""
    rule = static.joined(arrays)
    dtype = (g if p is None else p).dtype
    wide = working_dtype(dtype)
    g, p = g.astype(wide), None if p is None else p.astype(wide)
    step = step._replace(label=label)
    u, new = rule.update(g, slots, p, step)
    import chex  # at the first trace: it would add a tenth to the time of `import`

    chex.assert_equal_shape((g, u))
    chex.assert_trees_all_equal_shapes(slots, new)
    if descent == DOWNHILL:
        u = -u
    elif descent != UPHILL:
        decay = None if rule.takes_decay else step.decay
        u = rule.finish(u, p, step.learning_rate, decay, descent == INDEPENDENT)
        waits = rule.waits(step)
        u = u if waits is None else jnp.where(waits, jnp.zeros_like(u), u)
    new = jax.tree.map(lambda slot, before: slot.astype(before.dtype), new, slots)
    return narrowed(u, dtype), new


def _measure(
    static: Any, arrays: tuple[Any, ...], g: Any, slots: Any, p: Any, step: Step, shared: Any
) -> Any:
    wide = working_dtype(p.dtype)
    step = step._replace(tree=shared)
    return static.joined(arrays).measure(g.astype(wide), slots, p.astype(wide), step)


def _settle(
    static: Any, arrays: tuple[Any, ...], each: list[Any], step: Step, shared: Any
) -> tuple[Any, Any]:
    measures = jax.tree.map(lambda *x: jnp.stack([y.astype(widest()) for y in x]), *each)
    new, at = static.joined(arrays).settle(measures, step._replace(tree=shared))
    return jax.tree.map(lambda after, before: after.astype(before.dtype), new, shared), at


_BEGIN = jax.jit(begin, static_argnums=0)
_UPDATE_LEAF = jax.jit(update_leaf, static_argnums=(0, 2, 3))
_MEASURE = jax.jit(_measure, static_argnums=0)
_SETTLE = jax.jit(_settle, static_argnums=0)


def value_at(value: Scalar | Schedule, count: Any) -> Any:
    """A schedule's value after that many updates; a number as it is, but a float."""
    value = value(count) if callable(value) else value
    return float(value) if isinstance(value, int) else value


def wide_view(x: Any) -> Any:
    """A float array, or its `jax.ShapeDtypeStruct`, in the dtype to compute in; else x itself."""
    if not hasattr(x, "dtype") or not is_trained(x):
        return x
    dtype = working_dtype(x.dtype)
    if x.dtype == dtype:
        return x
    return x.update(dtype=dtype) if isinstance(x, jax.ShapeDtypeStruct) else x.astype(dtype)


def placed(p: Any, slot: Any) -> jax.Array:
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
