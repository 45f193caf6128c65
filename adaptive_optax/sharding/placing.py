"""One array put where it is wanted: eagerly or under jit, on Auto and Explicit axes."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from adaptive_optax.sharding.places import joined, names_of

FREE = PartitionSpec.UNCONSTRAINED  # of an entry: as it is


def is_explicit(mesh: jax.sharding.Mesh) -> bool:
    """Whether the types of arrays tell where they lie on this mesh."""
    return all(kind == AxisType.Explicit for kind in mesh.axis_types)


def typed_entries(x: Any) -> tuple[Any, ...]:
    """The mesh axes of each axis of an array, as its type tells them."""
    spec = jax.typeof(x).sharding.spec
    return (*spec, *(None,) * (jnp.ndim(x) - len(spec)))


def placed(x: jax.Array, mesh: jax.sharding.Mesh, entries: tuple[Any, ...]) -> jax.Array:
    """An array on these mesh axes; on a mesh that is not Explicit an entry may be `FREE`."""
    if is_elsewhere(x, mesh):
        spread = (None if entry is FREE else entry for entry in entries)
        return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spread)))
    sharding = NamedSharding(mesh, PartitionSpec(*entries))
    if is_explicit(mesh):
        return jax.sharding.reshard(x, sharding)
    return jax.lax.with_sharding_constraint(x, sharding)


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
