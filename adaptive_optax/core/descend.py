"""`descend`: from a direction to an optimizer, by learning rate, weight decay and sign.

    coupled (torch, optax)           u = -learning_rate (d + weight_decay p)
    independent (Loshchilov-Hutter)  u = -(learning_rate d + weight_decay p)

Weight decay is decoupled: it never enters the moments (Loshchilov & Hutter, 2019,
arXiv:1711.05101), and it acts on the parameters before the step.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.arrays import scaled
from adaptive_optax.core.checks import (
    check_flag,
    check_mask,
    check_params,
    check_rate,
    check_transformation,
)
from adaptive_optax.core.leafwise import lift
from adaptive_optax.core.leaves import broadcast
from adaptive_optax.core.lift import Call, Lifted, NoSlots, Rule
from adaptive_optax.core.types import Mask, Scalar, Schedule


class Descent(optax.GradientTransformationExtraArgs):
    """An optimizer that says by which learning rate it walks."""

    learning_rate: Scalar | Schedule


def descend(
    direction: optax.GradientTransformation,
    learning_rate: Scalar | Schedule,
    *,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    independent_decay: bool = False,
    name: str | None = None,
) -> Descent:
    """An optimizer that walks down `direction`.

    Args:
      direction: gives the direction uphill, such as `scale_by_adam()`. One made by `leafwise` is
        extended before it is lifted, so that a parameter is read once and rounded once; any
        other optax transformation is chained.
      learning_rate: at least 0; a float, an array (may be traced) or a schedule, which gets the
        number of updates done, 0 at the first.
      weight_decay: at least 0, decoupled; a float, an array or a schedule of its own.
      mask: which leaves decay, all by default: a tree of bools, a prefix of one, or a function
        from the parameters to one.
      independent_decay: True takes weight_decay as it is, as in the paper; False multiplies it
        by the learning rate, as torch and optax do.
      name: what errors call the optimizer; the direction's name by default.

    Returns:
      A transformation whose updates are added to the parameters.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range; at update, where weight
        decay is on and params are missing.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = descend(ao.scale_by_lion(), 0.1, weight_decay=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> updates, _ = tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)
    >>> [round(float(x), 3) for x in params + updates]
    [0.85, -2.0]
    """
    check_transformation("descend", direction=direction)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"descend(name={name!r}): name must be a word, which errors begin with.")
    rule = direction.rule if isinstance(direction, Lifted) else None
    name = name or (rule.name.removeprefix("scale_by_") if rule else "descend")
    check_rate(name, learning_rate=learning_rate, weight_decay=weight_decay)
    check_flag(name, independent_decay=independent_decay)
    decays = decaying(name, weight_decay, mask)
    counted = callable(learning_rate) or callable(weight_decay)

    def turned(d, p, rate, decay):
        step = scaled(d, -rate)
        if decay is None:
            return step
        return step - scaled(p, decay if independent_decay else scaled(rate, decay))

    def walked(call):
        return [(call.rate, decay) for (decay,) in decays(call)]

    if not rule:
        finish = Rule(
            name,
            NoSlots,
            lambda p: NoSlots(),
            lambda d, slots, p, at, rate, decay: (turned(d, p, rate, decay), slots),
            extras=walked,
            counted=counted,
            learning_rate=learning_rate,
        )
        return walking(optax.chain(direction, lift(finish)), learning_rate)

    def extras(call):
        own = rule.extras(call) if rule.extras else [()] * call.treedef.num_leaves
        return [(*more, *last) for more, last in zip(own, walked(call), strict=True)]

    def update(g, slots, p, at, *more):
        *own, rate, decay = more
        d, slots = rule.update(g, slots, p, at, *own)
        u = turned(d, p, rate, decay)
        return jnp.where(rule.waits(at), jnp.zeros_like(u), u) if rule.waits else u, slots

    counted = counted or rule.counted
    walker = rule._replace(
        name=name, update=update, extras=extras, counted=counted, learning_rate=learning_rate
    )
    return walking(direction.again(walker), learning_rate)


def downhill(direction: Lifted) -> Descent:
    """An optimizer of a rule that has its learning rate in it: the direction turned downhill."""
    rule = direction.rule

    def update(g, slots, p, *more):
        d, slots = rule.update(g, slots, p, *more)
        return -d, slots

    walker = rule._replace(name=rule.name.removeprefix("scale_by_"), update=update)
    return walking(direction.again(walker), rule.learning_rate)


def walking(tx: optax.GradientTransformation, learning_rate: Scalar | Schedule) -> Descent:
    """The same optimizer, saying that it walks by that learning rate."""
    named = Descent(tx.init, tx.update)
    named.learning_rate = learning_rate
    return named


def decaying(
    name: str, weight_decay: Scalar | Schedule, mask: Mask | None
) -> Callable[[Call], Sequence[tuple]]:
    """The extras (weight decay, or None where there is none) of each leaf."""
    check_mask(name, mask=mask)
    decays = not (isinstance(weight_decay, int | float) and weight_decay == 0)

    def extras(call):
        if not decays:
            return [(None,)] * call.treedef.num_leaves
        check_params(name, "weight_decay", call.params)
        decay = value_at(weight_decay, call.count)
        chosen = broadcast(name, "mask", mask, call.params)
        return [(decay if decayed else None,) for decayed in chosen]

    return extras


def value_at(value: Scalar | Schedule, count: jax.Array) -> Scalar:
    """A schedule's value after that many updates; a number as it is, but a float."""
    value = value(count) if callable(value) else value
    return float(value) if isinstance(value, int) else value
