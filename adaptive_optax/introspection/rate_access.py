"""`learning_rate_of` and `set_learning_rate`: the rate in a state, read and set.

Where a rate is kept:
- by each of our optimizers, however deep in chains and wrappers;
- by `monitored(tx)`, for an optimizer that keeps none, such as `optax.adam(1e-3)`;
- by `optax.inject_hyperparams`, as the hyperparameter `learning_rate`.

An optimizer of several, such as `optax.partition`, has several rates, by the partition's labels.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from adaptive_optax.core.checks import check_rate, suggestion
from adaptive_optax.core.protocols import HasLearningRates, HasRateFactor
from adaptive_optax.core.rate import Rate, injects, keeps_rate

WAYS_OUT = (
    "wrap the optimizer, ao.monitored(tx), take one of adaptive_optax, or build it by "
    "optax.inject_hyperparams"
)


def learning_rate_of(state: Any) -> Any:
    """The learning rate of the last update; before the first, that of the first; or what was set.

    Everything that is known to multiply it is in it: schedule, warm-up, what was set, plateau and
    hypergradient. `monitored` also knows of layers and groups.

    Args:
      state: optimizer state, of any nesting of chains and wrappers; may be traced.

    Returns:
      A float scalar; where the state keeps several rates, a dict of them by name: the groups of
      `monitored`, the labels of `optax.partition`.

    Raises:
      ValueError: where the state keeps no learning rate.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = ao.adam(ao.schedules.step(0.5, 0.5, every=1))
    >>> params = jnp.ones(2)
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     updates, state = tx.update(params, state, params)
    >>> float(learning_rate_of(state))
    0.25
    """
    found: dict[str, Any] = {}
    factors: dict[str, Any] = {}
    for name, node in _nodes((state,), _reports):
        if isinstance(node, HasLearningRates):
            for group, rate in node.learning_rates.items():
                found.setdefault("/".join(x for x in (name, group) if x), rate)
        elif isinstance(node, Rate):
            found.setdefault(name, node.now)
        elif injects(node):
            found.setdefault(name, node.hyperparams["learning_rate"])
        else:
            factors[name] = factors.get(name, 1.0) * _factor(node)
    if not found:
        raise ValueError(
            f"learning_rate_of(state={_kinds(state)}): this state keeps no learning rate; "
            f"{WAYS_OUT}(...)(learning_rate=...)."
        )
    found = {name: _multiplied(name, rate, factors) for name, rate in found.items()}
    return next(iter(found.values())) if len(found) == 1 else found


def set_learning_rate(state: Any, value: Any) -> Any:
    """A state whose optimizer walks by another learning rate, from its next update on.

    The rate is an array in the state, so that nothing is compiled anew. It holds against the
    schedule that the optimizer was built with, until another is set, or None. Factors on it stay:
    a plateau's, a layer's decay.

    Args:
      state: optimizer state, of any nesting of chains and wrappers; it is left as it is.
      value: a number of at least 0, or a scalar array (may be traced), for all rates; a dict of
        them for those of these names only, as `learning_rate_of` gives it; None, here or in the
        dict, goes back to what the optimizer was built with.

    Returns:
      The new state, of the same structure, shapes and dtypes.

    Raises:
      ValueError: where the state keeps no rate that can be set, value is no scalar, negative or
        not finite, or a name is not one of the state's.
      TypeError: where value is no number.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> tx = ao.sgd(0.5)
    >>> params = jnp.ones(2)
    >>> state = set_learning_rate(tx.init(params), 0.25)
    >>> tx.update(params, state, params)[0].tolist()
    [-0.25, -0.25]
    """
    names = _settable(state)
    wanted = dict(value) if isinstance(value, Mapping) else dict.fromkeys(names, value)
    for name, rate in wanted.items():
        if name not in names:
            known = tuple(sorted(each for each in names if each))
            listed = ", ".join(map(repr, known)) or "one without a name; give a number"
            raise ValueError(
                f"set_learning_rate(value={{{name!r}: ...}}): this state has no rate of that name, "
                f"but {listed}{suggestion(name, known)}"
            )
        if rate is not None:
            _check_value(rate)
    return tell_rates(_replaced(state, wanted), state)


def tell_rates(state: Any, before: Any) -> Any:
    """The state, with what was set in it since `before` in what it reports of the last update."""

    def tells(node: Any) -> bool:
        return isinstance(node, HasLearningRates)

    return jax.tree.map(
        lambda new, old: new.told_rates(old) if tells(new) else new, state, before, is_leaf=tells
    )


def _check_value(rate: Any) -> None:
    """A rate to set is a real number of at least 0.

    Raises:
      TypeError, ValueError: where it is not.
    """
    if callable(rate):
        raise TypeError(
            "set_learning_rate(value=a schedule): value must be a number; build the optimizer with "
            "the schedule."
        )
    check_rate("set_learning_rate", value=rate)
    dtype = getattr(rate, "dtype", jnp.dtype(float))
    if not (jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)):
        raise TypeError(f"set_learning_rate(value={rate}): value must be a real number.")
    if hasattr(rate, "dtype") and not isinstance(rate, jax.core.Tracer):
        check_rate("set_learning_rate", value=float(rate))


def _settable(state: Any) -> set[str]:
    """The names of the rates that can be set.

    Raises:
      ValueError: where there is none, or an injected one follows a schedule.
    """
    names = set()
    for name, node in _nodes((state,), keeps_rate):
        if injects(node):
            if "learning_rate" in (getattr(node, "hyperparams_states", None) or {}):
                raise ValueError(
                    "set_learning_rate(state=...): its optax.inject_hyperparams has a schedule for "
                    "learning_rate, which would overwrite what is set; inject a number, or give "
                    "the schedule to an optimizer of adaptive_optax."
                )
            names.add(name)
        elif isinstance(node, Rate):
            names.add(name)
    if not names:
        raise ValueError(
            f"set_learning_rate(state={_kinds(state)}): this state keeps no learning rate that can "
            f"be set; {WAYS_OUT}(...)(learning_rate=...). Inside lookahead, schedule_free and "
            f"averaged, wrap the innermost optimizer."
        )
    return names


def _replaced(state: Any, wanted: Mapping[str, Any]) -> Any:
    """The state with the wanted rates in it."""
    leaves, treedef = jax.tree_util.tree_flatten_with_path(state, is_leaf=keeps_rate)
    new = []
    for path, node in leaves:
        name = _name(path)
        if name in wanted and isinstance(node, Rate):
            node = _held(node, wanted[name])
        elif name in wanted and injects(node):
            if wanted[name] is None:
                raise ValueError(
                    "set_learning_rate(value=None): optax.inject_hyperparams keeps no other rate "
                    "to go back to; give a number."
                )
            old = jnp.asarray(node.hyperparams["learning_rate"])
            if not jnp.issubdtype(old.dtype, jnp.floating):
                raise ValueError(
                    f"set_learning_rate(state=...): its optax.inject_hyperparams was given an "
                    f"integer for learning_rate, {old.dtype}, which holds no other rate; give a "
                    f"float."
                )
            rates = {**node.hyperparams, "learning_rate": jnp.full_like(old, wanted[name])}
            node = node._replace(hyperparams=rates)
        new.append(node)
    return jax.tree.unflatten(treedef, new)


def _held(rate: Rate, value: Any) -> Rate:
    if value is None:
        return Rate(rate.now, jnp.zeros_like(rate.held))
    return Rate(jnp.full_like(rate.now, value), jnp.ones_like(rate.held))


def _nodes(state: Any, stop: Any) -> list[tuple[str, Any]]:
    """The parts of a state that keep a rate or a factor, with their names."""
    found = []
    below = jax.tree_util.tree_flatten_with_path(
        state, is_leaf=lambda x: x is not state and stop(x)
    )
    for path, node in below[0]:
        if stop(node):
            found.append((_name(path), node))
        inner = []
        if _factor(node) is not None:  # what it multiplies is inside
            inner = _nodes(node, stop)
        elif stop is _reports and injects(node):  # it tells the rate, but no factor on it
            inner = _nodes((node.inner_state,), lambda x: _factor(x) is not None)
        if inner:
            found += [("/".join(x for x in (_name(path), name) if x), each) for name, each in inner]
    return found


def _reports(node: Any) -> bool:
    return keeps_rate(node) or isinstance(node, HasLearningRates) or _factor(node) is not None


def _factor(node: Any) -> Any:
    """What a state multiplies the rate by; None for all other nodes."""
    if type(node).__name__ == "ReduceLROnPlateauState":  # optax's
        return node.scale
    return node.rate_factor if isinstance(node, HasRateFactor) else None


def _multiplied(name: str, rate: Any, factors: Mapping[str, Any]) -> Any:
    """A rate times the factors of the same place, and of all above it."""
    for place, factor in factors.items():
        if place in ("", name) or name.startswith(f"{place}/"):
            rate = rate * factor
    return rate


def _name(path: Any) -> str:
    """The place of a node by the names that people gave: keys of dicts, with "/" between."""
    return "/".join(str(key.key) for key in path if isinstance(key, jax.tree_util.DictKey))


def _kinds(state: Any) -> str:
    """The kinds of states in a state, for messages."""
    if type(state) is tuple:
        return f"({', '.join(map(_kinds, state))})"
    return type(state).__name__
