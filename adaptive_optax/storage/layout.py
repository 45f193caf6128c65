"""The layout of a stored state: which format each leaf of each slot is kept in.

It is part of the state, as bytes of text, so that a checkpoint says how to read it:

    stored/1
    a minifloat8/1
    b float32
    signed abab
    squares abab

First the version of this text, then a letter for each format, then for each slot its role and a
letter for each of its leaves.
"""

import string
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.storage.bfloat16 import Bfloat16
from adaptive_optax.storage.factored import Factored
from adaptive_optax.storage.format import Format
from adaptive_optax.storage.int4 import Int4
from adaptive_optax.storage.int8 import Int8
from adaptive_optax.storage.minifloat8 import Minifloat8
from adaptive_optax.storage.slot_plans import Plan

VERSION = "stored/1"
PLAIN = "float32"
FORMATS: tuple[Any, ...] = (Bfloat16, Minifloat8, Int8, Int4, Factored)
_LETTERS = string.ascii_letters + string.digits


def written(plans: Sequence[Plan]) -> jax.Array:
    """Plans as the bytes of a text, uint8, shape (bytes,)."""
    return jnp.asarray(np.frombuffer(text(plans), np.uint8))


def text(plans: Sequence[Plan]) -> bytes:
    """Plans as a text."""
    labels = list(dict.fromkeys(_label(each) for plan in plans for each in plan.kinds))
    if len(labels) > len(_LETTERS):
        raise ValueError(
            f"stored(format=...): a state may have {len(_LETTERS)} formats, not {len(labels)}."
        )
    letters = dict(zip(labels, _LETTERS, strict=False))
    lines = [VERSION, *(f"{letter} {label}" for label, letter in letters.items())]
    for plan in plans:
        lines.append(f"{plan.role} {''.join(letters[_label(each)] for each in plan.kinds)}")
    return "\n".join(lines).encode()


def read(layout: jax.Array) -> list[Plan]:
    """The plans that `written` made the bytes of.

    Raises:
      ValueError: where it is no such text, of another version, or with a format not known here.
    """
    if isinstance(layout, jax.core.Tracer):
        raise ValueError("StoredState.decoded reads the state's layout, so call it outside of jit.")
    array = np.asarray(layout)
    words = array.reshape(-1, array.shape[-1])[0].tobytes().decode(errors="replace")
    version, *lines = words.split("\n")
    if version != VERSION:
        raise ValueError(
            f"the layout of the stored state begins with {version[:20]!r} and not {VERSION!r}: it "
            f"is damaged, or of another version of adaptive_optax."
        )
    rows = [line.partition(" ")[::2] for line in lines]
    formats = {letter: _format(label) for letter, label in rows if len(letter) == 1}
    return [
        Plan(role, tuple(formats[letter] for letter in letters))
        for role, letters in rows
        if len(role) > 1
    ]


def _label(kind: Format | None) -> str:
    """What a format is saved as: its name, and its block where it has one."""
    if kind is None:
        return PLAIN
    block = getattr(kind, "block", None)
    return kind.name if block is None else f"{kind.name} {block}"


def _format(label: str) -> Format | None:
    if label == PLAIN:
        return None
    name, _, block = label.partition(" ")
    for kind in FORMATS:
        if kind.name == name:
            return kind(int(block)) if block else kind()
    known = ", ".join(kind.name for kind in FORMATS)
    raise ValueError(f"the stored state has format {name!r}; known here are {known}.")
