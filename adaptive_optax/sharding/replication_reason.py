"""Why an array lies whole on each device."""

import math
from typing import Any, NamedTuple

import jax
import optax

from adaptive_optax.introspection.structure import parts, structure
from adaptive_optax.sharding.param_specs import Place, names_of
from adaptive_optax.sharding.partitioned import Partitioned
from adaptive_optax.sharding.slot_axes import Origin
from adaptive_optax.sharding.state_shardings import Layout

SCALAR = "a scalar"


class Reasons(NamedTuple):
    """A reason for each leaf; empty for one that is spread."""

    params: list[str]
    state: list[str]


def reasons(tx: optax.GradientTransformation, layout: Layout, sizes: dict[str, int]) -> Reasons:
    """Why each parameter, and each leaf of the state, lies whole on each device.

    Args:
      tx: the transformation.
      layout: what is known of its state.
      sizes: the lengths of the mesh axes.
    """
    if math.prod(sizes.values()) == 1:
        whole = ["there is one device"]
        return Reasons(whole * len(layout.places), whole * len(layout.origins))
    shares = _shares(tx, sizes)
    params = [
        "" if _names(p.entries) else SCALAR if not p.shape else "its spec spreads no axis"
        for p in layout.places
    ]
    state = []
    leaves = jax.tree.leaves(layout.state)
    for leaf, origin, sharding in zip(leaves, layout.origins, layout.shardings, strict=True):
        spec = getattr(sharding, "spec", sharding)
        place = None if origin.parameter is None else layout.places[origin.parameter]
        state.append("" if _names(spec) else _why(leaf.shape, origin, place, sizes, shares))
    return Reasons(params, state)


def _names(entries: Any) -> list[str]:
    return [name for entry in entries for name in names_of(entry)]


def _shares(tx: optax.GradientTransformation, sizes: dict[str, int]) -> int | None:
    """Into how many parts `partitioned` cuts, where it is in it."""
    for part in parts(structure(tx)):
        if isinstance(part.body, Partitioned):
            return math.prod(sizes[name] for name in part.body.axes)
    return None


def _why(
    shape: tuple[int, ...],
    origin: Origin,
    place: Place | None,
    sizes: dict[str, int],
    shares: int | None,
) -> str:
    if not shape:
        return SCALAR
    if place is None:
        return "belongs to no parameter"
    if shares is not None:
        if not any(origin.axes):
            return "keeps no axis of its parameter"
        if any(n % shares == 0 for n, axes in zip(shape, origin.axes, strict=True) if axes):
            return "its parameter is cut along another axis"
        return f"no axis that {shares} divides"
    if not _names(place.entries):
        return "its parameter is replicated"
    for n, axes in zip(shape, origin.axes, strict=True):
        names = _names(place.entries[k] for k in axes)
        if names:
            return f"{math.prod(sizes[name] for name in names)} does not divide its {n} blocks"
    return "keeps none of the axes that its parameter is spread over"
