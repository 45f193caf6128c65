"""One array put where it is wanted: eagerly or under jit, on Auto and Explicit axes."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from adaptive_optax.sharding.param_specs import joined, names_of

FREE = PartitionSpec.UNCONSTRAINED  # of an entry: as it is


def is_explicit(mesh: jax.sharding.Mesh) -> bool:
    """Whether the types of arrays tell where they lie on this mesh."""
    return all(kind == AxisType.Explicit for kind in mesh.axis_types)


def typed_entries(x: Any) -> tuple[Any, ...]:
    """The mesh axes of each axis of an array, as its type tells them."""
    return _of_each_axis(x, jax.typeof(x).sharding.spec)


def placed(x: jax.Array, mesh: jax.sharding.Mesh, entries: tuple[Any, ...]) -> jax.Array:
    """An array on these mesh axes; on a mesh that is not Explicit an entry may be `FREE`."""
    if not isinstance(x, jax.core.Tracer):
        pairs = zip(entries, _entries_on(x, mesh), strict=True)
        known = (mine if entry is FREE else entry for entry, mine in pairs)
        return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*known)))
    sharding = NamedSharding(mesh, PartitionSpec(*entries))
    if is_explicit(mesh):
        return jax.sharding.reshard(x, sharding)
    return jax.lax.with_sharding_constraint(x, sharding)


def _entries_on(x: Any, mesh: jax.sharding.Mesh) -> tuple[Any, ...]:
    """The mesh axes of each axis of an array that is known; none where it is not on this mesh."""
    sharding = getattr(x, "sharding", None)
    if isinstance(sharding, NamedSharding) and sharding.mesh == mesh:
        return _of_each_axis(x, sharding.spec)
    return _of_each_axis(x, ())


def _of_each_axis(x: Any, spec: Iterable[Any]) -> tuple[Any, ...]:
    """The entries of a spec, and None for the axes after them."""
    entries = tuple(spec)
    return (*entries, *(None,) * (jnp.ndim(x) - len(entries)))


def is_elsewhere(x: Any, mesh: jax.sharding.Mesh) -> bool:
    """Whether an array that is known, and not traced, lies on other devices than the mesh's."""
    if isinstance(x, jax.core.Tracer):
        return False
    return not isinstance(x, jax.Array) or x.sharding.device_set != set(mesh.devices.flat)


def spread(entries: tuple[Any, ...], k: int, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Entries with further mesh axes on axis k, where they have none of them yet."""
    if any(name in names for entry in entries for name in names_of(entry)):
        return entries
    return (*entries[:k], joined((*names_of(entries[k]), *names)), *entries[k + 1 :])


def gathered(entries: tuple[Any, ...], k: int) -> tuple[Any, ...]:
    """Entries that ask for no mesh axis on axis k, where they do not say."""
    return tuple(None if i == k and entry is FREE else entry for i, entry in enumerate(entries))
