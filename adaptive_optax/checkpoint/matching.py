"""Which saved value each leaf of a fresh state takes, by name.

1. The value of the same name.
2. For a state of which nothing has the same name: those of the same names but for labels, where one
   side has none and there is one of each. So an optimizer's state goes into a `partition` of
   optimizers, and back.
3. For the count of a rule or schedule that was not saved: the one count of those that were, since
   all begin with the run. A rule whose slots are all new has a new count too: its bias correction
   begins with them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adaptive_optax.checkpoint.encoded_states import LAYOUT
from adaptive_optax.checkpoint.names import (
    COUNT,
    KEPT,
    RATE,
    SLOT,
    Entry,
    of_steps,
    unlabelled,
)

Sources = list[str | None]  # of each leaf the name of the value that it takes, None for none


def sources(rows: Sequence[Entry], saved: Mapping[str, Any]) -> Sources:
    """The name of the saved value that each leaf takes."""
    nodes = by_node(rows)
    likely = defaultdict(list)
    for name in saved:
        likely[unlabelled(name)].append(name)
    found: Sources = [row.name if row.name in saved else None for row in rows]
    for places in nodes.values():
        if not any(found[i] for i in places):
            loose = _loosely([rows[i] for i in places], likely)
            for i, source in zip(places, loose, strict=True):
                found[i] = source
    steps = _steps(saved)
    for places in nodes.values():
        slots = [found[i] for i in places if rows[i].kind == SLOT]
        kept = [i for i in places if rows[i].kind == KEPT]
        for i in places:
            if rows[i].kind == COUNT:
                found[i] = (found[i] or steps) if not slots or any(slots) else None
        if kept and not _same_codes([rows[i] for i in kept], [found[i] for i in kept], saved):
            for i in kept:
                found[i] = None
    return found


def by_node(rows: Sequence[Entry]) -> dict[int, list[int]]:
    """The places of the leaves of each state."""
    nodes: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        nodes.setdefault(row.node, []).append(i)
    return nodes


def _loosely(rows: list[Entry], likely: Mapping[str, list[str]]) -> Sources:
    """The same names but for labels; none at all where a slot would be without."""
    found: Sources = []
    for row in rows:
        plain = unlabelled(row.name)
        names = [x for x in likely.get(plain, ()) if row.name == plain or x == plain]
        found.append(names[0] if len(names) == 1 else None)
    pairs = [pair for pair in zip(rows, found, strict=True) if np.size(pair[0].leaf)]
    needed = [name for row, name in pairs if row.kind == SLOT]
    needed = needed or [name for row, name in pairs if row.kind not in (COUNT, RATE)]
    return found if all(needed) else [None] * len(rows)


def _steps(saved: Mapping[str, Any]) -> str | None:
    """The count of the run: one of a rule or schedule, where all such counts agree."""
    names = [name for name in saved if of_steps(name) and np.size(saved[name]) == 1]
    values = {int(np.asarray(saved[name]).reshape(())) for name in names}
    return names[0] if len(values) == 1 else None


def _same_codes(rows: list[Entry], names: Sources, saved: Mapping[str, Any]) -> bool:
    """Whether what was saved is in the formats of a state in codes."""
    for row, name in zip(rows, names, strict=True):
        if np.size(row.leaf) == 0:
            continue
        if name is None or np.shape(saved[name]) != np.shape(row.leaf):
            return False
        if row.name.endswith(LAYOUT) and not np.array_equal(saved[name], row.leaf):
            return False
    return True
