"""Names for the leaves of any optimizer's state that do not depend on places in a chain.

    mu/dense/kernel                 the field of the state that holds it, and the parameter's path
    count                           the steps of a rule
    lookahead.anchor/dense/kernel   what a wrapper keeps, with the wrapper's name before it
    scale_by_schedule.count         of a state of scalars alone: with its name as well
    fast:mu/dense/kernel            of one of several optimizers (`blend`, `switch`, labels of
                                    `optax.partition`): with the name that it was given

Places in tuples and the fields that hold an inner state are left out. Names of states are those of
their classes, in small letters and without "State". What would have a name that another leaf has
already is numbered in the chain's order: "ema/dense/kernel" and "ema#2/dense/kernel".
"""

import re
from typing import Any, NamedTuple

import jax
import numpy as np

from adaptive_optax.checkpoint.encoded_states import Opened

COUNT, RATE, SLOT, OWN, KEPT = "count", "rate", "slot", "own", "kept"
WORDS = {"mu", "nu", "trace"}  # fields of rules even where parameters are scalars


class Entry(NamedTuple):
    """One leaf of a state."""

    name: str
    leaf: Any
    node: int  # which state it belongs to
    kind: str  # COUNT and RATE of a rule or schedule, SLOT of a rule, OWN of a wrapper, or KEPT


def entries(state: Any) -> list[Entry]:
    """The leaves of a state in the order of `jax.tree.leaves`, with their names.

    >>> import jax.numpy as jnp, optax
    >>> tx = optax.chain(optax.clip(1.0), optax.adamw(optax.linear_schedule(0.1, 0.0, 9)))
    >>> [entry.name for entry in entries(tx.init({"w": jnp.zeros(2)}))]
    ['count', 'mu/w', 'nu/w', 'scale_by_schedule.count']
    """
    walk = _Walk()
    walk.outside(state, ())
    return walk.found


def unlabelled(name: str) -> str:
    """A name without the labels of the members that it belongs to."""
    head, slash, path = name.partition("/")
    return head.rpartition(":")[2] + slash + path


def slot_of(name: str) -> str:
    """What all leaves of one slot share of their names, without labels and numbers."""
    return unlabelled(name).partition("/")[0].partition("#")[0]


def of_steps(name: str) -> bool:
    """Whether it is the count of a rule or of a schedule, which begin with the run."""
    owner, _, field = slot_of(name).rpartition(".")
    return "/" not in name and field == "count" and (not owner or owner.endswith("schedule"))


class _Walk:
    """One way through a state, which gives each leaf a name that no other one has."""

    def __init__(self) -> None:
        self.found: list[Entry] = []
        self.used: set[str] = set()
        self.nodes = 0

    def outside(self, node: Any, labels: tuple[str, ...]) -> None:
        """What is no field of a state: a state, or a container of states."""
        children = _children(node)
        if isinstance(node, Opened):
            self.outside(node.plain, labels)
            owner = (*labels, _snake(type(node.coded)))
            for kept in entries(node.coded):
                self.take(f"{':'.join(owner)}.kept", kept.name, kept.leaf, self.nodes, KEPT)
            self.nodes += 1
        elif _is_named(children):
            self.state(node, children, labels)
        elif children and _holds(node, lambda x: _is_named(_children(x))):
            for key, child in children:
                named = (_escaped(key.key),) if hasattr(key, "key") else ()
                self.outside(child, labels + named)
        else:
            self.tree("value", node, labels, self.nodes, SLOT)
            self.nodes += 1

    def state(self, node: Any, children: list, labels: tuple[str, ...]) -> None:
        """A state: its own fields, and those that hold other states."""
        number, self.nodes = self.nodes, self.nodes + 1
        name = _snake(type(node))
        inner = {key.name for key, child in children if _is_inner(key.name, child)}
        rule = not inner and any(_is_slot(key.name, child) for key, child in children)
        owner = "" if rule else f"{name}."
        steps = not inner and (rule or name.endswith("schedule"))
        for key, child in children:
            field = key.name
            if field in inner:
                more = () if "state" in field else (f"{owner}{field}",)
                self.outside(child, labels + more)
            elif _is_slots(child):
                for each, tree in _children(child):
                    self.tree(each.name, tree, labels, number, SLOT)
            elif field == "count" and steps:
                self.tree(f"{owner}count", child, labels, number, COUNT)
            else:
                kind = (RATE if field == "rate" else SLOT) if rule else OWN
                self.tree(f"{owner}{field}", child, labels, number, kind)

    def tree(self, head: str, tree: Any, labels: tuple[str, ...], node: int, kind: str) -> None:
        """The leaves of one field."""
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            self.take(":".join((*labels, head)), _path(path), leaf, node, kind)

    def take(self, head: str, path: str, leaf: Any, node: int, kind: str) -> None:
        """One leaf."""
        rest, name, number = f"/{path}" if path else "", "", 1
        while not name or name in self.used:
            name = head + (f"#{number}" if number > 1 else "") + rest
            number += 1
        self.used.add(name)
        self.found.append(Entry(name, leaf, node, kind))


def _children(node: Any) -> list[tuple[Any, Any]]:
    """The children of a node with their keys; none of a leaf."""
    pairs = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)[0]
    return [(path[0], child) for path, child in pairs if path]


def _is_named(children: list) -> bool:
    """Whether a node has fields, and is no box around one value, such as flax's."""
    names = [key.name for key, _ in children if isinstance(key, jax.tree_util.GetAttrKey)]
    return bool(names) and names != ["value"]


def _holds(node: Any, wanted: Any) -> bool:
    return wanted(node) or any(_holds(child, wanted) for _, child in _children(node))


def _is_inner(field: str, child: Any) -> bool:
    """Whether a field holds other states."""
    if "state" in field and not jax.tree_util.all_leaves([child]):
        return True
    return _holds(child, lambda x: type(x).__name__.endswith("State") and _is_tuple(x))


def _is_tuple(x: Any) -> bool:
    return hasattr(x, "_fields") or hasattr(x, "__dataclass_fields__")


def _is_slots(child: Any) -> bool:
    return type(child).__name__.endswith("Slots") and _is_tuple(child)


def _is_slot(field: str, child: Any) -> bool:
    """Whether a field holds what a rule keeps for each parameter."""
    if field in WORDS or _is_slots(child):
        return True
    if child is None or field == "count":
        return False
    if not jax.tree_util.all_leaves([child]):
        return True
    inexact = jax.numpy.issubdtype(getattr(child, "dtype", np.int32), np.inexact)
    return inexact and np.ndim(child) > 0


def _path(path: tuple) -> str:
    """A parameter's path, without the boxes that flax puts around arrays."""
    words = []
    for key in path:
        if isinstance(key, jax.tree_util.GetAttrKey) and key.name == "value":
            continue
        words.append(str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key)))))
    return "/".join(words)


def _escaped(label: Any) -> str:
    """A label without the signs that names are made of."""
    return re.sub(r"[%:/#.]", lambda sign: f"%{ord(sign[0]):02x}", str(label))


def _snake(kind: type) -> str:
    """`scale_by_schedule` of `ScaleByScheduleState`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind.__name__)
    return words.lower().removesuffix("_state").strip("_")
