"""The learning rate that each parameter really gets, through everything that multiplies it.

Of a chain, the learning rate is the product of all factors that come after the last rule to which
the scale of what it is given is one: what stands before Adam does not change Adam's step. Numbers
and schedules make the base; what follows the loss or the layer (a plateau, a layer's decay) makes
a factor on it. The two are kept apart, since `set_learning_rate` sets the base.
"""

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from adaptive_optax.core.descend import Chained
from adaptive_optax.core.leaves import broadcast, flat
from adaptive_optax.core.split import Split
from adaptive_optax.core.transformation import Body
from adaptive_optax.introspection.structure import Part, structure


class Effective(NamedTuple):
    """What one leaf's direction is multiplied by."""

    base: Any = None  # learning rate as built or set: float or scalar array; None where unknown
    factor: Any = 1.0  # what a plateau, a layer's decay and the like make of it

    @property
    def rate(self) -> Any:
        """The learning rate; None where it is not known."""
        return None if self.base is None else self.base * self.factor


class _States(NamedTuple):
    """A transformation's states around one update, and the parameters that it sees."""

    before: Any
    after: Any
    params: Any

    def within(self, step: Callable[[Any], Any]) -> "_States":
        return _States(step(self.before), step(self.after), self.params)

    def inside(self, part: Part) -> "_States":
        return (
            self if part.body is not None and part.body.shares_state else self.within(_inner_state)
        )


def rates(tx: optax.GradientTransformation, before: Any, after: Any, params: Any) -> list[Any]:
    """The learning rate of each leaf of params, None leaves included; None where it is not known.

    Args:
      tx: any transformation.
      before: its state before an update.
      after: its state after it; before once more where none was made.
      params: the parameters, or gradients.

    >>> import optax, jax.numpy as jnp
    >>> tx = optax.chain(optax.adam(0.5), optax.scale(0.1))
    >>> params = {"w": jnp.ones(2)}
    >>> state = tx.init(params)
    >>> rates(tx, state, state, params)
    [0.05]
    """
    return [each.rate for each in effective(structure(tx), before, after, params)]


def effective(part: Part, before: Any, after: Any, params: Any) -> list[Effective]:
    """Of each leaf of params the learning rate, its base apart from its factor."""
    start = [Effective()] * len(flat(params)[0])
    found = _walk(part, _States(before, after, params), start)
    memo: dict[int, Effective] = {}
    for each in found:
        if id(each) not in memo:
            memo[id(each)] = each if each.base is None else each._replace(base=0.0 - each.base)
    return [memo[id(each)] for each in found]


