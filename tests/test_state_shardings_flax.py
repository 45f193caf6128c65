"""`state_shardings` of linen's boxed parameters and of nnx's variables."""

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen as nn
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import adaptive_optax as ao

ADAFACTOR = optax.adafactor(1e-3, min_dim_size_to_factor=8)
BOXED = {"adafactor": ADAFACTOR, "sm3": optax.sm3(1e-3), "novograd": optax.novograd(1e-3)}


def mesh_of():
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def dense(partitioning=nn.with_partitioning, **options):
    kernel = partitioning(nn.initializers.lecun_normal(), ("data", "model"), **options)
    return nn.Dense(
        64, kernel_init=kernel, bias_init=partitioning(nn.initializers.zeros, ("model",))
    )


def linen_params(model, make=jax.eval_shape):
    return make(model.init, jax.random.key(0), jnp.ones((2, 32)))["params"]


@pytest.mark.parametrize("name", BOXED)
def test_linen_boxes_have_specs_of_the_right_rank(name):
    tx, boxed = BOXED[name], linen_params(dense())
    specs = ao.state_shardings(tx, boxed)
    bare = ao.state_shardings(tx, nn.unbox(boxed), nn.get_partition_spec(boxed))
    assert jax.tree.leaves(specs) == jax.tree.leaves(bare)
    assert jax.tree.leaves(ao.state_shardings(tx, boxed, nn.get_partition_spec(boxed))) == (
        jax.tree.leaves(specs)
    )
    with jax.set_mesh(mesh_of()):
        params = linen_params(dense(), lambda init, *args: init(*args))
        state = jax.jit(tx.init, out_shardings=specs)(params)
        assert [x.sharding.spec for x in jax.tree.leaves(state)] == jax.tree.leaves(specs)


def test_the_axes_of_a_boxed_factor():
    specs = ao.state_shardings(ADAFACTOR, linen_params(dense()))[0]
    assert (specs.v_row["kernel"].value, specs.v_col["kernel"].value) == (P("data"), P("model"))
    assert (specs.v["bias"].value, specs.v["kernel"].value) == (P("model"), P())


def test_a_box_with_a_mesh_gives_named_shardings():
    mesh = mesh_of()
    state = ao.state_shardings(optax.adam(1e-3), linen_params(dense(mesh=mesh)))
    assert state[0].mu["kernel"].value == NamedSharding(mesh, P("data", "model"))
    assert state[0].mu["bias"].value == NamedSharding(mesh, P("model"))


def test_logical_names_pass_through_to_the_rules():
    boxed = linen_params(dense(nn.with_logical_partitioning))
    logical = ao.state_shardings(optax.adam(1e-3), boxed)
    rules = (("data", None), ("model", "model"))
    where = nn.logical_to_mesh_sharding(logical, mesh_of(), rules)
    assert where[0].mu["kernel"].value.spec == P(None, "model")


class Net(nnx.Module):
    def __init__(self):
        kernel = nnx.with_partitioning(nnx.initializers.lecun_normal(), ("data", "model"))
        self.linear = nnx.Linear(32, 64, rngs=nnx.Rngs(0), kernel_init=kernel)


def test_nnx_variables_in_any_transformation():
    mesh = mesh_of()
    with jax.set_mesh(mesh):
        params = nnx.state(Net(), nnx.Param)
        shardings = ao.state_shardings(ADAFACTOR, params)
        given = ao.state_shardings(ADAFACTOR, params, nnx.get_named_sharding(params, mesh))
        state = jax.jit(ADAFACTOR.init, out_shardings=shardings)(params)
    row, column = shardings[0].v_row, shardings[0].v_col
    assert row["linear"]["kernel"].get_raw_value().spec == P("data")
    assert column["linear"]["kernel"].get_raw_value().spec == P("model")
    assert jax.tree.leaves(given) == jax.tree.leaves(shardings)
    assert [x.sharding for x in jax.tree.leaves(state)] == jax.tree.leaves(shardings)


def test_an_nnx_optimizer_takes_them_leaf_by_leaf():
    with jax.set_mesh(mesh_of()):
        model, tx = Net(), ao.adam(1e-2)
        shardings = jax.tree.leaves(ao.state_shardings(tx, nnx.state(model, nnx.Param)))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        leaves, treedef = jax.tree.flatten(optimizer.opt_state)
        optimizer.opt_state = jax.tree.unflatten(treedef, jax.device_put(leaves, shardings))
        grads = nnx.grad(lambda m: (m.linear(jnp.ones((4, 32))) ** 2).mean())(model)
        optimizer.update(model, grads)
    kernel = optimizer.opt_state.slots.mu["linear"]["kernel"]
    assert kernel.get_raw_value().sharding.spec == P("data", "model")
