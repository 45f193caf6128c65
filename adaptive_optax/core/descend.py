"""`descend`: from a direction to an optimizer, by learning rate, weight decay and sign.

    coupled (torch, optax)           u = -learning_rate (d + weight_decay p)
    independent (Loshchilov-Hutter)  u = -(learning_rate d + weight_decay p)

Weight decay is decoupled: it never enters the moments (Loshchilov & Hutter, 2019,
arXiv:1711.05101), and it acts on the parameters before the step.
"""

from typing import Any

import jax
import optax

from adaptive_optax.core.arrays import scaled
from adaptive_optax.core.checks import check_params, check_rate, check_transformation
from adaptive_optax.core.leafwise import Leafwise, NoSlots, Rule, lift
from adaptive_optax.core.leaves import is_none
from adaptive_optax.core.types import Mask, Scalar, Schedule, Transformation


def descend(
    direction: optax.GradientTransformation,
    learning_rate: Scalar | Schedule,
    *,
    weight_decay: Scalar | Schedule = 0.0,
    mask: Mask | None = None,
    independent_decay: bool = False,
    name: str | None = None,
) -> Transformation:
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
    rule = direction.rule if isinstance(direction, Leafwise) else None
    name = name or (rule.name.removeprefix("scale_by_") if rule else "descend")
    check_rate(name, learning_rate=learning_rate, weight_decay=weight_decay)
    scheduled = callable(learning_rate) or callable(weight_decay)
    decays = not (isinstance(weight_decay, int | float) and weight_decay == 0)

    def extras(count, params, treedef):
        rate = _at(learning_rate, count)
        if not decays:
            return [(-rate, None)] * treedef.num_leaves
        check_params(name, "weight_decay", params)
        decay = _at(weight_decay, count)
        share = -decay if independent_decay else -rate * decay
        chosen = treedef.flatten_up_to(_broadcast(name, mask, params))
        return [(-rate, share if decayed else None) for decayed in chosen]

    def turned(d, p, rate, share):
        step = scaled(d, rate)
        return step if share is None else step + scaled(p, share)

    if rule:

        def update(g, slots, p, shared, rate, share):
            d, slots = rule.update(g, slots, p, shared)
            return turned(d, p, rate, share), slots

        return lift(rule._replace(name=name, update=update), extras, scheduled)

    finish = Rule(
        name,
        NoSlots,
        lambda p: NoSlots(),
        lambda d, slots, p, shared, rate, share: (turned(d, p, rate, share), slots),
        None,
    )
    return optax.chain(direction, lift(finish, extras, scheduled))


def _at(value: Scalar | Schedule, count: jax.Array) -> Scalar:
    """A schedule's value for this update; a number as it is, but a float."""
    value = value(count) if callable(value) else value
    return float(value) if isinstance(value, int) else value


def _broadcast(name: str, mask: Mask | None, params: Any) -> Any:
    """One bool a leaf of params, None leaves included."""
    mask = mask(params) if callable(mask) else mask
    if mask is None:
        mask = True
    try:
        return jax.tree.map(
            lambda chosen, part: jax.tree.map(lambda _: chosen, part, is_leaf=is_none), mask, params
        )
    except ValueError as error:
        raise ValueError(
            f"{name}(mask=...): mask must be a tree of bools shaped like the parameters, a prefix "
            f"of one, or a function from the parameters to one: {error}"
        ) from error
