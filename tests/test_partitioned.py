"""`partitioned`: the same numbers from a part of the slots on each device."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from test_contract_sharding import COLLECTIVES

import adaptive_optax as ao

SHAPES = {"kernel": (128, 256), "bias": (24,), "odd": (7,), "scale": ()}
KINDS = pytest.mark.parametrize(
    "kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"]
)
ELEMENTWISE = {
    "adamw": ao.adamw(1e-2),
    "optax": optax.adam(1e-2),
    "lookahead": ao.lookahead(ao.lion(1e-2), every=2),
    "minifloat8": ao.stored(ao.adamw(1e-2), ao.minifloat8()),
    "int8": ao.stored(optax.adamw(1e-2), ao.int8()),
    "kahan": ao.rounded(ao.adamw(1e-2), "kahan"),
}
REDUCING = {
    "adafactor": ao.adafactor(1e-2),
    "lamb": ao.lamb(1e-2),
    "clip": optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2)),
    "muon": ao.muon(1e-2),
}


def mesh_of(kind=AxisType.Auto, shape=(8,)):
    names = ("data", "model", "more")[: len(shape)]
    return jax.make_mesh(shape, names, axis_types=(kind,) * len(shape))


def start(dtype=jnp.float32):
    draw = np.random.default_rng(0)
    return {k: jnp.asarray(draw.standard_normal(s), dtype) for k, s in SHAPES.items()}


def replicated(mesh, params):
    return jax.device_put(params, NamedSharding(mesh, P()))


def run(tx, params, steps=3, jit=True):
    """A few steps of gradients that change; the last updates, and the state."""
    init, step = (jax.jit(tx.init), jax.jit(tx.update)) if jit else tx
    state = init(params)
    for i in range(steps):
        grads = jax.tree.map(lambda p: p * (1 + i % 2), params)  # noqa: B023
        updates, state = step(grads, state, params)
    return updates, state


def collectives(tx, params):
    """How many of each kind a compiled update has."""
    text = jax.jit(tx.update).lower(params, jax.jit(tx.init)(params), params).compile().as_text()
    found = {word: len(re.findall(rf"= \S.* {word}(?:-start)?\(", text)) for word in COLLECTIVES}
    return {word: number for word, number in found.items() if number}


def same(one, other):
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), one, other
    )


def part_of(x):
    return x.addressable_shards[0].data.shape


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=[pytest.mark.slow] if slow else [])
        for name in ELEMENTWISE
        for kind, slow in (
            (AxisType.Auto, name in ("optax", "int8")),
            (AxisType.Explicit, name != "minifloat8"),
        )
    ],
)
def test_the_same_bits_by_gathers_alone(name, kind):
    inner, mesh = ELEMENTWISE[name], mesh_of(kind)
    params = start(jnp.bfloat16 if name == "kahan" else jnp.float32)
    tx = ao.partitioned(inner, mesh, "data")
    with jax.set_mesh(mesh):
        whole = replicated(mesh, params)
        updates, state = run(tx, whole)
        assert collectives(tx, whole) == {"all-gather": 2}  # of kernel and bias
    same((updates, state), run(inner, params))
    assert all(u.sharding.is_fully_replicated for u in jax.tree.leaves(updates))
    slots = optax.tree.get_all_with_path(state, "mu")
    mu = slots[0][1] if slots else optax.tree.get(state, "anchor")
    assert [part_of(mu[k]) for k in SHAPES] == [(128, 32), (3,), (7,), ()]


def reducing():
    """All but the first are slow."""
    other = pytest.mark.xfail(
        strict=True,
        reason="Muon's products of matrices add in another order: 3 of 32,768 elements differ by "
        "1.2e-6 of the largest.",
    )
    for name in REDUCING:
        marks = [] if name == "clip" else [pytest.mark.slow]
        yield pytest.param(name, marks=[*marks, other] if name == "muon" else marks)


@pytest.mark.parametrize("name", list(reducing()))
@KINDS
def test_reductions_agree(name, kind):
    inner, mesh, params = REDUCING[name], mesh_of(kind), start()
    with jax.set_mesh(mesh):
        got = run(ao.partitioned(inner, mesh, "data"), replicated(mesh, params))
    for a, b in zip(*map(jax.tree.leaves, (got, run(inner, params))), strict=True):
        a, b = np.float64(a), np.float64(b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max())


def test_state_shardings_and_bytes_a_device_of_a_partitioned_state():
    mesh, inner = mesh_of(), ao.stored(ao.adamw(1e-2), ao.minifloat8())
    tx = optax.chain(optax.clip(1.0), ao.partitioned(inner, mesh, "data"))
    params = replicated(mesh, start())
    shardings, state = ao.state_shardings(tx, params), jax.jit(tx.init)(params)
    for x, sharding in zip(*map(jax.tree.leaves, (state, shardings)), strict=True):
        assert x.sharding.is_equivalent_to(sharding, x.ndim)
    size = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state))
    found = ao.sharding.report(tx, params)
    assert found.bytes_a_device("state") == size < ao.state_bytes(inner, params) / 7
    whole = sum(x.nbytes for x in jax.tree.leaves(params))
    assert found.bytes_a_device("parameters") == found.bytes_a_device("updates") == whole


def given_on(mesh):
    """Parameters on each device of a mesh, and on one of them."""
    params = start()
    return replicated(mesh, params), params, jax.device_put(params, jax.devices()[1])


def test_eager_is_as_jit_bit_for_bit():
    mesh = mesh_of()
    tx = ao.partitioned(ao.adamw(1e-2), mesh, "data")
    jitted = run(tx, replicated(mesh, start()))
    for given in given_on(mesh):
        same(run(tx, given, jit=False), jitted)


def test_eager_takes_parameters_from_one_device():
    mesh = mesh_of()
    tx = ao.partitioned(ao.adamw(1e-2), mesh, "data")
    for given in given_on(mesh):
        updates, state = run(tx, given, jit=False)
        assert part_of(state.slots.mu["kernel"]) == (128, 32)
        for u, p in zip(*map(jax.tree.leaves, (updates, given)), strict=True):
            assert u.sharding.is_equivalent_to(p.sharding, u.ndim)


@KINDS
def test_parameters_that_are_sharded_over_other_axes(kind):
    mesh = mesh_of(kind, (2, 2, 2))
    specs = {"kernel": P(None, "model"), "bias": P("data"), "odd": P(), "scale": P()}
    params = start()
    spread = {k: jax.device_put(p, NamedSharding(mesh, specs[k])) for k, p in params.items()}
    tx = ao.partitioned(ao.adamw(1e-2), mesh, ("data", "more"), specs=specs)
    with jax.set_mesh(mesh):
        updates, state = run(tx, spread)
        assert collectives(tx, spread) == {"all-gather": 1}  # bias is spread over data already
    same((updates, state), run(ao.adamw(1e-2), params))
    assert part_of(state.slots.mu["kernel"]) == (128, 32)
    assert part_of(state.slots.mu["bias"]) == (12,)
    for name, u in updates.items():
        assert u.sharding.is_equivalent_to(spread[name].sharding, u.ndim)


def test_no_block_is_cut():
    mesh = mesh_of()
    shapes = {"rows": (64, 256), "few": (60, 512), "none": (60, 320)}
    params = replicated(mesh, {k: jnp.ones(s) for k, s in shapes.items()})
    state = jax.jit(ao.partitioned(ao.stored(ao.adam(0.1), ao.int8()), mesh, "data").init)(params)
    mu, scales = state.inner_state.slots.mu, state.scales[0]
    assert (part_of(mu["rows"]), part_of(scales["rows"])) == ((64, 32), (64, 1))
    assert (part_of(mu["few"]), part_of(scales["few"])) == ((60, 64), (60, 2))
    assert (part_of(mu["none"]), part_of(scales["none"])) == ((60, 320), (60, 10))


def test_errors():
    mesh, adam = mesh_of(), ao.adam(0.1)
    with pytest.raises(ValueError, match=r"partitioned\(axis='x'\): axis must be one of the mesh"):
        ao.partitioned(adam, mesh, "x")
    with pytest.raises(TypeError, match=r"partitioned\(mesh=8\): mesh must be a jax.sharding.Mesh"):
        ao.partitioned(adam, 8, "data")
    with pytest.raises(TypeError, match=r"partitioned\(inner=adam\): inner must be an optax"):
        ao.partitioned(ao.adam, mesh, "data")
    tx = ao.partitioned(adam, mesh, "data")
    params = {"w": jnp.ones(8)}
    with pytest.raises(ValueError, match=r"partitioned.update: gradients and params differ in"):
        tx.update({"v": jnp.ones(8)}, tx.init(params), params)
