"""Stored state on eight devices: the same bits under every sharding, and no collectives."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import every
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from test_contract_sharding import COLLECTIVES

import adaptive_optax as ao

SPECS = [P(), P("data"), P(None, "model"), P("data", "model"), P(None, ("data", "model"))]
SHAPE = (128, 512)
FORMATS = {"bfloat16": ao.bfloat16, "minifloat8": ao.minifloat8, "int8": ao.int8, "int4": ao.int4}


def mesh_of(kind):
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind, kind))


def run(tx, params, steps=4):
    """A few jitted steps, and the collectives of one."""
    state = jax.jit(tx.init)(params)
    step = jax.jit(tx.update)
    text = step.lower(params, state, params).compile().as_text()
    for _ in range(steps):
        updates, state = step(params, state, params)
        params = params + updates
    return params, state, [word for word in COLLECTIVES if word in text]


@pytest.mark.parametrize(
    "inner",
    [optax.adam, *(pytest.param(each, marks=pytest.mark.slow) for each in (ao.adamw, ao.lion))],
    ids=["optax", "adamw", "lion"],
)
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_bits_under_every_sharding(name, inner):
    tx = ao.stored(inner(0.01), FORMATS[name]())
    start = jax.random.normal(jax.random.key(0), SHAPE)
    alone = run(tx, start)
    mesh = mesh_of(AxisType.Auto)
    for spec in SPECS:
        params, state, collectives = run(tx, jax.device_put(start, NamedSharding(mesh, spec)))
        assert not collectives, spec
        np.testing.assert_array_equal(params, alone[0])
        jax.tree.map(np.testing.assert_array_equal, state, alone[1])


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
@pytest.mark.parametrize("inner", [optax.adam, ao.adamw], ids=["optax", "ours"])
@pytest.mark.parametrize("name", every(2, [*FORMATS]))
def test_codes_are_sharded_like_the_parameters(name, inner, kind):
    mesh, tx = mesh_of(kind), ao.stored(inner(0.01), FORMATS[name]())
    with jax.set_mesh(mesh):
        place = NamedSharding(mesh, P("data", "model"))
        params = jax.device_put(jnp.ones(SHAPE), place)
        state = jax.jit(tx.init)(params)
        for _ in range(2):
            leaves = [*jax.tree.leaves(state.inner_state), *jax.tree.leaves(state.scales)]
            codes = [x for x in leaves if x.ndim == 2]
            assert codes
            assert all(x.sharding.is_equivalent_to(place, 2) for x in codes)
            _, state = jax.jit(tx.update)(params, state, params)


@pytest.mark.parametrize("name", [*FORMATS, "factored"])
def test_it_is_exported_for_every_platform(name):
    make = ao.factored if name == "factored" else FORMATS[name]
    tx = ao.stored(optax.adamw(0.01), make())
    params = jax.ShapeDtypeStruct(SHAPE, jnp.float32)
    state = jax.eval_shape(tx.init, params)
    platforms = ("cpu", "cuda", "tpu")
    jax.export.export(jax.jit(tx.init), platforms=platforms)(params)
    jax.export.export(jax.jit(tx.update), platforms=platforms)(params, state, params)
