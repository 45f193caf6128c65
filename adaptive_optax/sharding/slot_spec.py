"""The spec of one leaf of a state, from its parameter's."""

import math
from typing import Any

from jax.sharding import PartitionSpec

from adaptive_optax.sharding.init_constraints import Constraint
from adaptive_optax.sharding.param_specs import Place, joined, names_of
from adaptive_optax.sharding.slot_axes import Origin


def entries_of(
    shape: tuple[int, ...],
    origin: Origin,
    place: Place | None,
    constraint: Constraint | None,
    sizes: dict[str, int],
) -> tuple[Any, ...]:
    """The mesh axes of each axis of a leaf; None for one that is not spread.

    Args:
      shape: of the leaf.
      origin: of the leaf.
      place: of its parameter; None where it has none.
      constraint: what the init asks of the leaf, which comes first.
      sizes: lengths of the mesh axes that are known.
    """
    free = PartitionSpec.UNCONSTRAINED
    asked = (free,) * len(shape) if constraint is None else constraint.entries
    used = {name for entry in asked for name in names_of(entry)}
    entries: list[Any] = []
    for length, axes, wanted in zip(shape, origin.axes, asked, strict=True):
        names = inherited(axes, place) if wanted is free else ()
        if wanted is not free:
            entries.append(wanted)
        elif used.isdisjoint(names) and _divides(length, axes, names, place, sizes):
            used.update(names)
            entries.append(joined(names))
        else:  # a mesh axis spreads one axis of an array at most
            entries.append(None)
    return tuple(entries)


def inherited(axes: tuple[int, ...], place: Place | None) -> tuple[str, ...]:
    """The mesh axes that an axis of a leaf has from its parameter's.

    Axes that were made one are spread as the first of them is, where it is the only one that is.
    """
    if place is None or not axes or any(names_of(place.entries[k]) for k in axes[1:]):
        return ()
    return names_of(place.entries[axes[0]])


def _divides(
    length: int,
    axes: tuple[int, ...],
    names: tuple[str, ...],
    place: Place | None,
    sizes: dict[str, int],
) -> bool:
    """Whether the mesh axes divide the length; a whole axis of the parameter they do."""
    if place is None or not names or length % place.shape[axes[0]] == 0:
        return True
    return all(name in sizes for name in names) and not length % math.prod(
        sizes[name] for name in names
    )
