"""What `partitioned` does to the trees of an optimizer: cut them, and gather them again."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from adaptive_optax.core.leaves import flat, matching
from adaptive_optax.sharding.param_specs import Place, names_of, places_of
from adaptive_optax.sharding.place_array import (
    FREE,
    gathered,
    is_elsewhere,
    is_explicit,
    placed,
    spread,
    typed_entries,
)
from adaptive_optax.sharding.slot_axes import Origin, origins, shapes_of
from adaptive_optax.sharding.slot_spec import entries_of


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


class Plan(NamedTuple):
    """How the trees of one set of parameters are cut."""

    places: tuple[Place, ...]  # of the parameters; an entry is `FREE` where it is not known
    origins: list[Origin]  # of the state's leaves
    cut: Cut


class Partition:
    """The cutting of all trees of an optimizer over some axes of a mesh."""

    def __init__(
        self,
        init: Callable[[Any], Any],
        mesh: jax.sharding.Mesh,
        names: tuple[str, ...],
        specs: Any,
    ):
        """Keeps what does not depend on the parameters.

        Args:
          init: of the optimizer.
          mesh: of the devices.
          names: the mesh axes to cut by.
          specs: of the parameters, or None.
        """
        self.mesh, self.names, self.specs = mesh, names, specs
        self.sizes = dict(mesh.shape)

        @functools.lru_cache(maxsize=64)
        def planned(treedef, places):
            shapes = [jax.ShapeDtypeStruct(place.shape, dtype) for place, dtype in places]
            params = jax.tree.unflatten(treedef, shapes)
            state = jax.eval_shape(init, params)
            found = origins(init, params, state)
            sides = [leaf.shape for leaf in jax.tree.leaves(state)]
            known = tuple(place for place, _ in places)
            return Plan(known, found, cut(known, sides, found, names, self.sizes))

        self._planned = planned

    def plan(self, params: Any) -> Plan:
        """How to cut; the same at init and at update, eagerly and under jit."""
        shapes = shapes_of(params)
        leaves, treedef = jax.tree.flatten(shapes)
        if self.specs is not None:
            told = places_of("partitioned", shapes, self.specs)
            entries = [() if place is None else place.entries for place in told]
        elif is_explicit(self.mesh):
            entries = [typed_entries(x) for x in jax.tree.leaves(params)]
        else:
            entries = [(FREE,) * len(x.shape) for x in leaves]
        both = zip(entries, leaves, strict=True)
        return self._planned(treedef, tuple((Place(e, x.shape), x.dtype) for e, x in both))

    def parts(self, tree: Any, like: Any, plan: Plan) -> Any:
        """The part of each gradient, or parameter, that a device works on."""

        def part(x, p, place, k):
            return self._part(x, place.entries, k)

        return _over(part, tree, like, plan)

    def state(self, state: Any, plan: Plan) -> Any:
        """The part of each slot."""
        leaves, treedef = jax.tree.flatten(state)
        rows = zip(leaves, plan.origins, plan.cut.state, strict=True)
        parts = [self._part(x, self._entries(x, origin, plan), k) for x, origin, k in rows]
        return jax.tree.unflatten(treedef, parts)

    def whole(self, updates: Any, like: Any, plan: Plan) -> Any:
        """The updates gathered, to lie where the parameters do."""

        def whole(u, p, place, k):
            if is_elsewhere(p, self.mesh) and isinstance(p, jax.Array):
                return jax.device_put(u, p.sharding)
            if k is None:
                return u
            # A part first, or XLA may gather what the last operation reads, twice as much or more.
            u = self._part(u, place.entries, k)
            return placed(u, self.mesh, gathered(place.entries, k))

        return _over(whole, updates, like, plan)

    def _part(self, x: Any, entries: tuple[Any, ...], k: int | None) -> Any:
        if k is not None:
            return placed(x, self.mesh, spread(entries, k, self.names))
        return placed(x, self.mesh, (None,) * x.ndim) if is_elsewhere(x, self.mesh) else x

    def _entries(self, x: Any, origin: Origin, plan: Plan) -> tuple[Any, ...]:
        """Where a slot lies before it is cut."""
        if is_explicit(self.mesh):
            return typed_entries(x)
        if self.specs is None or origin.parameter is None:
            return (FREE,) * x.ndim
        return entries_of(x.shape, origin, plan.places[origin.parameter], None, self.sizes)


def _over(function: Callable, tree: Any, like: Any, plan: Plan) -> Any:
    """`function(x, p, place, axis)` of each array of a tree like the parameters."""
    params, treedef = flat(like)
    rows = iter(zip(plan.places, plan.cut.params, strict=True))
    found = []
    for x, p in zip(matching(treedef, tree), params, strict=True):
        if p is None:
            found.append(x)
            continue
        place, k = next(rows)
        # None, Python numbers, and the gradients of integers, are no arrays to move.
        skip = not hasattr(x, "dtype") or x.dtype == jax.dtypes.float0
        found.append(x if skip else function(x, p, place, k))
    return jax.tree.unflatten(treedef, found)
