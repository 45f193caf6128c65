"""`compared`: what `load_state_dict` would carry, make new and drop."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import optax

from adaptive_optax.checkpoint.encoded_states import opened
from adaptive_optax.checkpoint.leaf_conversion import KEY, converted, text_of
from adaptive_optax.checkpoint.matching import Sources, by_node, sources
from adaptive_optax.checkpoint.names import COUNT, KEPT, SLOT, Entry, entries
from adaptive_optax.checkpoint.state_dict import FORMAT, VERSION


class LoadPreview(NamedTuple):
    """What is carried from a saved state into a fresh one; prints as a summary."""

    carried: tuple[str, ...]  # names of leaves of the state that take a saved value
    new: tuple[str, ...]  # names of those that begin anew
    dropped: tuple[str, ...]  # names in saved that nothing takes
    notes: tuple[str, ...]  # what was carried under another name or in another dtype, and warnings

    def __str__(self) -> str:
        rows = [("carried", self.carried), ("made new", self.new), ("dropped", self.dropped)]
        lines = [f"{word}: {_summary(names)}" for word, names in rows]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def compared(
    tx: optax.GradientTransformation, params: Any, saved: Mapping[str, Any]
) -> LoadPreview:
    """What `load_state_dict` carries by name, makes new and drops, without loading.

    Args:
      tx: the transformation to load into.
      params: the parameters to initialise it with.
      saved: what `state_dict` gave.

    Returns:
      The names. Codes of states in codes are told as carried where the formats are the same; else
      they are made anew of the numbers, and only those of saved are told, as dropped.

    Raises:
      TypeError, ValueError: where saved is not what `state_dict` gave, or of another version.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> params = {"w": jnp.zeros(2)}
    >>> saved = ao.state_dict(ao.lookahead(optax.adam(1e-3)).init(params))
    >>> print(compared(ao.adamw(1e-3), params, saved))
    carried: count, mu, nu
    made new: rate (2)
    dropped: lookahead.count, lookahead.anchor
    """
    listed_names("compared", saved)
    rows = entries(opened(tx.init(params)))
    return comparison(rows, sources(rows, values_of(saved)), saved)


def listed_names(function: str, saved: Any) -> list[str]:
    """The names that were saved, as what was saved lists them.

    Raises:
      TypeError: where saved is no mapping.
      ValueError: where it is not what `state_dict` gave, or of another version.
    """
    if not isinstance(saved, Mapping):
        raise TypeError(
            f"{function}(saved={type(saved).__name__}): saved must be what state_dict gave, "
            f"arrays by name; of a state make one with state_dict(state)."
        )
    if FORMAT not in saved:
        raise ValueError(
            f"{function}(saved=...): saved has no {FORMAT!r}, so it is not what state_dict gave; "
            f"of a state make one with state_dict(state)."
        )
    version, _, names = text_of(saved[FORMAT]).partition("\n")
    if version != VERSION:
        raise ValueError(
            f"{function}(saved=...): its format is {version[:60]!r}, and this library reads "
            f"{VERSION!r}; use the version of adaptive_optax that wrote it, or a newer one."
        )
    try:
        found = json.loads(names)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{function}(saved=...): its list of names, in {FORMAT!r}, is damaged.")
    return found


def comparison(rows: Sequence[Entry], found: Sources, saved: Mapping[str, Any]) -> LoadPreview:
    """What each leaf takes, told."""
    used = {name for name in found if name is not None}
    pairs = [pair for pair in zip(rows, found, strict=True) if np.size(pair[0].leaf)]
    notes = []
    for row, name in pairs:
        if name is not None and name != row.name:
            notes.append(f"{row.name} is taken from {name}")
        if name is not None and (change := converted(row.leaf, saved[name])):
            notes.append(f"{row.name} goes from {change}")
    notes += [
        f"{rows[i].name} is new, but slots beside it are carried: saved has no one count of steps, "
        f"so that bias correction and schedules begin again; to set it: saved[{rows[i].name!r}]"
        for i in counts_lost(rows, found)
    ]
    return LoadPreview(
        carried=tuple(row.name for row, name in pairs if name is not None),
        new=tuple(row.name for row, name in pairs if name is None and row.kind != KEPT),
        dropped=tuple(name for name in values_of(saved) if name not in used),
        notes=tuple(notes),
    )


def counts_lost(rows: Sequence[Entry], found: Sources) -> list[int]:
    """The counts that begin anew beside slots that do not."""
    lost = []
    for places in by_node(rows).values():
        if any(found[i] for i in places if rows[i].kind == SLOT):
            lost += [i for i in places if rows[i].kind == COUNT and found[i] is None]
    return lost


def values_of(saved: Mapping[str, Any]) -> dict[str, Any]:
    """The values of leaves, without what tells of them."""
    told = {name + KEY for name in saved} | {FORMAT}
    return {name: saved[name] for name in saved if name not in told}


def _summary(names: Sequence[str]) -> str:
    """Names by slot, with how many leaves each has."""
    counts = Counter(name.partition("/")[0] for name in names)
    words = [f"{head} ({number})" if number > 1 else head for head, number in counts.items()]
    return ", ".join(words) or "nothing"
