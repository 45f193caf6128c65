"""Along which axis each parameter, and each of its slots, is cut into parts."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from adaptive_optax.sharding.origins import Origin
from adaptive_optax.sharding.places import Place, names_of


class Cut(NamedTuple):
    """The axis along which each array is cut, in the order of leaves; None: it stays whole."""

    params: tuple[int | None, ...]
    state: tuple[int | None, ...]


def cut(
    params: Sequence[Place],
    state: Sequence[tuple[int, ...]],
    origins: Sequence[Origin],
    names: tuple[str, ...],
    sizes: dict[str, int],
) -> Cut:
    """The cut of all arrays of an optimizer.

    A parameter is cut along its longest axis that the devices divide, in the parameter and in each
    slot that has the axis or blocks of it: no block is cut then.

    Args:
      params: where they lie already, and their shapes.
      state: the shapes of its leaves.
      origins: of these leaves.
      names: the mesh axes to cut by.
      sizes: the lengths of all mesh axes.
    """
    chosen: list[int | None] = []
    for index, place in enumerate(params):
        shape, own = place.shape, place.entries
        slots = [(s, o.axes) for s, o in zip(state, origins, strict=True) if o.parameter == index]
        if any(name in names for entry in own for name in names_of(entry)):
            chosen.append(None)
            continue
        possible = []
        for k, length in enumerate(shape):
            parts = math.prod(sizes[name] for name in (*names_of(own[k]), *names))
            lengths = [n for s, axes in slots for n, of in zip(s, axes, strict=True) if of == (k,)]
            if length and lengths and all(n % parts == 0 for n in (length, *lengths)):
                possible.append(k)
        chosen.append(max(possible, key=shape.__getitem__) if possible else None)
    return Cut(tuple(chosen), tuple(_of_slot(origin, chosen) for origin in origins))


def _of_slot(origin: Origin, chosen: list[int | None]) -> int | None:
    k = None if origin.parameter is None else chosen[origin.parameter]
    return None if k is None or (k,) not in origin.axes else origin.axes.index((k,))
