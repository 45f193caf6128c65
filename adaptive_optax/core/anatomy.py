"""What a transformation is made of: its name, its options, and the transformations inside it.

A transformation is two functions, and `optax.chain` keeps no more of it than these. What they close
over still tells which rule they are, with which numbers. Ours say it themselves, by `described`.
"""

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

Factor = Callable[[Any, Any, Any], Any]
Shares = Callable[[Any], Mapping[str, Any]]


class Part(NamedTuple):
    """One transformation, taken apart."""

    name: str  # as it is called, such as "scale_by_adam"
    library: str  # the first word of its module
    options: Mapping[str, Any]  # what it was built with
    members: Mapping[str, "Part"]  # the transformations inside it, by name or place
    tx: optax.GradientTransformation
    factor: Factor | None = None  # before, after, params -> what its update is multiplied by
    own_state: bool = True  # whether its state has the members' in it; else it is the member's
    shares: Shares | None = None  # state before an update -> how much of it is each member's


class _Told(NamedTuple):
    """What a transformation of ours says of itself."""

    name: str
    options: Mapping[str, Any]
    members: Mapping[str, optax.GradientTransformation]
    factor: Factor | None
    own_state: bool
    shares: Shares | None


def described(
    tx: optax.GradientTransformation,
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    members: Mapping[str, optax.GradientTransformation] | None = None,
    factor: Factor | None = None,
    own_state: bool = True,
    shares: Shares | None = None,
) -> Any:
    """The same transformation, which now says what it is, in a chain too.

    Args:
      tx: whose update function is its own, and not one that others share.
      name: as users call it.
      options: what it was built with, to be shown.
      members: the transformations inside it, by name.
      factor: `factor(before, after, params)` is what it multiplies its inner one's update by, where
        that is all it does to it: a scalar, or a list of one a leaf of params, None leaves
        included; before and after are its own states.
      own_state: False where its state is that of its one member, with nothing added.
      shares: `shares(before)` is how much of an update each member makes, by name, from the state
        before it; the states of members are `inner_states`, by name.
    """
    told = _Told(name, options or {}, members or {}, factor, own_state, shares)
    tx.update.told = told  # type: ignore[union-attr,attr-defined,unused-ignore]
    return tx


def anatomy(tx: optax.GradientTransformation) -> Part:
    """Any optax transformation taken apart.

    >>> import optax
    >>> found = anatomy(optax.chain(optax.clip(1.0), optax.adam(0.1)))
    >>> [part.name for part in found.members.values()]
    ['clip', 'chain']
    >>> found.members["1"].members["0"].options["b2"]
    0.999
    """
    return _anatomy(tx, ())


def _anatomy(tx: optax.GradientTransformation, around: tuple) -> Part:
    """The same; `around` are the updates that it is part of, lest one that knows itself recur."""
    update, tx = _unwrapped(tx)
    around = (*around, update)
    told = getattr(update, "told", None)
    if told is not None:
        members = {label: _anatomy(member, around) for label, member in told.members.items()}
        return Part(told.name, "adaptive_optax", told.options, members, tx, *told[3:])
    library = (getattr(update, "__module__", None) or "").partition(".")[0]
    values = {**closed_over(tx.init), **closed_over(update)}
    rule: Any = values.get("rule")
    if _is_rule(rule):
        return Part(rule.name, library, _options_of_rule(rule), {}, tx)
    owner = getattr(update, "__self__", None)
    if isinstance(owner, optax.MultiSteps):
        every = closed_over(owner._every_k_schedule).get("every_k_schedule", "a schedule")
        inner = _anatomy(owner.inner_opt, around)
        return Part("MultiSteps", library, {"every": every}, {"inner": inner}, tx)
    members = {
        label: _anatomy(member, around)
        for label, member in _members(values)
        if _unwrapped(member)[0] not in around
    }
    if "inner_factory" in values:
        return _injected(values, tx, around)
    options = {key: value for key, value in values.items() if _shown(key, value)}
    return Part(_name(update), library, options, members, tx)


def parts(part: Part) -> list[Part]:
    """A part and everything inside it, in the order of their work."""
    return [part, *(inner for member in part.members.values() for inner in parts(member))]


def closed_over(function: Any) -> dict[str, Any]:
    """The values that a function closes over, by name."""
    found = {}
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not filled: never called
            continue
    return found


def is_transformation(value: Any) -> bool:
    """Whether value is an init/update pair."""
    return isinstance(value, optax.GradientTransformation)


