"""Which leaves of a state may be kept in few bits: those of slots whose role is known.

Ours say it in the types of their slots (`core.roles`). Of optax's states, it is listed here by the
class and field. Whatever is not listed stays as it is: copies of parameters, sums without end, the
largest value so far (rounding by chance would ratchet it up), counts, keys, and what others made.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax

from adaptive_optax.core.checks import check_choice
from adaptive_optax.core.roles import NON_NEGATIVE, ROLES, SIGNED, SQUARES, roles_of

_SIGNED = {
    "ScaleByAdamState": "mu",
    "ScaleByAmsgradState": "mu",
    "ScaleByBeliefState": "mu",
    "ScaleByLionState": "mu",
    "ScaleByNovogradState": "mu",
    "ScaleByRStdDevState": "mu",
    "ScaleByRStdDevWithCountState": "mu",
    "ScaleByAdanState": "m v",
    "ScaleBySM3State": "nu",  # the momentum; `mu` are largest sums
    "TraceState": "trace",
    "EmaState": "ema",
    "ScaleByAdemamixState": "m1 m2",
    "ScaleBySimplifiedAdEMAMixState": "m",
    "DAdaptAdamWState": "exp_avg",
    "ProdigyState": "exp_avg",
    "MomoState": "exp_avg",
    "MomoAdamState": "exp_avg",
    "MuonState": "mu",
    "SophiaState": "mu nu",  # nu, a Hessian's diagonal, may be negative
}
_NON_NEGATIVE = {
    "ScaleByBeliefState": "nu",
    "ScaleByRmsState": "nu",
    "ScaleByRmsWithCountState": "nu",
    "ScaleByAdaDeltaState": "e_g e_x",
    "ScaleByAdanState": "n",
    "FactoredState": "v",
    "ScaleByAdemamixState": "nu",
    "ScaleBySimplifiedAdEMAMixState": "n",
    "DAdaptAdamWState": "exp_avg_sq",
}
_SQUARES = {  # of what the signed slot before them averages
    "ScaleByAdamState": "nu",
    "ScaleByAmsgradState": "nu",
    "ScaleByRStdDevState": "nu",
    "ScaleByRStdDevWithCountState": "nu",
    "ProdigyState": "exp_avg_sq",
    "MomoAdamState": "exp_avg_sq",
}
_registered: dict[type, dict[str, str]] = {}


class Slot(NamedTuple):
    """One slot of a state."""

    role: str
    tree: Any  # shaped like the parameters


def register_state(state: type, **roles: str) -> None:
    """Tells `stored` which fields of a state of yours may be kept in few bits.

    Args:
      state: the class of the state, a pytree with named fields.
      **roles: of each such field, "signed" for a fading mean or sum of gradients, "non_negative"
        for one of squares or of moduli, "squares" for one of the squares of what the signed field
        before it is a mean of. Not for sums without end, nor for copies of parameters.

    Raises:
      TypeError: where state is no class.
      ValueError: for a field that it does not have, or another role.

    >>> from typing import NamedTuple
    >>> class Velocity(NamedTuple):
    ...     velocity: object
    >>> register_state(Velocity, velocity="signed")
    """
    if not isinstance(state, type):
        raise TypeError(f"register_state(state={state!r}): state must be a class.")
    fields = getattr(state, "_fields", None) or tuple(getattr(state, "__dataclass_fields__", ()))
    for field, role in roles.items():
        if field not in fields:
            raise ValueError(
                f"register_state({state.__name__}, {field}={role!r}): {state.__name__} has no "
                f"field {field!r}; it has {', '.join(fields) or 'none'}."
            )
        check_choice(f"register_state[{state.__name__}]", ROLES, **{field: role})
    _registered[state] = {**_registered.get(state, {}), **roles}


def slots_of(state: Any) -> list[Slot]:
    """The slots of a state whose role is known, in the order of its leaves."""
    found: list[Slot] = []

    def take(role, tree):
        found.append(Slot(role, tree))
        return tree

    _mapped(take, state)
    return found


def with_slots(state: Any, trees: Iterable[Any]) -> Any:
    """A state with other trees in the slots that `slots_of` finds, in the same order."""
    following = iter(trees)
    return _mapped(lambda role, tree: next(following), state)


def _mapped(function: Callable[[str, Any], Any], node: Any) -> Any:
    """A state whose slots of a known role are `function(role, tree)`."""
    children, treedef = _opened(node)
    if treedef is None:
        return node
    known = _roles(type(node))
    new = []
    for key, child in children:
        role = known.get(getattr(key, "name", ""))
        new.append(function(role, child) if role else _mapped(function, child))
    return jax.tree.unflatten(treedef, new)


def _opened(node: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """The children of a node with their keys, and its structure; None for that of a leaf."""
    pairs, treedef = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
    if jax.tree_util.treedef_is_leaf(treedef) or not pairs:
        return [], None
    return [(path[0], child) for path, child in pairs], treedef


def _roles(state: type) -> dict[str, str]:
    """The roles of the fields of a class, by name."""
    if state in _registered:
        return _registered[state]
    if state.__module__.partition(".")[0] == "optax":
        listed = ((SIGNED, _SIGNED), (NON_NEGATIVE, _NON_NEGATIVE), (SQUARES, _SQUARES))
        name = state.__name__
        return {field: role for role, of in listed for field in of.get(name, "").split()}
    return roles_of(state)