def _walk(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    """What is found of each leaf after this part, from what was found before it."""
    if part.body is not None:
        return _walk_body(part, part.body, at, found)
    handler = _HANDLERS.get(part.name)
    if handler is not None:
        return handler(part, at, found)
    if len(part.members) == 1:
        (member,) = part.members.values()
        return _walk(member, at.inside(part), found)
    if part.members:
        return found
    if part.scale_invariant:
        found = [Effective()] * len(found)
    sign = -1 if part.points_downhill else 1
    if "learning_rate" in part.options:  # inside a rule of somebody's own
        return _times(found, sign * _value(part.options["learning_rate"], at.before))
    return found


def _walk_body(part: Part, body: Body, at: _States, found: list[Effective]) -> list[Effective]:
    """The same for a transformation of this library, which says what it does."""
    if part.rule is not None:
        if part.scale_invariant:
            found = [Effective()] * len(found)
        rate = at.after.rate
        sign = -1 if part.points_downhill else 1
        return found if rate is None else _times(found, sign * rate.now)
    if isinstance(body, Chained):
        return _chain(part, at, found)
    if isinstance(body, Split):
        return _split(part, body, at, found)
    shares = body.shares(at.before)
    if shares is not None:
        return _shared(part, shares, at, found)
    for member in part.members.values():
        found = _walk(member, at.inside(part), found)
    factor = body.factor(at.before, at.after, at.params)
    return found if factor is None else _times(found, factor, base=False)


def _inner_state(state: Any) -> Any:
    """The state of the one transformation that a wrapper wraps."""
    names = ("inner_state", "inner_opt_state", "base_optimizer_state", "fast_state", "multi")
    return next((getattr(state, name) for name in names if hasattr(state, name)), state)


def _times(found: list[Effective], by: Any, base: bool = True) -> list[Effective]:
    """Every leaf's base, or factor, times a scalar, or times its own of a list."""
    memo: dict[tuple[int, int], Effective] = {}
    each_by = by if isinstance(by, list) else [by] * len(found)
    result = []
    for each, own in zip(found, each_by, strict=True):
        key = (id(each), id(own))
        if key not in memo:
            if base:
                product = own if each.base is None else each.base * own
                memo[key] = each._replace(base=product)
            else:
                memo[key] = each._replace(factor=each.factor * own)
        result.append(memo[key])
    return result


def _value(value: Any, state: Any) -> Any:
    """A number, or a schedule's value after the updates that a state has counted."""
    if not callable(value):
        return value
    count = next((getattr(state, n) for n in ("count", "step_count") if hasattr(state, n)), None)
    return jnp.nan if count is None else value(count)


def _shared(
    part: Part, shares: Mapping[str, Any], at: _States, found: list[Effective]
) -> list[Effective]:
    """The mean of the members' rates by their shares; one without a share need not be known."""
    members = [
        _walk(member, at.within(functools.partial(_of_member, label=label)), found)
        for label, member in part.members.items()
    ]
    memo: dict[tuple[int, ...], Effective] = {}
    for row in zip(*members, strict=True):
        pairs = zip((shares[label] for label in part.members), row, strict=True)
        rates = [(share, jnp.nan if each.rate is None else each.rate) for share, each in pairs]
        memo.setdefault(
            tuple(map(id, row)),
            Effective(sum(jnp.where(share > 0, share * rate, 0.0) for share, rate in rates)),
        )
    return [memo[tuple(map(id, row))] for row in zip(*members, strict=True)]


def _of_member(state: Any, label: str) -> Any:
    return state.inner_states[label]


def _chain(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    for label, member in part.members.items():
        key: Any = label if part.name == "named_chain" else int(label)
        found = _walk(member, at.within(operator.itemgetter(key)), found)
    return found


def _masked(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    chosen = broadcast("masked", "mask", part.options.get("mask"), at.params)
    return _some(part.members["inner"], at.within(_inner_state), found, chosen)


def _partition(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    labels = broadcast("partition", "param_labels", part.options["param_labels"], at.params, str)
    for label, member in part.members.items():
        own = at.within(functools.partial(_labelled, label=label))
        found = _some(member, own, found, [str(each) == label for each in labels])
    return found


def _labelled(state: Any, label: str) -> Any:
    """The state of the transformation with that label, which may be no string itself."""
    states = state.inner_states.items()
    return _inner_state(next(inner for key, inner in states if str(key) == label))


def _split(part: Part, body: Split, at: _States, found: list[Effective]) -> list[Effective]:
    chosen = [bool(label) for label in body.choose(at.params)]
    found = _some(part.members["chosen"], at.within(lambda s: s.chosen), found, chosen)
    rest = [not label for label in chosen]
    return _some(part.members["rest"], at.within(lambda s: s.rest), found, rest)


def _some(member: Part, at: _States, found: list[Effective], chosen: list[bool]) -> list[Effective]:
    """Walks a transformation that sees the chosen leaves only."""
    leaves, treedef = flat(at.params)
    kept = [x if own else optax.MaskedNode() for x, own in zip(leaves, chosen, strict=True)]
    seen = at._replace(params=treedef.unflatten(kept))
    inner = iter(_walk(member, seen, [e for e, own in zip(found, chosen, strict=True) if own]))
    return [next(inner) if own else each for each, own in zip(found, chosen, strict=True)]


def _flatten(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    """`optax.flatten` makes one vector of all leaves."""
    if not found:
        return found
    one = at.within(_inner_state)._replace(params=jnp.zeros(1))
    return _walk(part.members["inner"], one, found[:1]) * len(found)


def _injected(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    if part.build is None:  # a user's factory: its number is taken for the learning rate
        rate = at.after.hyperparams.get("learning_rate")
        return [Effective(None if rate is None else 0.0 - rate)] * len(found)
    built = part.build(at.after.hyperparams)
    return _walk(structure(built), at.within(_inner_state), found)


def _by_schedule(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    return _times(found, _value(part.options["step_size_fn"], at.before))


def _by_state(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    return _times(found, at.after.scale, base=False)


def _by_search(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    return _times(found, at.after.learning_rate, base=False)


def _by_loss(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    """A step of the loss over the gradient's square, of which the state keeps nothing."""
    return _times(found, jnp.nan, base=False)


def _at_times(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    """A transformation that acts at some steps only; at which, the state does not tell."""
    (member,) = part.members.values()
    return _times(_walk(member, at.inside(part), found), jnp.nan, base=False)


def _to_target(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    """Coin betting gives the way downhill itself, whatever the gradient's scale and sign."""
    return [Effective(-1.0)] * len(found)


def _by_number(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    return _times(found, part.options["step_size"])


def _to_zero(part: Part, at: _States, found: list[Effective]) -> list[Effective]:
    return _times(found, 0.0)


_HANDLERS: dict[str, Callable[[Part, _States, list[Effective]], list[Effective]]] = {
    "chain": _chain,
    "named_chain": _chain,
    "masked": _masked,
    "partition": _partition,
    "flatten": _flatten,
    "inject_hyperparams": _injected,
    "inject_stateful_hyperparams": _injected,
    "scale": _by_number,
    "scale_by_schedule": _by_schedule,
    "reduce_on_plateau": _by_state,
    "scale_by_backtracking_linesearch": _by_search,
    "scale_by_zoom_linesearch": _by_search,
    "scale_by_polyak": _by_loss,
    "conditionally_mask": _at_times,
    "conditionally_transform": _at_times,
    "scale_by_cocob": _to_target,
    "set_to_zero": _to_zero,
}