def _unwrapped(tx: optax.GradientTransformation) -> tuple[Any, optax.GradientTransformation]:
    """The update function itself, without `jax.jit` and what lets extra arguments through."""
    update = tx.update
    while True:
        if isinstance(update, functools.partial):
            update = update.func
        elif hasattr(update, "__wrapped__"):
            update = update.__wrapped__
        elif getattr(update, "__qualname__", "").startswith("with_extra_args_support."):
            tx = closed_over(update)["tx"]
            update = tx.update
        else:
            return update, tx


def _members(values: Mapping[str, Any]) -> list[tuple[str, optax.GradientTransformation]]:
    """The transformations among what an update closes over, with their labels."""
    if "update_fns" in values:  # of optax.chain, which keeps functions only
        both = zip(values["init_fns"], values["update_fns"], strict=True)
        return [
            (str(i), optax.GradientTransformationExtraArgs(init, update))
            for i, (init, update) in enumerate(both)
        ]
    found = []
    for name, value in values.items():
        if is_transformation(value):
            found.append((name, value))
        elif isinstance(value, Mapping):
            found += [(str(key), tx) for key, tx in value.items() if is_transformation(tx)]
        elif isinstance(value, list | tuple):
            named = (pair for pair in value if isinstance(pair, tuple) and len(pair) == 2)
            found += [(str(key), tx) for key, tx in named if is_transformation(tx)]
    return found


def _injected(values: Mapping[str, Any], tx: optax.GradientTransformation, around: tuple) -> Part:
    """`optax.inject_hyperparams`: a factory, and the numbers that are its state's."""
    numbers = values.get("numeric_hps") or {}
    schedules = values.get("sched_hps") or values.get("sched_fns") or {}
    others = values.get("other_hps") or {}
    plain = {name: getattr(each, "schedule_fn", each) for name, each in schedules.items()}
    start = {name: _first(each, plain[name]) for name, each in schedules.items()}
    inner = values["inner_factory"](**others, **numbers, **start)
    options = {**numbers, **plain}
    return Part("inject_hyperparams", "optax", options, {"inner": _anatomy(inner, around)}, tx)


def _first(schedule: Any, plain: Any) -> jax.Array:
    """The value at the first update, as an array, since it is not the value of all."""
    try:
        return jnp.asarray(schedule(schedule.init()) if hasattr(schedule, "init") else plain(0))
    except Exception:  # no schedule, such as a function from parameters to a mask
        return jnp.zeros(())


def _options_of_rule(rule: Any) -> dict[str, Any]:
    """The numbers and words that a rule of ours was built with, however deep its functions."""
    found = {} if rule.learning_rate is None else {"learning_rate": rule.learning_rate}
    waiting = [rule]
    while waiting:
        value = waiting.pop(0)
        if _is_rule(value):
            waiting += [value.update, value.per_step, value.extras, value.whole]
        elif isinstance(value, tuple):
            waiting += value
        elif isinstance(value, types.FunctionType):
            for key, inner in closed_over(value).items():
                if _shown(key, inner):
                    found.setdefault(key, inner)
                else:
                    waiting.append(inner)
    if not callable(decay := found.get("weight_decay", 0)) and isinstance(decay, int | float):
        unused = {"independent_decay", *({"weight_decay"} if decay == 0 else ())}
        independent = decay and found.get("independent_decay")
        found = {k: v for k, v in found.items() if k not in unused or (independent and v)}
    return found


def _is_rule(value: Any) -> bool:
    return hasattr(value, "slots") and hasattr(value, "per_step")


_INTERNAL = (  # closed over, and no options
    *("penalized", "decays", "counted", "name", "argument"),
    *("mask_compatible_extra_args", "forward_extra_args"),
)
_CALLABLE = ("learning_rate", "weight_decay", "step_size_fn", "mask", "param_labels", "schedule")


def _shown(key: str, value: Any) -> bool:
    """Whether a value is an option that tells a reader something."""
    if key.startswith("_") or key in _INTERNAL:
        return False
    if isinstance(value, jax.Array | np.ndarray):
        return value.ndim == 0
    return isinstance(value, int | float | str) or (key in _CALLABLE and value is not None)


def _name(update: Any) -> str:
    """`scale_by_adam` of `scale_by_adam.<locals>.update_fn`; a class of its method."""
    name = getattr(update, "__qualname__", type(update).__name__)
    first = name.split(".<locals>")[0]
    return first.removesuffix(".update")
