"""What `load_state_dict` refuses, with the names of the leaves."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from adaptive_optax.checkpoint.leaf_conversion import KEY, misfit, text_of
from adaptive_optax.checkpoint.matching import Sources, by_node
from adaptive_optax.checkpoint.names import KEPT, OWN, SLOT, Entry

_SHOWN = 8  # names in a message


def check_forms(rows: Sequence[Entry], found: Sources, saved: Mapping[str, Any]) -> None:
    """Each saved value has the shape and the kind of the leaf that takes it.

    Raises:
      ValueError: names all that do not.
    """
    lines = []
    for row, name in zip(rows, found, strict=True):
        if name is None:
            continue
        kind = text_of(saved[name + KEY]) if name + KEY in saved else None
        if why := misfit(row.leaf, saved[name], kind):
            lines.append(f"{name} {why}")
    if lines:
        raise ValueError(
            f"load_state_dict: {_listed(lines, '; ')}; give the params that the state was saved "
            f"with, or, to make it new, leave its name out of saved and give strict=False."
        )


def check_whole(
    rows: Sequence[Entry], found: Sources, saved: Mapping[str, Any], listed: Iterable[str]
) -> None:
    """Nothing that the state needs is missing from saved, nor lost of it.

    Args:
      rows: the leaves of a fresh state.
      found: what each takes.
      saved: what was saved.
      listed: the names that were saved, as saved itself says.

    Raises:
      ValueError: names what is missing or lost.
    """
    own, listed = {row.name for row in rows}, set(listed)
    lost = [name for name in sorted(listed & own) if name not in saved]
    if lost:
        raise ValueError(
            f"load_state_dict: saved is not whole: it lists {_listed(lost)} and does not have it; "
            f"give the whole of it, or strict=False to make new what is missing."
        )
    missing = [rows[i].name for i in _halves(rows, found)]
    if missing:
        raise ValueError(
            f"load_state_dict: saved has no {_listed(missing)}, but other slots or leaves of the "
            f"same state; give all of it, or strict=False to make new what is missing."
        )
    used = {name for name in found if name is not None}
    heads = {_head(name) for name in used if np.ndim(saved[name])}
    left = [name for name in _arrays(rows, saved, used) if _head(name) in heads]
    if left:
        raise ValueError(
            f"load_state_dict: saved has {_listed(left)}, for which params have no leaf; give the "
            f"params that the state was saved with, or strict=False to drop it."
        )
    slots = [i for i, row in enumerate(rows) if row.kind == SLOT and np.size(row.leaf)]
    others = _arrays(rows, saved, used)
    if slots and others and not any(found[i] for i in slots):
        raise ValueError(
            f"load_state_dict: of the slots of this optimizer, {_listed(_heads(rows, slots))}, "
            f"saved has none, but {_listed(list(dict.fromkeys(map(_head, others))))}; give the "
            f"optimizer that it was saved from, or strict=False to begin anew."
        )


def _halves(rows: Sequence[Entry], found: Sources) -> list[int]:
    """The leaves that nothing was found for, though something was for others beside them."""
    groups: dict[Any, list[int]] = {}
    for node, places in by_node(rows).items():
        for i in places:
            if np.size(rows[i].leaf) == 0:
                continue
            if rows[i].kind == SLOT:
                groups.setdefault(node, []).append(i)
            elif rows[i].kind == OWN and np.ndim(rows[i].leaf):
                groups.setdefault(_head(rows[i].name), []).append(i)
    parted = [places for places in groups.values() if any(found[i] for i in places)]
    return [i for places in parted for i in places if found[i] is None]


def _arrays(rows: Sequence[Entry], saved: Mapping[str, Any], used: set[str]) -> list[str]:
    """The saved arrays that no leaf takes; codes are not counted, since their numbers are."""
    counted = used | {row.name for row in rows if row.kind == KEPT}
    return [
        name
        for name in saved
        if name not in counted and not name.endswith(KEY) and _is_slot(name, saved[name])
    ]


def _is_slot(name: str, value: Any) -> bool:
    return np.ndim(value) > 0 and not _head(name).endswith(".kept")


def _heads(rows: Sequence[Entry], places: Iterable[int]) -> list[str]:
    return list(dict.fromkeys(_head(rows[i].name) for i in places))


def _head(name: str) -> str:
    return name.partition("/")[0]


def _listed(names: Sequence[str], between: str = ", ") -> str:
    more = len(names) - _SHOWN
    return between.join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
