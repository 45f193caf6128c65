"""`state_shardings`: where each leaf of an optimizer's state is to lie."""

from typing import Any, NamedTuple

import jax
import optax
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from adaptive_optax.core.checks import check_arrays, check_transformation
from adaptive_optax.sharding.init_constraints import Constraint, made
from adaptive_optax.sharding.param_specs import Place, places_of
from adaptive_optax.sharding.slot_axes import Origin, origins, shapes_of
from adaptive_optax.sharding.slot_spec import entries_of


class Layout(NamedTuple):
    """What is known of a state and of where it is to lie; lists are in the order of leaves."""

    state: Any  # its shapes
    origins: list[Origin]
    places: list[Place]  # of the parameters
    constraints: list[Constraint | None]
    shardings: list[Sharding | PartitionSpec]
    mesh: Any  # None where only names are known, or one device


def state_shardings(tx: optax.GradientTransformation, params: Any, specs: Any = None) -> Any:
    """The shardings of an optimizer's state: each slot lies where its parameter lies.

    A slot has the mesh axes of its parameter on the axes that it has of it: all of them, those
    that a factored slot keeps, or blocks of them where their number divides. What belongs to no
    parameter, such as a count, is replicated. It holds for any transformation, since nothing is
    known but the paths and shapes of its state; what `partitioned`, or another init, constrains
    itself is kept. Under jit a state is often put on one device, so give it these:

        state = jax.jit(tx.init, out_shardings=ao.state_shardings(tx, params))(params)

    Args:
      tx: any optax transformation.
      params: parameters, or `jax.ShapeDtypeStruct`s with a sharding; nothing of their size is
        allocated. Linen's boxes and nnx's variables tell the names of their axes, where the arrays
        in them are not spread yet.
      specs: `PartitionSpec`s or `NamedSharding`s, None for replicated: a tree shaped like params or
        a prefix of it, such as one for all. None: params tell.

    Returns:
      A tree shaped like `tx.init(params)`, boxes included: of `NamedSharding`s, or of
      `PartitionSpec`s where no mesh is known. Without a mesh, blocks are replicated, since it is
      not known whether their number divides; `jax.set_mesh` makes it known.

    Raises:
      TypeError: where tx is no transformation, params no arrays, or specs of another kind.
      ValueError: where nothing tells where the parameters lie, or specs do not fit them.

    >>> import adaptive_optax as ao, jax.numpy as jnp
    >>> from jax.sharding import PartitionSpec as P
    >>> params = {"kernel": jax.ShapeDtypeStruct((256, 128), jnp.float32)}
    >>> shardings = state_shardings(ao.adafactor(1e-2), params, {"kernel": P("data", "model")})
    >>> optax.tree.get(shardings, "row"), optax.tree.get(shardings, "column")
    ({'kernel': P('data',)}, {'kernel': P('model',)})
    """
    check_transformation("state_shardings", tx=tx)
    check_arrays("state_shardings", params=params)
    layout = laid_out("state_shardings", tx, params, specs)
    return jax.tree.unflatten(jax.tree.structure(layout.state), layout.shardings)


def laid_out(
    function: str, tx: optax.GradientTransformation, params: Any, specs: Any = None
) -> Layout:
    """A state's shardings with what they were found by; `function` is what errors name."""
    told = places_of(function, params, specs)
    shapes = shapes_of(params)
    state, constraints = made(tx.init, shapes)
    known = [place.mesh for place in told if place is not None and place.mesh is not None]
    known += [constraint.mesh for constraint in constraints if constraint is not None]
    mesh = known[0] if known else None
    if told and mesh is None and all(place is None for place in told):
        raise ValueError(
            f"{function}(params=...): no parameter tells where it lies; give arrays, "
            f"jax.ShapeDtypeStructs with sharding=, or specs=."
        )
    alone = next((place.alone for place in told if place is not None and place.alone), None)
    named = any(place is not None and place.alone is None for place in told)
    leaves = jax.tree.leaves(shapes)
    places = [_completed(place, x, mesh) for place, x in zip(told, leaves, strict=True)]
    found = origins(tx.init, shapes, state)
    shardings: list[Any] = []
    for leaf, origin, constraint in zip(jax.tree.leaves(state), found, constraints, strict=True):
        if mesh is None and not named and alone is not None:
            shardings.append(alone)
        else:
            shardings.append(_sharding(leaf.shape, origin, places, constraint, mesh))
    return Layout(state, found, places, constraints, shardings, mesh)


def sizes_of(mesh: Any) -> dict[str, int]:
    """The length of each axis of a mesh; of the one that is set where mesh is None."""
    mesh = jax.sharding.get_abstract_mesh() if mesh is None else mesh
    return dict(mesh.shape)


def _completed(place: Place | None, leaf: Any, mesh: Any) -> Place:
    """A place with a mesh, where one is known at all."""
    if place is None or place.alone is not None:
        place = Place((None,) * len(leaf.shape), leaf.shape)
    return place if place.mesh is not None else place._replace(mesh=mesh)


def _sharding(
    shape: tuple[int, ...],
    origin: Origin,
    places: list[Place],
    constraint: Constraint | None,
    mesh: Any,
) -> NamedSharding | PartitionSpec:
    place = None if origin.parameter is None else places[origin.parameter]
    mesh = mesh if place is None or place.mesh is None else place.mesh
    entries = entries_of(shape, origin, place, constraint, sizes_of(mesh))
    while entries and entries[-1] is None:
        entries = entries[:-1]
    spec = PartitionSpec(*entries)
    if mesh is None:
        return spec
    return NamedSharding(mesh, spec, memory_kind=None if place is None else place.memory_kind)
