"""State lies where its parameters lie, for any transformation, by `state_shardings`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P

import adaptive_optax as ao

SHAPES = {"square": (256, 256), "wide": (256, 768), "bias": (8,), "list": [(8, 16), (16, 8)]}
SPECS = {"square": P("data", "model"), "wide": P("model"), "bias": P("model")}
SPECS["list"] = [P("data"), P(None, ("data", "model"))]
HALF = {"square": True, "wide": False, "bias": True, "list": [True, False]}
LABELS = {"square": "a", "wide": "b", "bias": "a", "list": ["b", "b"]}
ADAM = optax.adam(1e-3)
CASES = {
    "sm3": optax.sm3(1e-3),
    "lbfgs": optax.lbfgs(),
    "novograd": optax.novograd(1e-3),
    "adafactor": optax.adafactor(1e-3),
    "muon": optax.contrib.muon(1e-3),
    "masked": optax.masked(ADAM, HALF),
    "partition": optax.partition({"a": ADAM, "b": optax.sgd(0.1, momentum=0.9)}, LABELS),
    "MultiSteps": optax.MultiSteps(ADAM, 2),
    "inject_hyperparams": optax.inject_hyperparams(optax.adam)(1e-3),
    "lookahead": ao.lookahead(ADAM, at_sync="pullback"),
    "ours": ao.lookahead(ao.adafactor(1e-3)),
    "soap": ao.soap(1e-3),
    "blend": ao.blend({"a": ADAM, "b": ao.muon(1e-3)}),
    "int8": ao.stored(ADAM, ao.int8()),
    "int4": ao.stored(ao.adamw(1e-3), ao.int4()),
    "factored": ao.stored(ADAM, ao.factored()),
    "kahan": ao.rounded(ao.adamw(1e-3), "kahan"),
}

WORDS = ("row", "column")


def is_shape(x):
    return isinstance(x, tuple)


def mesh_of(kind=AxisType.Auto):
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind, kind))


def spread_params(mesh, dtype=jnp.float32):
    def make(shape, spec):
        return jax.device_put(jnp.ones(shape, dtype), NamedSharding(mesh, spec))

    return jax.tree.map(make, SHAPES, SPECS, is_leaf=is_shape)


def specs_of(tree):
    return jax.tree.map(lambda sharding: sharding.spec, tree)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
@pytest.mark.parametrize("name", CASES)
def test_slots_follow_their_parameters_in_any_transformation(name, kind):
    mesh, tx = mesh_of(kind), CASES[name]
    dtype = jnp.bfloat16 if name == "kahan" else jnp.float32
    params = spread_params(mesh, dtype)
    shardings = ao.state_shardings(tx, params)
    shapes = jax.eval_shape(tx.init, jax.tree.map(lambda p: jnp.zeros(p.shape, p.dtype), params))
    assert jax.tree.structure(shardings) == jax.tree.structure(shapes)
    for leaf, sharding in zip(jax.tree.leaves(shapes), jax.tree.leaves(shardings), strict=True):
        assert sharding.mesh == mesh
        sharding.shard_shape(leaf.shape)  # raises where a spec has too many axes, or divides not
        if leaf.ndim == 0:
            assert sharding.spec == P()
    of_shape = {p.shape: p.sharding for p in jax.tree.leaves(params) if p.ndim == 2}
    whole = 0
    for leaf, sharding in zip(jax.tree.leaves(shapes), jax.tree.leaves(shardings), strict=True):
        if leaf.shape in of_shape:
            assert sharding.is_equivalent_to(of_shape[leaf.shape], leaf.ndim)
            whole += 1
    assert whole or name in ("adafactor", "ours")
    if kind == AxisType.Auto:
        state = jax.jit(tx.init, out_shardings=shardings)(params)
        assert jax.tree.map(lambda x: x.sharding, state) == shardings


def test_factors_have_the_axes_that_they_keep_in_square_matrices_too():
    params = spread_params(mesh_of())
    for tx, words in ((optax.adafactor(1e-3), ("v_row", "v_col")), (ao.adafactor(1e-3), WORDS)):
        specs = specs_of(ao.state_shardings(tx, params))
        row, column = (optax.tree.get(specs, word) for word in words)
        assert row["square"] == P("data")
        assert column["square"] == P("model")
        assert row["wide"] == P("model")
        assert column["wide"] == P()
    mu = specs_of(ao.state_shardings(optax.sm3(1e-3), params))[0].mu
    assert mu["square"] == [P("data"), P("model")]
    assert mu["list"] == [[P("data"), P()], [P(), P(("data", "model"))]]


def test_dimensions_of_several_parameters_axes_are_told_apart_by_growth():
    def init(p):
        flat = p["a"].reshape(-1, p["a"].shape[-1])  # the first two axes made one
        return {"flat": {"a": flat}, "turned": {"a": p["a"].T}, "own": {"a": jnp.zeros((3, 4))}}

    tx = optax.GradientTransformation(init, lambda g, s, p=None: (g, s))
    mesh = mesh_of()
    shapes = {"a": jax.ShapeDtypeStruct((4, 8, 8), jnp.float32)}
    specs = specs_of(ao.state_shardings(tx, shapes, NamedSharding(mesh, P("data", None, "model"))))
    assert specs == {"flat": {"a": P("data", "model")}, "own": {"a": P()}} | {
        "turned": {"a": P("model", None, "data")}
    }
    second = specs_of(ao.state_shardings(tx, shapes, NamedSharding(mesh, P(None, "data"))))
    assert second["flat"]["a"] == P()


def test_blocks_are_spread_where_their_number_divides():
    tx, mesh = ao.stored(ADAM, ao.int8(block=32)), mesh_of()
    params = {"few": jax.ShapeDtypeStruct((512, 64), jnp.float32)}
    for axis, wanted in (("data", P()), ("model", P(None, "model"))):
        where = NamedSharding(mesh, P(None, axis))
        state = specs_of(ao.state_shardings(tx, params, where))
        assert state.inner_state[0].mu["few"] == P(None, axis)
        assert state.scales[0]["few"] == wanted  # 2 blocks a row
    alone = ao.state_shardings(tx, params, P(None, "model"))
    assert alone.inner_state[0].mu["few"] == P(None, "model")
    assert alone.scales[0]["few"] == P()  # no mesh says how many devices
    with jax.set_mesh(mesh):
        assert ao.state_shardings(tx, params, P(None, "model")).scales[0]["few"] == P(None, "model")


def test_parameters_tell_it_as_shapes_and_as_one_array():
    mesh = mesh_of()
    where = NamedSharding(mesh, P("data", "model"))
    shape = jax.ShapeDtypeStruct((8, 8), jnp.float32, sharding=where)
    state = ao.state_shardings(ADAM, shape)
    assert (state[0].mu, state[0].count.spec) == (where, P())
    assert ao.state_shardings(ADAM, jax.device_put(jnp.ones((8, 8)), where)) == state
    odd = {"none": None, "whole": jax.ShapeDtypeStruct((3,), jnp.int32), "empty": shape}
    tree = ao.state_shardings(ao.adam(0.1), odd)
    assert tree.slots.mu["none"] is None
    assert tree.slots.mu["empty"] == where


def test_on_one_device_all_is_on_it():
    state = ao.state_shardings(ADAM, {"w": jnp.ones((4, 4))})
    assert all(isinstance(x, SingleDeviceSharding) for x in jax.tree.leaves(state))
    jax.jit(ADAM.init, out_shardings=state)({"w": jnp.ones((4, 4))})


def test_an_init_that_takes_no_other_shapes_is_read_by_its_lengths():
    def init(p):
        if p["w"].shape != (8, 16):
            raise ValueError("made for (8, 16)")
        return {"mu": p, "row": {"w": p["w"].sum(1)}}

    tx = optax.GradientTransformation(init, lambda g, s, p=None: (g, s))
    params = {"w": jax.ShapeDtypeStruct((8, 16), jnp.float32)}
    specs = ao.state_shardings(tx, params, P("data", "model"))
    assert specs == {"mu": {"w": P("data", "model")}, "row": {"w": P("data")}}


def test_errors():
    shapes = {"w": jax.ShapeDtypeStruct((4, 4), jnp.float32)}
    with pytest.raises(TypeError, match=r"state_shardings\(tx=adam\): tx must be an optax"):
        ao.state_shardings(optax.adam, shapes)
    with pytest.raises(ValueError, match=r"no parameter tells where it lies; give arrays"):
        ao.state_shardings(ADAM, shapes)
    with pytest.raises(ValueError, match=r"has more axes than the parameter at \['w'\], of shape"):
        ao.state_shardings(ADAM, shapes, {"w": P("a", None, None)})
    with pytest.raises(ValueError, match=r"specs must be a tree shaped like the parameters, or a"):
        ao.state_shardings(ADAM, shapes, {"v": P()})
    with pytest.raises(TypeError, match=r"state_shardings\(specs='data'\): specs must be a tree"):
        ao.state_shardings(ADAM, shapes, {"w": "data"})


def test_params_and_state_in_one_jit():
    mesh = mesh_of()
    where = jax.tree.map(lambda spec: NamedSharding(mesh, spec), SPECS)
    shapes = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s, "float32"), SHAPES, is_leaf=is_shape)
    tx = optax.adafactor(1e-3)
    shardings = ao.state_shardings(tx, shapes, where)

    def make():
        params = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), shapes)
        return params, tx.init(params)

    params, state = jax.jit(make, out_shardings=(where, shardings))()
    assert jax.tree.map(lambda x: x.sharding, (params, state)) == (where, shardings)
    np.testing.assert_array_equal(state[0].count, 0)
