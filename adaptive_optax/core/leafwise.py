"""`leafwise`: a rule for one array as an optax transformation of trees."""

import secrets
from collections.abc import Callable
from typing import Any

import jax

from adaptive_optax.core.checks import check_function
from adaptive_optax.core.lifting import LiftedRule, begin, lift, update_leaf
from adaptive_optax.core.rule import Rule, Step
from adaptive_optax.core.transformation import Transformation, constructor


def _count(count: jax.Array) -> jax.Array:
    return count


@constructor
def leafwise(
    slots: type | Rule,
    init: Callable[..., Any] | None = None,
    update: Callable[..., tuple[jax.Array, Any]] | None = None,
    *,
    per_step: Callable[[jax.Array], Any] | None = _count,
    waits: Callable[[Any], jax.Array] | None = None,
    labels: Callable[[Any], list[Any]] | None = None,
) -> Transformation:
    """Make a transformation of trees from a rule for one array.

    The rule is a `Rule`, a frozen dataclass whose fields are its options: `leafwise(MyRule(0.9))`.
    Rules with equal options share one compiled program. A rule of your own that reads something
    besides its options, such as a global, uses the value at the time when it was traced, as
    anywhere in jax; built again, it uses the new one.

    Or it is given as functions: `leafwise(Slots, init, update)`. What functions read is not known,
    so such a transformation is equal to copies of itself only, and is run as it is written, without
    a program of its own: it always uses the present values, and eager updates are slower.

    Args:
      slots: a `Rule`; or the NamedTuple class of the arrays that the functions keep for each
        parameter.
      init: `init(p) -> slots`. p has the dtype to compute in (float32 or wider); it may be a
        `jax.ShapeDtypeStruct`, so use its shape and dtype only (`jnp.zeros_like(p)`), unless the
        slots copy the parameter. A slot that a leaf does not need is None.
      update: `update(g, slots, p, count) -> (direction, slots)`. g and p are arrays of the dtype
        to compute in, p is None if `tx.update` got no params, and count is the number of this
        update, an int32 scalar that is 1 at the first. The direction points uphill, as the
        gradient does: `descend` and `optax.scale_by_learning_rate` turn it.
      per_step: `per_step(count)` gives what `update` gets in place of the count. Scalars that
        depend on the count only, such as a bias correction, are computed here once for all leaves.
        None for a rule that does not read the count: `update` gets None, and the state keeps no
        count.
      waits: `waits(at)` is whether this update moves nothing, from what update gets in place of
        the count: `descend` does not decay the weights then either.
      labels: `labels(params)`, at update of the gradients, is a list of static values, one for
        each leaf (None is one), which init gets after p and update after count: what the rule is
        to know of a leaf besides its shape. None, or of a class of `jax.tree_util.register_static`.

    Returns:
      A transformation whose state is `LeafwiseState(count, slots)`.

    Raises:
      TypeError: for functions that are none.
      ValueError: at update, if gradients and parameters differ in structure or shape.

    >>> import jax.numpy as jnp, optax
    >>> from typing import NamedTuple
    >>> class Slots(NamedTuple):
    ...     trace: jax.Array  # sum of the gradients
    >>> class Sum(Rule):
    ...     decay: float = 0.5
    ...     Slots = Slots
    ...     def init(self, p):
    ...         return Slots(trace=jnp.zeros_like(p))
    ...     def update(self, g, slots, p, step):
    ...         trace = self.decay * slots.trace + g
    ...         return trace, Slots(trace)
    >>> tx = optax.chain(leafwise(Sum()), optax.scale_by_learning_rate(1.0))
    >>> params = {"w": jnp.zeros(2)}
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     updates, state = tx.update({"w": jnp.array([1.0, 2.0])}, state, params)
    >>> updates["w"].tolist()
    [-1.5, -3.0]
    """
    if isinstance(slots, Rule):
        return lift(slots, labels=labels).transformation()
    check_function(slots=slots, init=init, update=update)
    given = {"per_step": per_step, "waits": waits, "labels": labels}
    check_function(**{key: value for key, value in given.items() if value is not None})
    rule = Functions(slots, init, update, per_step, waits)  # type: ignore[arg-type]
    body = LiftedFunctions(rule, labels=labels)
    object.__setattr__(body, "token", secrets.token_hex(8))
    return body.transformation()


class Functions(Rule):
    """A rule that is given as functions."""

    slots: type
    begin: Callable[..., Any]
    step: Callable[..., tuple[jax.Array, Any]]
    shared: Callable[[Any], Any] | None
    waiting: Callable[[Any], Any] | None

    @property
    def Slots(self) -> Any:  # noqa: N802, the name in `Rule`
        return self.slots

    @property
    def counted(self) -> bool:  # type: ignore[override]
        return self.shared is not None

    def init(self, p: Any, *label: Any) -> Any:
        return self.begin(p, *label)

    def per_step(self, step: Step) -> Any:
        return None if self.shared is None else self.shared(step.count)

    def waits(self, step: Step) -> Any:
        return None if self.waiting is None else self.waiting(step.shared)

    def update(self, g: jax.Array, slots: Any, p: Any, step: Step) -> tuple[jax.Array, Any]:
        label = () if step.label is None else (step.label,)
        return self.step(g, slots, p, step.shared, *label)


class LiftedFunctions(LiftedRule):
    """A rule of functions on trees: not compiled, since what functions read may change."""

    @property
    def programs(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        return begin, update_leaf
