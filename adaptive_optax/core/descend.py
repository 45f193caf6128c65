"""`descend`: from a direction to an optimizer, by learning rate, weight decay and sign.

    coupled (torch, optax)           u = -learning_rate (d + weight_decay p)
    independent (Loshchilov-Hutter)  u = -(learning_rate d + weight_decay p)

Weight decay is decoupled: it never enters the moments (Loshchilov & Hutter, 2019,
arXiv:1711.05101), and it acts on the parameters before the step.
"""

from collections.abc import Callable
from typing import Any, ParamSpec

import jax
import optax

from adaptive_optax.core.checks import check_flag, check_transformation
from adaptive_optax.core.lifting import COUPLED, INDEPENDENT, UPHILL, LiftedRule, lift
from adaptive_optax.core.rule import NoSlots, Rule, Step
from adaptive_optax.core.transformation import Body, Call, Transformation, body_of, constructor
from adaptive_optax.core.types import Mask, Scalar, Schedule

P = ParamSpec("P")


@constructor
def descend(
    direction: optax.GradientTransformation | Rule,
    learning_rate: Scalar | Schedule,
    *,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    independent_decay: bool = False,
    name: str | None = None,
) -> Transformation:
    """Make an optimizer that walks down `direction`.

    Args:
      direction: gives the direction uphill, such as `scale_by_adam()`, or a `Rule`. Learning rate
        and decay become part of a lifted rule, so that a parameter is read once and rounded once;
        any other optax transformation is chained.
      learning_rate: at least 0; a float, an array (may be traced) or a schedule, which gets the
        number of updates done, 0 at the first.
      weight_decay: at least 0, decoupled; a float, an array or a schedule of its own.
      mask: which leaves decay, all by default: a tree of bools, a prefix of one, or a function
        from the parameters to one.
      independent_decay: True takes weight_decay as it is, as in the paper; False multiplies it
        by the learning rate, as torch and optax do.
      name: what errors at update call the optimizer; "descend" by default.

    Returns:
      A transformation whose updates are added to the parameters.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, if weight decay
        is on and params are missing.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = descend(ao.scale_by_lion(), 0.1, weight_decay=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> updates, _ = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)
    >>> [round(float(x), 3) for x in params + updates]
    [0.85, -2.0]
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"descend(name={name!r}): name must be a word, which errors begin with.")
    check_flag(independent_decay=independent_decay)
    body: Any = lift(direction) if isinstance(direction, Rule) else None
    if body is None:
        check_transformation(direction=direction)
        body = body_of(direction)
    descent = INDEPENDENT if independent_decay else COUPLED
    options = {"learning_rate": learning_rate, "weight_decay": weight_decay, "mask": mask}
    if isinstance(body, LiftedRule) and body.descent == UPHILL and body.learning_rate is None:
        if not body.rule.takes_decay:
            return body.replace(**options, descent=descent).transformation()
        if (
            not callable(weight_decay)
            and isinstance(weight_decay, float | int)
            and not weight_decay
        ):
            return body.replace(learning_rate=learning_rate, descent=descent).transformation()
    return Chained(direction, lift(Identity(), **options, descent=descent)).transformation()


def direction_of(rule: Callable[P, Rule], name: str) -> Callable[P, Transformation]:
    """The constructor of a rule's direction, with the rule's options, their checks and its text."""

    def build(*args: P.args, **kwargs: P.kwargs) -> Transformation:
        return lift(rule(*args, **kwargs)).transformation()

    build.__name__ = build.__qualname__ = name
    build.__module__, build.__doc__ = rule.__module__, rule.__doc__
    build.__wrapped__ = rule  # type: ignore[attr-defined]
    return constructor(build)


class Identity(Rule):
    """The direction as it is given."""

    counted = False

    def update(self, g: jax.Array, slots: NoSlots, p: Any, step: Step) -> tuple[jax.Array, NoSlots]:
        return g, slots


class Chained(Body):
    """A direction of any kind, and the descent of what it gives."""

    direction: optax.GradientTransformation
    last: LiftedRule

    def built_by(self, call: Call) -> Body:
        return super(Chained, self.replace(last=self.last.built_by(call))).built_by(call)

    @property
    def members(self) -> dict[str, optax.GradientTransformation]:
        return {"0": self.direction, "1": self.last.transformation()}

    @property
    def learning_rate_used(self) -> Any:
        return self.last.learning_rate

    def init(self, params: Any) -> Any:
        return self.direction.init(params), self.last.init(params)

    def update(
        self, grads: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        direction = optax.with_extra_args_support(self.direction)
        updates, first = direction.update(grads, state[0], params, **extra_args)
        updates, second = self.last.update(updates, state[1], params)
        return updates, (first, second)
