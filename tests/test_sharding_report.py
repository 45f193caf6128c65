"""`sharding.report`: bytes a device, and why an array lies on all of them."""

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import adaptive_optax as ao

SHAPES = {"kernel": (256, 96), "odd": (7,), "scale": ()}
SLOW = [pytest.param(spec, marks=pytest.mark.slow) for spec in (P(), P("data"), P(None, "model"))]


def mesh_of():
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def spread_params(spec):
    mesh = mesh_of()
    return {
        name: jax.device_put(jnp.ones(s), NamedSharding(mesh, spec if len(s) == 2 else P()))
        for name, s in SHAPES.items()
    }


def whys(found):
    return {(row.what, row.why) for row in found.rows if row.kind == "state" and row.why}


@pytest.mark.parametrize("spec", [P("data", "model"), *SLOW], ids=str)
def test_bytes_are_those_of_the_arrays(spec):
    params = spread_params(spec)
    for tx in (ao.adamw(0.1), ao.stored(ao.adam(0.1), ao.int8()), optax.adafactor(0.1)):
        state = jax.jit(tx.init, out_shardings=ao.state_shardings(tx, params))(params)
        updates = jax.jit(tx.update)(params, state, params)[0]
        found = ao.sharding.report(tx, params)
        for kind, tree in (("parameters", params), ("state", state), ("updates", updates)):
            parts = [x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree)]
            assert found.bytes_a_device(kind) == sum(parts)
            rows = [row for row in found.rows if row.kind == kind]
            assert sum(row.bytes for row in rows) == sum(x.nbytes for x in jax.tree.leaves(tree))
            assert sum(row.arrays for row in rows) == len(parts)
        assert found.bytes_a_device() == sum(map(found.bytes_a_device, ("parameters", "state"))) + (
            found.bytes_a_device("updates")
        )
        assert found.devices == 8


def test_why_an_array_is_whole():
    found = ao.sharding.report(optax.sm3(0.1), {"w": jnp.ones((8, 4))}, _named(P("data")))
    assert whys(found) == {("0/mu/1", "keeps none of the axes that its parameter is spread over")}
    params = {name: jax.ShapeDtypeStruct(s, jnp.float32) for name, s in SHAPES.items()}
    specs = {"kernel": _named(P(None, "model")), "odd": None, "scale": None}
    tx = ao.stored(optax.adam(0.1), ao.int8())
    assert whys(ao.sharding.report(tx, params, specs)) == {
        ("count", "a scalar"),
        ("inner_state/0/count", "a scalar"),
        ("inner_state/0/mu", "a scalar"),
        ("inner_state/0/nu", "a scalar"),
        ("inner_state/0/mu", "its parameter is replicated"),
        ("inner_state/0/nu", "its parameter is replicated"),
        ("scales/0", "2 does not divide its 3 blocks"),
        ("scales/1", "2 does not divide its 3 blocks"),
        ("layout", "belongs to no parameter"),
    }


def test_why_a_partitioned_array_is_whole():
    mesh = mesh_of()
    tx = optax.chain(optax.clip(1.0), ao.partitioned(ao.scale_by_adafactor(), mesh, "data"))
    reasons = whys(ao.sharding.report(tx, spread_params(P())))
    assert ("1/slots/column", "its parameter is cut along another axis") in reasons
    assert ("1/slots/nu", "no axis that 4 divides") in reasons
    assert not any(what == "1/slots/row" for what, _ in reasons)


def test_one_device_and_one_that_asks_for_the_loss():
    found = ao.sharding.report(optax.lbfgs(), {"w": jnp.ones((4, 4))})
    assert found.devices == 1
    assert {row.why for row in found.rows} == {"there is one device"}
    assert found.bytes_a_device("updates") == 64


def test_it_prints_as_a_table():
    params = {"w": jax.ShapeDtypeStruct((1024, 512), jnp.float32)}
    text = str(ao.sharding.report(optax.adam(0.1), params, _named(P("data", "model"))))
    assert "(8 devices)" in text.splitlines()[0]
    assert "state                                   3    4.0 MiB  512.0 KiB" in text
    assert (
        "  0/mu                                  1    2.0 MiB  256.0 KiB  P('data', 'model')"
        in text
    )
    assert (
        "  0/count                               1        4 B        4 B  whole: a scalar" in text
    )
    assert max(map(len, text.splitlines())) <= 100


def test_names_alone_need_a_mesh():
    params = {"w": jax.ShapeDtypeStruct((8, 4), jnp.float32)}
    with pytest.raises(
        ValueError, match=r"report\(specs=...\): the mesh axes \['data'\] are of no"
    ):
        ao.sharding.report(optax.adam(0.1), params, P("data"))
    with jax.set_mesh(mesh_of()):
        assert ao.sharding.report(optax.adam(0.1), params, P("data")).bytes_a_device("state") == 68
    with pytest.raises(TypeError, match=r"report\(tx=adam\): tx must be an optax transformation"):
        ao.sharding.report(optax.adam, params)


def _named(spec):
    return NamedSharding(mesh_of(), spec)
