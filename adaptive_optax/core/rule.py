"""`Rule`: an update rule for one array, as a frozen dataclass.

    class Lion(Rule):
        b1: Scalar = 0.9
        b2: Scalar = 0.99

        Slots = LionSlots

        def init(self, p):
            return LionSlots(mu=zeros_slot(p))

        def update(self, g, slots, p, step):
            u = jnp.sign(ema(slots.mu, g, self.b1))
            return u, LionSlots(mu=ema(slots.mu, g, self.b2))

The fields are the options. `lifting` makes a transformation of trees of it: dtypes, leaves that
are not trained, sharding and shared programs are handled there, and no rule knows of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeAlias, TypeVar

import jax

from adaptive_optax.core.arrays import descended
from adaptive_optax.core.value import Value

S = TypeVar("S")
Moved: TypeAlias = tuple[jax.Array, S]  # the direction and the new slots


class NoSlots(NamedTuple):
    """The slots of a rule that remembers nothing."""


class Step(NamedTuple):
    """What a rule may need besides gradient, slots and parameter."""

    count: Any = None  # the number of this update, int32, 1 at the first; None if not counted
    shared: Any = None  # what `per_step` gave: numbers that all leaves share
    learning_rate: Any = None  # of this update; None in a direction without one
    decay: Any = None  # the weight decay of this leaf; None for none
    label: Any = None  # what is known of the leaf besides its shape; static
    extra: Any = None  # what the transformation's `extras` gave for this leaf
    tree: Any = None  # of a `TreeRule`: what the whole tree shares, before this update


class Moment(NamedTuple):
    """How a slot keeps a mean, so that another rule can take it over."""

    of: str  # "gradient" or "square"
    decay: str  # the option that says how fast it forgets
    kept: str  # "corrected" for bias when it is used, "plain", or "sum", undamped


class Rule(Value):
    """An update rule for one array; its options are the fields of a subclass.

    Attributes:
      Slots: NamedTuple class of what the rule keeps for each parameter.
      counted: whether the state counts updates.
      takes_rate: whether `update` applies `step.learning_rate` itself.
      takes_decay: whether `update` applies `step.decay` itself.
      elementwise: whether an element of the update depends on the same element of its inputs only.
      scale_invariant: whether gradients times a constant give the same direction.
      moments: the slots that keep a mean which other rules keep too.
      finish: (direction, p, learning rate, decay, independent) -> update.
    """

    Slots: ClassVar[Any] = NoSlots
    counted: ClassVar[bool] = True
    takes_rate: ClassVar[bool] = False
    takes_decay: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True
    scale_invariant: ClassVar[bool] = False
    moments: ClassVar[Mapping[str, Moment]] = {}
    finish: ClassVar[Callable[..., jax.Array]] = staticmethod(descended)

    def init(self, p: Any, *label: Any) -> Any:
        """The slots of a parameter, which may be a `jax.ShapeDtypeStruct`, before its first update.

        p is float32 or wider. A label is given if the transformation has labels. A slot that a
        leaf does not need is None.
        """
        return self.Slots()

    def per_step(self, step: Step) -> Any:
        """Numbers that depend on count and learning rate only, computed once for all leaves."""
        return None

    def waits(self, step: Step) -> Any:
        """Whether this update moves nothing, and so does not decay either; None for never."""
        return None

    def update(self, g: jax.Array, slots: Any, p: Any, step: Step) -> tuple[jax.Array, Any]:
        """The direction, uphill as the gradient is, and the new slots.

        g and p are float32 or wider; p is None if `tx.update` got no params.
        """
        raise NotImplementedError


class TreeRule(Rule):
    """A rule that also needs norms or inner products over the whole tree of parameters.

    An update passes over the leaves twice: first each leaf is measured, and `settle` makes of all
    measures what the tree shares; then each leaf is updated.
    """

    elementwise: ClassVar[bool] = False

    def start(self, leaves: list[jax.Array]) -> Any:
        """What the tree shares before the first update: a NamedTuple of the widest floats."""
        raise NotImplementedError

    def measure(self, g: jax.Array, slots: Any, p: jax.Array, step: Step) -> Any:
        """A NamedTuple of scalars of one leaf."""
        raise NotImplementedError

    def settle(self, measures: Any, step: Step) -> tuple[Any, Any]:
        """What the tree shares after the update, and `step.shared` for `update`.

        Each field of measures has one number per leaf.
        """
        raise NotImplementedError
