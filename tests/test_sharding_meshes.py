"""The whole catalogue on meshes of 8, 4x2 and 2x2x2 devices: placed by `state_shardings`, equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CASES
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import adaptive_optax as ao

SHAPES = {"kernel": (16, 32), "bias": (16,), "scale": ()}
MESHES = {
    "8": ((8,), {"kernel": P("a"), "bias": P("a")}),
    "4x2": ((4, 2), {"kernel": P("b", "a"), "bias": P("b")}),
    "2x2x2": ((2, 2, 2), {"kernel": P(("a", "c"), "b"), "bias": P("c")}),
}
KINDS = {"auto": AxisType.Auto, "explicit": AxisType.Explicit}
GATE = {("adam", "2x2x2", "auto"), ("adafactor", "8", "explicit"), ("muon", "4x2", "auto")}
# Elsewhere the same numbers, from sums that are added in another order; SOAP divides by them.
SLACK = {"soap": 1e-4}


def cases():
    for row in CASES:
        for mesh in MESHES:
            for kind in KINDS:
                slow = [] if (row.id, mesh, kind) in GATE else [pytest.mark.slow]
                yield pytest.param(row, mesh, kind, marks=slow, id=f"{row.id}-{mesh}-{kind}")


def make_of(row):
    if row.names[0] == "soap":  # a direction without gradients would be rounding over rounding
        return ao.soap(row.rate, eps=0.1)
    return row.make()


@pytest.mark.parametrize(("row", "mesh_name", "kind"), [*cases()])
def test_placed_and_equal_to_one_device(row, mesh_name, kind):
    sizes, specs = MESHES[mesh_name]
    names = ("a", "b", "c")[: len(sizes)]
    mesh = jax.make_mesh(sizes, names, axis_types=(KINDS[kind],) * len(sizes))
    tx = make_of(row)
    draw = np.random.default_rng(1)
    alone = {k: jnp.asarray(draw.standard_normal(s), jnp.float32) for k, s in SHAPES.items()}
    where = {k: NamedSharding(mesh, specs.get(k, P())) for k in SHAPES}
    with jax.set_mesh(mesh):
        params = jax.device_put(alone, where)
        shardings = ao.state_shardings(tx, params)
        eager = tx.init(params)
        state = jax.jit(tx.init, out_shardings=shardings)(params)
        together = jax.jit(lambda: _made(tx, alone, where), out_shardings=(where, shardings))()[1]
        for x, y, z, wanted in zip(
            *map(jax.tree.leaves, (state, together, eager, shardings)), strict=True
        ):
            assert x.sharding.is_equivalent_to(wanted, x.ndim)
            assert y.sharding.is_equivalent_to(wanted, x.ndim)
            for other in (np.asarray(y), np.asarray(z)):
                if row.elementwise:
                    np.testing.assert_array_equal(np.asarray(x), other)
                else:  # DoG begins with the norm of the parameters
                    np.testing.assert_allclose(np.asarray(x), other, rtol=1e-6)
        step = jax.jit(tx.update)
        for _ in range(3):
            updates, state = step(params, state, params)
    step_alone, state_alone = jax.jit(tx.update), tx.init(alone)
    for _ in range(3):
        updates_alone, state_alone = step_alone(alone, state_alone, alone)
    for name, u in updates.items():
        assert u.sharding.is_equivalent_to(where[name], u.ndim)
        a, b = np.asarray(u), np.asarray(updates_alone[name])
        if row.elementwise:  # a shard of two ends in scalar code, that contracts other products
            np.testing.assert_array_max_ulp(a, b, maxulp=2)
        else:
            slack = SLACK.get(row.names[0], 1e-6)
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=slack * np.abs(b).max())


def _made(tx, values, where):
    """Parameters and their state, made inside of one jit."""
    params = jax.device_put(jax.tree.map(jnp.asarray, values), where)
    return params, tx.init(params)
