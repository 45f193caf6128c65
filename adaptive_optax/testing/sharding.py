"""Contract 6, sharding: slots lie where their parameters lie, and the numbers stay the same."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from adaptive_optax.testing.evidence import (
    BrokenError,
    NotApplicableError,
    close,
    during,
    same_form,
)
from adaptive_optax.testing.subject import Subject
from adaptive_optax.testing.trees import is_inexact

# No shape is made of parts of another: a slot is known by its shape, whatever the state's tree.
SHAPES = {"kernel": (8, 12), "bias": (24,), "whole": (40,)}
# As square as the matrix of `params_of`, for the same reason.
SQUARE = {**SHAPES, "kernel": (8, 8)}
SPECS = {"kernel": P("data", "model"), "bias": P("data"), "whole": P()}
# A sum over shards adds in another order.
ROUNDING = 1e-4
FLAG = "--xla_force_host_platform_device_count=8"


def sharded_slots(subject: Subject) -> None:
    """The state of init under jit, and state and updates of an update, on either kind of mesh."""
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = _mesh(kind)
        with during(f"{kind.name} mesh"), jax.set_mesh(mesh):
            params = _params(mesh, SHAPES)
            state = jax.jit(subject.tx.init)(params)
            _follows(state, params, "after jit(init) state")
            updates, after = subject.step(params, state, params)
            _follows(updates, params, "after update the update")
            _follows(after, params, "after update state")
            same_form(state, after, "state")
            if kind == AxisType.Explicit and jax.typeof(updates["kernel"]) != jax.typeof(
                params["kernel"]
            ):
                raise BrokenError(f"the update's type is {jax.typeof(updates['kernel'])}")


def sharded_updates(subject: Subject) -> None:
    """Three updates on a mesh, and the same on one device."""
    mesh = _mesh(AxisType.Auto)
    params = _params(mesh, SQUARE)
    alone = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), params)
    state, state_alone = jax.jit(subject.tx.init)(params), subject.tx.init(alone)
    for count in range(3):
        with during(f"update {count + 1}"):
            updates, state = subject.step(params, state, params)
            updates_alone, state_alone = subject.step(alone, state_alone, alone)
            close(updates, updates_alone, "update", ("sharded", "on one device"), ROUNDING)


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
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
        wanted = of_shape.get(getattr(x, "shape", None)) if is_inexact(x) else None
        if wanted is not None and not x.sharding.is_equivalent_to(wanted, x.ndim):
            place = getattr(x.sharding, "spec", "one device")
            raise BrokenError(
                f"{what} {jax.tree_util.keystr(path)} is on {place}, its parameter on {wanted.spec}"
            )
