"""Where parameters lie: from arrays, shapes with shardings, boxes with names, or specs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec, Sharding

Entry = None | str | tuple[str, ...]


class Place(NamedTuple):
    """Where one parameter lies."""

    entries: tuple[Any, ...]  # for each axis the names of mesh axes that it is spread over, or None
    shape: tuple[int, ...] = ()
    mesh: Any = None  # None where only the names are known
    memory_kind: str | None = None
    alone: Sharding | None = None  # of an array that lies on one device


def places_of(function: str, params: Any, specs: Any = None) -> list[Place | None]:
    """The place of each parameter, in the order of leaves; None where nothing tells it.

    Args:
      function: what errors call the function.
      params: arrays, or shapes; in boxes or not.
      specs: a tree of specs or shardings, shaped like params or a prefix of it; None: params tell.

    Raises:
      TypeError, ValueError: for specs of another kind, another structure or too many axes.
    """
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    told = _declared(params) if specs is None else _spread(function, specs, params)
    found: list[Place | None] = []
    for (path, leaf), spec in zip(leaves, told, strict=True):
        own = _own(leaf) if specs is None else None
        place = own if own is not None and own.mesh is not None else _place(function, spec) or own
        shape = jnp.shape(leaf)
        if place is not None and len(place.entries) > len(shape):
            raise ValueError(
                f"{function}: the spec {PartitionSpec(*place.entries)} has more axes than the "
                f"parameter at {jax.tree_util.keystr(path) or 'the root'}, of shape "
                f"{shape}; give one entry an axis at most."
            )
        if place is not None:
            rest = (None,) * (len(shape) - len(place.entries))
            place = place._replace(entries=place.entries + rest, shape=shape)
        found.append(place)
    return found


def names_of(entry: Any) -> tuple[str, ...]:
    """The mesh axes of one entry of a spec."""
    if entry is None or entry is PartitionSpec.UNCONSTRAINED:
        return ()
    return entry if isinstance(entry, tuple) else (entry,)


def joined(names: tuple[str, ...]) -> Entry:
    """One entry of a spec of several mesh axes."""
    return None if not names else names[0] if len(names) == 1 else names


def _is_spec(x: Any) -> bool:
    return x is None or isinstance(x, PartitionSpec | Sharding)


def _place(function: str, spec: Any) -> Place | None:
    if spec is None:
        return None
    if isinstance(spec, PartitionSpec):
        return Place(tuple(spec))
    if isinstance(spec, NamedSharding):
        return Place(tuple(spec.spec), (), spec.mesh, spec.memory_kind)
    if isinstance(spec, Sharding):
        return Place((), alone=spec)
    raise TypeError(
        f"{function}(specs={spec!r}): specs must be a tree of jax.sharding.PartitionSpec, "
        f"NamedSharding or None, shaped like the parameters or a prefix of them."
    )


def _own(leaf: Any) -> Place | None:
    """What an array, or a shape, says itself."""
    if isinstance(leaf, jax.core.Tracer):
        told = jax.typeof(leaf).sharding
        explicit = AxisType.Explicit in (getattr(told.mesh, "axis_types", None) or ())
        return _place("", told) if explicit else None
    sharding = getattr(leaf, "sharding", None)
    return _place("", sharding) if isinstance(sharding, Sharding) else None


def _declared(params: Any) -> list[Any]:
    """The spec that the box around each leaf declares; None where there is none.

    A box is known by what it can do, since flax is not imported here: linen's gives its spec, and
    nnx's variables have it among their metadata.
    """

    def is_box(x):
        return hasattr(x, "get_partition_spec") or hasattr(x, "get_metadata")

    told = []
    for x in jax.tree.leaves(params, is_leaf=is_box):
        told += [_of_box(x) if is_box(x) else None] * len(jax.tree.leaves(x))
    return told


def _of_box(box: Any) -> Any:
    if hasattr(box, "get_partition_spec"):
        spec, mesh = box.get_partition_spec(), getattr(box, "mesh", None)
    else:
        metadata = box.get_metadata()
        spec, mesh = metadata.get("out_sharding"), metadata.get("mesh")
    if spec is None or isinstance(spec, Sharding):
        return spec
    spec = PartitionSpec(*spec)
    return spec if mesh is None else NamedSharding(mesh, spec)


def _spread(function: str, specs: Any, params: Any) -> list[Any]:
    """The spec of each leaf, from a tree of specs or a prefix of one."""
    told: list[Any] = []

    def spread(spec, part):
        told.extend([spec] * len(jax.tree.leaves(part)))

    try:
        jax.tree.map(spread, specs, params, is_leaf=_is_spec)
    except ValueError as error:
        raise ValueError(
            f"{function}(specs=...): specs must be a tree shaped like the parameters, or a prefix "
            f"of it: {error}"
        ) from error
    # What the tree leaves out is replicated, and not unknown.
    return [PartitionSpec() if spec is None else spec for spec in told]
