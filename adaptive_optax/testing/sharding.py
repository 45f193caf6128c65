"""Properties of sharding: slots are sharded like their parameters, and numbers stay the same."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from adaptive_optax.testing import trees
from adaptive_optax.testing.case import Case, promise
from adaptive_optax.testing.result import BrokenError, NotApplicableError, during

# No shape consists of parts of another: a slot is recognized by its shape, in any state.
SHAPES = {"kernel": (8, 12), "bias": (24,), "whole": (40,)}
# A square matrix, as in `params_of` and for the same reason.
SQUARE = {**SHAPES, "kernel": (8, 8)}
SPECS = {"kernel": P("data", "model"), "bias": P("data"), "whole": P()}
# A sum over shards adds in another order.
ROUNDING = 1e-4
FLAG = "--xla_force_host_platform_device_count=8"


@promise(
    "sharding",
    "jit(init) of sharded parameters gives slots sharded alike, on Auto and Explicit meshes, and "
    "updates keep that",
)
def sharded_slots(case: Case) -> None:
    """Check the state of init under jit, and one update, on either kind of mesh."""
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = _mesh(kind)
        with during(f"{kind.name} mesh"), jax.set_mesh(mesh):
            params = _params(mesh, SHAPES)
            state = jax.jit(case.tx.init)(params)
            _follows(state, params, "after jit(init) state")
            _follows(case.tx.init(params), params, "after init state")
            updates, after = case.step(params, state, params)
            _follows(updates, params, "after update the update")
            _follows(after, params, "after update state")
            trees.same_form(state, after, "state")
            got, wanted = (jax.typeof(tree["kernel"]) for tree in (updates, params))
            if kind == AxisType.Explicit and got != wanted:
                raise BrokenError(f"the update's type is {got}")


@promise("sharding", "sharded parameters get the updates that one device gives")
def sharded_updates(case: Case) -> None:
    """Compare three updates on a mesh with the same on one device."""
    params = _params(_mesh(AxisType.Auto), SQUARE)
    alone = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), params)
    state, state_alone = jax.jit(case.tx.init)(params), case.tx.init(alone)
    for count in range(3):
        with during(f"update {count + 1}"):
            updates, state = case.step(params, state, params)
            updates_alone, state_alone = case.step(alone, state_alone, alone)
            trees.close(updates, updates_alone, "update", ("sharded", "on one device"), ROUNDING)


def _mesh(kind: AxisType) -> jax.sharding.Mesh:
    devices = jax.devices()
    if len(devices) < 2:
        raise NotApplicableError(
            f"needs 2 devices and there is 1; set XLA_FLAGS={FLAG} before jax runs"
        )
    shape = (2, 2) if len(devices) >= 4 else (2, 1)
    devices = devices[: math.prod(shape)]
    return jax.make_mesh(shape, ("data", "model"), axis_types=(kind, kind), devices=devices)


def _params(mesh: jax.sharding.Mesh, shapes: dict) -> dict:
    draw = np.random.default_rng(1)
    return {
        name: jax.device_put(
            jnp.asarray(draw.standard_normal(shape), "float32"), NamedSharding(mesh, SPECS[name])
        )
        for name, shape in shapes.items()
    }


def _follows(tree: Any, params: dict, what: str) -> None:
    """Every float leaf that has a parameter's shape has its sharding."""
    of_shape = {p.shape: p.sharding for p in params.values()}
    for path, x in trees.paths(tree):
        wanted = of_shape.get(getattr(x, "shape", None)) if trees.is_inexact(x) else None
        if wanted is not None and not x.sharding.is_equivalent_to(wanted, x.ndim):
            place = getattr(x.sharding, "spec", "one device")
            raise BrokenError(f"{what} {path} is on {place}, its parameter on {wanted.spec}")
