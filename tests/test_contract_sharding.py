"""Sharding on eight devices: what the contract kit does not ask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CASES, FIRST, by_id, every
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import adaptive_optax as ao

SPECS = {"kernel": P("data", "model"), "bias": P("model"), "scale": P()}
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
SHAPES = {"kernel": (8, 4), "bias": (8,), "scale": ()}


def mesh_of(kind: AxisType) -> jax.sharding.Mesh:
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind, kind))


def sharded_params(mesh, dtype=jnp.float32):
    return {
        name: jax.device_put(
            jnp.asarray(np.random.default_rng(1).standard_normal(shape), dtype),
            NamedSharding(mesh, SPECS[name]),
        )
        for name, shape in SHAPES.items()
    }


def assert_follows(state, params):
    """Every leaf under a parameter's name and of its shape is sharded like it; how many are."""
    found = 0
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        name = getattr(path[-1], "key", None)
        if name in params and leaf.shape == params[name].shape:
            assert leaf.sharding.is_equivalent_to(params[name].sharding, leaf.ndim), path
            found += 1
    return found


def test_means_over_an_axis_are_sharded_like_the_other_axis():
    mesh = mesh_of(AxisType.Auto)
    params = sharded_params(mesh)
    slots = jax.jit(ao.scale_by_adafactor().init)(params).slots
    assert slots.row["kernel"].sharding.is_equivalent_to(NamedSharding(mesh, P("data")), 1)
    assert slots.column["kernel"].sharding.is_equivalent_to(NamedSharding(mesh, P("model")), 1)


def whole_slots(row) -> int:
    """How many arrays of the state are at least shaped like a parameter."""
    return 3 * row.slots if row.leaves is None else row.leaves - 4


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_params_and_state_made_in_one_jit(row):
    mesh, tx = mesh_of(AxisType.Auto), row.make()
    shardings = {name: NamedSharding(mesh, spec) for name, spec in SPECS.items()}

    @jax.jit
    def make():
        params = {name: jnp.ones(shape) for name, shape in SHAPES.items()}
        params = jax.lax.with_sharding_constraint(params, shardings)
        return params, tx.init(params)

    params, state = make()
    assert_follows(state, params)


ELEMENTWISE = [row for row in CASES if row.elementwise]


@pytest.mark.parametrize("row", every(4, ELEMENTWISE), ids=by_id)
def test_elementwise_updates_need_no_collectives_and_are_equal_bit_for_bit(row):
    mesh, tx = mesh_of(AxisType.Auto), row.make()
    params = sharded_params(mesh)
    state = jax.jit(tx.init)(params)
    assert assert_follows(state, params) >= whole_slots(row)
    step = jax.jit(tx.update).lower(params, state, params).compile()
    assert not [word for word in COLLECTIVES if word in step.as_text()]
    alone = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), params)
    state_alone, step_alone = tx.init(alone), jax.jit(tx.update)
    for _ in range(6):
        updates, state = step(params, state, params)
        updates_alone, state_alone = step_alone(alone, state_alone, alone)
        for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(updates_alone), strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("row", CASES[:1] + CASES[8:9] + CASES[-1:], ids=by_id)
def test_init_from_shapes_follows_their_sharding(row):
    mesh = mesh_of(AxisType.Auto)
    params = sharded_params(mesh)
    shapes = jax.tree.map(
        lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=p.sharding), params
    )
    assert assert_follows(row.make().init(shapes), params) >= whole_slots(row)
