"""`partitioned` inside and around other transformations, and with odd leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P
from test_partitioned import mesh_of, part_of, replicated, run, same, start

import adaptive_optax as ao
from adaptive_optax.introspection.structure import structure

MASK = {"kernel": True, "bias": False, "odd": True, "scale": False}


def adam_on(mesh):
    return ao.partitioned(ao.adam(1e-2), mesh, "data")


AROUND = {  # what stands around it, or inside
    "chain": lambda wrap, inner: optax.chain(optax.scale(2.0), wrap(inner)),
    "masked": lambda wrap, inner: optax.masked(wrap(inner), MASK),
    "over masked": lambda wrap, inner: wrap(optax.masked(inner, MASK)),
    "MultiSteps": lambda wrap, inner: optax.MultiSteps(wrap(inner), 2).gradient_transformation(),
    "over MultiSteps": lambda wrap, inner: wrap(
        optax.MultiSteps(inner, 2).gradient_transformation()
    ),
    "apply_if_finite": lambda wrap, inner: optax.apply_if_finite(wrap(inner), 3),
    "partition": lambda wrap, inner: optax.partition(
        {"a": wrap(inner), "b": optax.sgd(0.1)}, dict.fromkeys(MASK, "a") | {"bias": "b"}
    ),
    "inject_hyperparams": lambda wrap, inner: optax.inject_hyperparams(
        lambda learning_rate: wrap(ao.adam(learning_rate))
    )(learning_rate=1e-2),
}

GATE = ("over masked", "MultiSteps", "inject_hyperparams")


@pytest.mark.parametrize(
    "name", [n if n in GATE else pytest.param(n, marks=pytest.mark.slow) for n in AROUND]
)
def test_the_same_numbers_in_company(name):
    mesh = mesh_of()
    tx = AROUND[name](lambda inner: ao.partitioned(inner, mesh, "data"), ao.adam(1e-2))
    alone = AROUND[name](lambda inner: inner, ao.adam(1e-2))
    got = run(tx, replicated(mesh, start()), steps=4)
    for a, b in zip(*map(jax.tree.leaves, (got, run(alone, start(), steps=4))), strict=True):
        np.testing.assert_allclose(np.float64(a), np.float64(b), rtol=3e-7)
    assert part_of(optax.tree.get(got[1], "mu")["kernel"]) == (128, 32)


def test_odd_leaves_stay_as_they_are():
    mesh = mesh_of()
    params = {
        "none": None,
        "whole": jnp.arange(8),
        "flag": jnp.ones(8, bool),
        "empty": jnp.zeros((0, 8)),
        "float": jnp.ones(16),
        "narrow": jnp.ones(16, jnp.bfloat16),
    }
    grads = {
        **params,
        "whole": np.zeros(8, jax.dtypes.float0),
        "flag": np.zeros(8, jax.dtypes.float0),
    }
    tx = adam_on(mesh)
    for init, step in ((tx.init, tx.update), (jax.jit(tx.init), jax.jit(tx.update))):
        state = init(params)
        updates, state = step(grads, state, params)
        expected, _ = ao.adam(1e-2).update(grads, ao.adam(1e-2).init(params), params)
        same(updates, expected)
        assert updates["narrow"].dtype == jnp.bfloat16
        assert part_of(state.slots.nu["float"]) == (2,)


def test_one_array_without_params_and_no_leaves():
    mesh = mesh_of()
    tx = adam_on(mesh)
    g = replicated(mesh, jnp.ones((8, 24)))
    updates, state = jax.jit(tx.update)(g, jax.jit(tx.init)(g))
    assert (part_of(state.slots.mu), part_of(updates)) == ((8, 3), (8, 24))
    assert tx.update({}, tx.init({}), {})[0] == {}


def test_scan_vmap_and_donation():
    mesh, tx = mesh_of(), adam_on(mesh_of())
    params = replicated(mesh, {"w": jnp.linspace(-1, 1, 64)})

    def steps(params, state):
        def step(carry, _):
            updates, state = tx.update(carry[0], carry[1], carry[0])
            return (optax.apply_updates(carry[0], updates), state), None

        return jax.lax.scan(step, (params, state), None, length=3)[0]

    one, _ = jax.jit(steps)(params, tx.init(params))
    assert part_of(jax.jit(tx.init)(params).slots.mu["w"]) == (8,)
    many = jax.tree.map(lambda p: jnp.stack([p, p]), params)
    both, _ = jax.jit(jax.vmap(steps))(many, jax.vmap(tx.init)(many))
    np.testing.assert_allclose(both["w"][1], one["w"], rtol=3e-7)
    donated, _ = jax.jit(steps, donate_argnums=1)(params, jax.jit(tx.init)(params))
    same(donated, one)


def test_it_forwards_extra_arguments_and_says_what_it_is():
    mesh = mesh_of()

    def update(g, state, params=None, *, factor, **_):
        return jax.tree.map(lambda x: x * factor, g), state

    inner = optax.GradientTransformationExtraArgs(lambda p: {"mu": p}, update)
    tx = ao.partitioned(inner, mesh, "data")
    params = {"w": jnp.ones(8)}
    assert tx.update(params, tx.init(params), params, factor=3.0)[0]["w"].tolist() == [3.0] * 8
    part = structure(optax.chain(adam_on(mesh)))
    assert "partitioned" in [member.name for member in part.members.values()]
    assert ao.learning_rate_of(adam_on(mesh).init(params)) == pytest.approx(1e-2)


def test_a_restored_state_that_is_whole_is_cut_by_the_first_update():
    mesh, tx = mesh_of(), adam_on(mesh_of())
    params = replicated(mesh, start())
    whole = jax.device_put(tx.init(params), jax.sharding.NamedSharding(mesh, P()))
    _, state = jax.jit(tx.update)(params, whole, params)
    assert part_of(state.slots.mu["kernel"]) == (128, 32)
