"""monitored changes nothing, and works wherever the transformation inside it does."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from problems import form, grads_of, params_of

import adaptive_optax as ao
from adaptive_optax.testing import check_contract

PARAMS = {"kernel": params_of()["kernel"], "inner": params_of()["inner"]["bias"]}
RAMP = optax.linear_schedule(0.5, 0.1, 4)

COMPANY = {
    "ours": ao.adam(0.1),
    "ours by a schedule": ao.lion(RAMP),
    "optax": optax.adamw(RAMP),
    "momentum": optax.sgd(0.1, momentum=0.9),
    "clipped": optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1)),
    "plateau": optax.chain(optax.sgd(0.1), ao.reduce_on_plateau(0.5, patience=0)),
    "gathered": optax.MultiSteps(optax.adam(0.1), 2).gradient_transformation(),
    "gathered by ours": ao.multi_steps(ao.adam(0.1), 2),
    "finite": optax.apply_if_finite(optax.adam(0.1), 2),
    "partition": optax.partition(
        {"x": optax.adam(0.1), "y": ao.sgd(0.2)}, lambda p: {"kernel": "x", "inner": "y"}
    ),
    "masked": optax.masked(optax.adam(0.1), {"kernel": True, "inner": False}),
    "injected": optax.inject_hyperparams(optax.adam)(RAMP),
    "lookahead": ao.lookahead(optax.adam(0.1), every=2),
    "schedule_free": ao.schedule_free(ao.sgd(0.1)),
    "muon": optax.contrib.muon(0.1),
    "prodigy": ao.prodigy(),
    "flat": optax.flatten(optax.adam(0.1)),
    "polyak": optax.polyak_sgd(),
    "somebody's own": optax.stateless(lambda updates, params: updates),
}
QUICK = ("ours", "optax", "plateau", "gathered", "finite", "partition", "masked", "lookahead")


def same_bits(one, other):
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def run(tx, params, steps=4):
    """The last state of some steps, each under jit, and their updates.

    The gradients are given: where they are computed in the same program, XLA may round otherwise
    when something else reads them too.
    """
    tx = optax.with_extra_args_support(tx)
    state, update, found = tx.init(params), jax.jit(tx.update), []
    for t in range(steps):
        updates, state = update(grads_of(params, seed=t), state, params, value=jnp.float32(t))
        found.append(updates)
    return state, found


def marked(names):
    slow = pytest.mark.slow
    return [pytest.param(name, marks=() if name in QUICK else slow) for name in names]


def check(inner, params, **options):
    """Updates and inner state have the same bits, and the state its form."""
    tx = ao.monitored(inner, **options)
    state, updates = run(tx, params)
    inner_state, expected = run(inner, params)
    same_bits(updates, expected)
    same_bits(state.inner_state, inner_state)
    assert form(state) == form(tx.init(params))
    assert ao.metrics(state)["step"] == 4


@pytest.mark.parametrize("name", marked(COMPANY))
def test_updates_are_those_of_the_inner_one_bit_for_bit(name):
    check(COMPANY[name], PARAMS, every=2, groups=["kernel", "inner"])


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPANY)
def test_so_they_are_without_groups(name):
    check(COMPANY[name], PARAMS)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("ours", "bfloat16"),
        ("optax", "float16"),
        *[("momentum", d) for d in ("bfloat16", "float16")],
    ],
)
def test_narrow_updates_too(name, dtype):
    with jax.numpy_rank_promotion("raise"):
        check(COMPANY[name], jax.tree.map(lambda p: p.astype(dtype), PARAMS), groups=["kernel"])


def test_odd_leaves_pass_as_they_are():
    params = {
        "w": jnp.ones((2, 3)),
        "complex": jnp.array([1 + 2j]),
        "none": None,
        "integer": jnp.array([3]),
        "empty": jnp.zeros((0, 2)),
        "scalar": jnp.full((), 2.0),
        "masked": optax.MaskedNode(),
        "float0": jnp.array([1]),
    }
    grads = {**params, "float0": np.zeros(1, jax.dtypes.float0)}
    for inner in (ao.adam(0.1),):
        tx = ao.monitored(inner, groups={"some": "w|complex|none", "empty": "empty|integer"})
        updates, state = tx.update(grads, tx.init(params), params)
        expected, _ = inner.update(grads, inner.init(params), params)
        assert jax.tree.structure(updates) == jax.tree.structure(expected)
        same_bits(updates, expected)
        found = ao.metrics(state)
        np.testing.assert_allclose(found["gradient_norm"], np.sqrt(6 + 5 + 4), rtol=1e-6)
        assert found["gradient_norm/empty"] == 0
        assert np.isnan(found["learning_rate/empty"])
    for empty in ({}, {"a": None}, {"a": jnp.array([1])}):
        tx = ao.monitored(ao.adam(0.1))
        _, state = tx.update(empty, tx.init(empty), empty)
        assert ao.metrics(state)["gradient_norm"] == 0


def test_inside_masks_and_partitions_it_sees_its_own_leaves():
    tx = optax.partition(
        {"x": ao.monitored(optax.sgd(0.5), groups=["kernel"]), "y": ao.monitored(ao.sgd(0.25))},
        lambda p: {"kernel": "x", "inner": "y"},
    )
    grads = grads_of(PARAMS)
    _, state = tx.update(grads, tx.init(PARAMS), PARAMS)
    found = ao.metrics(state)
    assert (float(found["learning_rate/x"]), float(found["learning_rate/y"])) == (0.5, 0.25)
    np.testing.assert_allclose(found["gradient_norm/x"], np.linalg.norm(grads["kernel"]), rtol=1e-6)
    assert found["gradient_norm/kernel/x"] == found["gradient_norm/x"]


@pytest.mark.parametrize("inner", [optax.adam(0.1)])
def test_vmap_over_seeds_and_a_loss_that_is_differentiated(inner):
    tx = ao.monitored(inner, every=2)
    many = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), PARAMS)
    state = jax.jit(jax.vmap(tx.init))(many)
    for _ in range(3):
        _, state = jax.jit(jax.vmap(tx.update))(many, state, many)
    norms = ao.metrics(state)["gradient_norm"]
    np.testing.assert_allclose(norms, [optax.tree.norm(PARAMS) * k for k in (1, 2)], rtol=1e-6)

    def after(rate):
        step = ao.monitored(optax.sgd(rate))
        updates, _ = step.update(PARAMS, step.init(PARAMS), PARAMS)
        return jnp.sum(updates["kernel"] ** 2)

    np.testing.assert_allclose(jax.grad(after)(0.5), jnp.sum(PARAMS["kernel"] ** 2), rtol=1e-5)


def test_the_state_travels():
    from flax import serialization

    for inner in (ao.adam(0.1), optax.adam(0.1)):
        tx = ao.monitored(inner, groups=["kernel"])
        grads = grads_of(PARAMS)
        _, state = tx.update(grads, tx.init(PARAMS), PARAMS, value=1.0)
        back = serialization.from_bytes(tx.init(PARAMS), serialization.to_bytes(state))
        same_bits(back, state)
        marked = optax.tree_map_params(tx, lambda x: x + 1, state)
        same_bits(marked.seen, state.seen)
        assert form(marked) == form(state)
        same_bits(
            optax.tree.get(marked.inner_state, "mu"),
            jax.tree.map(lambda x: x + 1, optax.tree.get(state.inner_state, "mu")),
        )
        donated = jax.jit(lambda g, s, tx=tx: tx.update(g, s, PARAMS), donate_argnums=1)
        assert ao.metrics(donated(grads, state)[1])["step"] == 2


def test_in_a_train_state_and_an_nnx_optimizer():
    from flax import nnx
    from flax.training.train_state import TrainState

    tx = ao.monitored(optax.adam(0.1), groups=["kernel"])
    train = TrainState.create(apply_fn=None, params=PARAMS, tx=tx)
    step = jax.jit(lambda state, grads: state.apply_gradients(grads=grads), donate_argnums=0)
    train = step(step(train, grads_of(PARAMS)), grads_of(PARAMS))
    assert ao.metrics(train.opt_state)["step"] == 2

    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    grads = nnx.grad(lambda model: jnp.sum(model(jnp.ones((4, 2))) ** 2))(model)
    optimizer.update(model, grads)
    found = ao.metrics(optimizer.opt_state)
    kernel = np.asarray(jax.tree.leaves(grads)[1])
    np.testing.assert_allclose(found["gradient_norm/kernel"], np.linalg.norm(kernel), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "inner"), [(AxisType.Auto, optax.sgd(0.1)), (AxisType.Explicit, ao.adam(0.1))]
)
def test_on_a_mesh_the_measures_are_those_of_one_device(kind, inner):
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(kind, kind), devices=jax.devices()[:4])
    alone = {"w": jnp.arange(96.0).reshape(8, 12) / 50, "b": jnp.ones(24), "one": jnp.full((), 2.0)}
    specs = {"w": P("x", "y"), "b": P("y"), "one": P()}
    tx = ao.monitored(inner, groups=["w", "b"])
    with jax.set_mesh(mesh):
        params = {k: jax.device_put(v, NamedSharding(mesh, specs[k])) for k, v in alone.items()}
        state, update = jax.jit(tx.init)(params), jax.jit(tx.update)
        for _ in range(2):
            updates, state = update(params, state, params)
        compiled = update._cache_size()
        updates, state = update(params, ao.set_learning_rate(state, 0.05), params)
        assert update._cache_size() == compiled
        assert updates["w"].sharding.is_equivalent_to(params["w"].sharding, 2)
        found = {name: float(value) for name, value in ao.metrics(state).items()}
    state = tx.init(alone)
    for t in range(3):
        state = ao.set_learning_rate(state, 0.05) if t == 2 else state
        _, state = tx.update(alone, state, alone)
    for name, value in ao.metrics(state).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("inner", [ao.adam, optax.adam])
def test_no_property_of_the_contract_is_lost(inner):
    kept = check_contract(inner)
    watched = check_contract(lambda learning_rate: ao.monitored(inner(learning_rate)))
    lost = {row.property for row in watched.failures} - {row.property for row in kept.failures}
    assert not lost, str(watched)


def test_quick_properties_of_the_contract_are_kept():
    found = check_contract(
        lambda learning_rate: ao.monitored(ao.sgd(learning_rate)),
        properties=("none_leaves", "integer_leaves", "float0_gradients", "strict_settings"),
    )
    assert found.passed, str(found)
