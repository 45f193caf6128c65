"""Contract 6: slots are sharded like their parameters, on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CASES, FIRST, by_id
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


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(AxisType.Auto, jnp.bfloat16), (AxisType.Explicit, jnp.float32)],
    ids=["auto", "explicit"],
)
@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_slots_are_sharded_like_their_parameters(row, kind, dtype):
    mesh, tx = mesh_of(kind), row.make()
    with jax.set_mesh(mesh):
        params = sharded_params(mesh, dtype)
        eager, jitted = tx.init(params), jax.jit(tx.init)(params)
        assert assert_follows(eager, params) == assert_follows(jitted, params) >= whole_slots(row)
        step = jax.jit(tx.update)
        updates, state = step(params, jitted, params)
        assert_follows(updates, params)
        assert_follows(state, params)
        assert jax.tree.map(jax.typeof, state) == jax.tree.map(jax.typeof, jitted)
        if kind == AxisType.Explicit:  # where a compiler chooses, constants lie whole
            assert_follows(jax.jit(lambda: tx.init(params))(), params)
            assert jax.tree.map(jax.typeof, updates) == jax.tree.map(jax.typeof, params)


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


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_sharded_updates_equal_one_device_and_need_no_collectives_elementwise(row):
    mesh, tx = mesh_of(AxisType.Auto), row.make()
    if row.names[0] == "soap":  # a direction without gradients would be rounding over rounding
        tx = ao.soap(row.rate, eps=1e-2)
    params = sharded_params(mesh)
    state = jax.jit(tx.init)(params)
    step = jax.jit(tx.update)
    text = step.lower(params, state, params).compile().as_text()
    if row.elementwise:
        assert not [word for word in COLLECTIVES if word in text]
    alone = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), params)
    state_alone = tx.init(alone)
    for _ in range(6):
        updates, state = step(params, state, params)
        updates_alone, state_alone = step(alone, state_alone, alone)
        for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(updates_alone), strict=True):
            if row.elementwise:
                np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
            else:  # sums in another order, which SOAP divides by an eps of 1e-2
                slack = 1e-4 if row.names[0] == "soap" else 1e-6
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=slack * float(jnp.abs(b).max()))


@pytest.mark.parametrize("row", CASES[:1] + CASES[8:9] + CASES[-1:], ids=by_id)
def test_init_from_shapes_follows_their_sharding(row):
    mesh = mesh_of(AxisType.Auto)
    params = sharded_params(mesh)
    shapes = jax.tree.map(
        lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=p.sharding), params
    )
    assert assert_follows(row.make().init(shapes), params) >= whole_slots(row)
