"""A state dict through Orbax (async, sharded, onto another mesh) and through flax's msgpack."""

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from moving import assert_same, bits, fresh, used

import adaptive_optax as ao

ocp = pytest.importorskip("orbax.checkpoint")

FALLING = optax.linear_schedule(1e-2, 0.0, 20)
PARAMS = {"kernel": np.linspace(-1, 1, 128, dtype=np.float32).reshape(16, 8), "bias": np.ones(8)}
PARAMS["bias"] = PARAMS["bias"].astype(np.float32)
EDITS = {  # what a checkpoint by places fails on
    "rate to schedule": (optax.adam(1e-2), optax.adam(FALLING)),
    "clip": (optax.adam(1e-2), optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))),
    "adam to adamw": (optax.adam(1e-2), optax.adamw(1e-2)),
    "bias correction": (ao.rmsprop(1e-2), optax.rmsprop(1e-2, bias_correction=True)),
    "order": (
        optax.chain(optax.scale_by_adam(), optax.zero_nans()),
        optax.chain(optax.zero_nans(), optax.scale_by_adam()),
    ),
    "optax to ours": (optax.adam(FALLING), ao.adamw(FALLING)),
    "a key": (
        optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(0)), optax.adam(1e-2)),
        optax.chain(optax.adam(1e-2), optax.add_noise(0.1, 0.5, jax.random.key(1))),
    ),
}


def through_orbax(saved, folder):
    """Written in the background, and read without a target, as no optimizer is known."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "state", saved)
        checkpointer.wait_until_finished()
        return checkpointer.restore(folder / "state")


def through_msgpack(saved, folder):
    (folder / "state").write_bytes(flax.serialization.to_bytes(saved))
    return flax.serialization.msgpack_restore((folder / "state").read_bytes())


WAYS = {"orbax": through_orbax, "msgpack": through_msgpack}


@pytest.mark.parametrize("way", WAYS)
def test_an_edited_optimizer_is_restored(way, tmp_path):
    used_by = {edit: used(before, PARAMS, steps=2) for edit, (before, _) in EDITS.items()}
    saved = {edit: ao.state_dict(state) for edit, (state, _) in used_by.items()}
    restored = WAYS[way](saved, tmp_path)
    for edit, (before, after) in EDITS.items():
        state, params = used_by[edit]
        assert set(restored[edit]) == set(saved[edit])
        assert_same(ao.load_state_dict(before, params, restored[edit]), state)
        loaded = ao.load_state_dict(after, params, restored[edit])
        assert_same(loaded, ao.load_state_dict(after, params, saved[edit]))


def spread(axes, specs):
    """The parameters over a mesh of eight devices."""
    mesh = Mesh(np.array(jax.devices()).reshape([size for _, size in axes]), [n for n, _ in axes])
    placed = {k: NamedSharding(mesh, PartitionSpec(*spec)) for k, spec in specs.items()}
    return {k: jax.device_put(x, placed[k]) for k, x in fresh(PARAMS).items()}


@pytest.mark.parametrize("inner", [ao.adam(FALLING), optax.adamw(FALLING)], ids=["ours", "optax"])
def test_onto_another_mesh(inner, tmp_path):
    before = spread([("data", 8)], {"kernel": ("data",), "bias": ()})
    after = spread([("a", 2), ("b", 4)], {"kernel": ("a", "b"), "bias": ("b",)})
    tx, wrapped = inner, ao.lookahead(inner)
    grads = jax.tree.map(jnp.ones_like, before)
    state = jax.jit(tx.update)(grads, jax.jit(tx.init)(before), before)[1]
    saved = ao.state_dict(state)
    assert saved["mu/kernel"].sharding == before["kernel"].sharding

    checkpointer = ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())
    checkpointer.save(tmp_path / "state", args=ocp.args.PyTreeSave(saved))
    updates = jax.jit(tx.update, donate_argnums=1)(grads, state, before)[0]  # while it is written
    checkpointer.wait_until_finished()
    written = checkpointer.metadata(tmp_path / "state").item_metadata.tree
    as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in written}
    how = ocp.args.PyTreeRestore(restore_args=as_numpy)  # on no mesh: the old one may be gone
    restored = checkpointer.restore(tmp_path / "state", args=how)
    checkpointer.close()

    loaded = ao.load_state_dict(wrapped, after, restored)
    slots = optax.tree.get(loaded, "mu"), optax.tree.get(loaded, "nu"), loaded.anchor
    for slot in slots:
        for name, p in after.items():
            assert slot[name].sharding.is_equivalent_to(p.sharding, p.ndim), name
    again = jax.jit(wrapped.update)(jax.tree.map(jnp.ones_like, after), loaded, after)[0]
    for name, u in updates.items():
        np.testing.assert_allclose(again[name], u, rtol=1e-6)
    assert bits(np.asarray(restored["mu/kernel"])) == bits(np.asarray(slots[0]["kernel"]))


def jax_placed(tx):
    """The same, whose init leaves nothing for jax to move."""
    return optax.GradientTransformation(jax.jit(tx.init), tx.update)


def test_from_one_mesh_to_another_and_to_none_without_a_file():
    before = spread([("data", 8)], {"kernel": ("data",), "bias": ()})
    after = spread([("a", 2), ("b", 4)], {"kernel": ("b", "a"), "bias": ("b",)})
    tx = ao.adam(1e-2)
    grads = jax.tree.map(jnp.ones_like, before)
    state = jax.jit(tx.update)(grads, jax.jit(tx.init)(before), before)[1]
    saved = ao.state_dict(state)
    moved = ao.load_state_dict(tx, after, saved)
    for name, p in after.items():
        assert moved.slots.mu[name].sharding.is_equivalent_to(p.sharding, p.ndim)
    alone = ao.load_state_dict(tx, fresh(PARAMS), saved)
    assert len(alone.slots.mu["kernel"].sharding.device_set) == 1
    jax.jit(tx.update)(fresh(PARAMS), alone, fresh(PARAMS))
    assert int(ao.load_state_dict(jax_placed(tx), after, {**saved, "count": 9}).count) == 9
    stored = ao.stored(tx, ao.int8())
    assert int(ao.load_state_dict(stored, after, saved).inner_state.count) == 1


def test_codes_over_a_mesh_come_back_where_they_were():
    large = {"w": np.full((128, 128), 0.1, np.float32)}
    mesh = Mesh(np.array(jax.devices()), ["data"])
    params = jax.device_put(large, NamedSharding(mesh, PartitionSpec("data")))
    tx = ao.stored(ao.adam(1e-2), ao.int8())
    state = jax.jit(tx.init)(params)
    state = jax.jit(tx.update)(params, state, params)[1]
    loaded = ao.load_state_dict(tx, params, ao.state_dict(state))
    assert_same(loaded, state)
    plain = ao.load_state_dict(ao.adam(1e-2), params, ao.state_dict(state))
    assert plain.slots.mu["w"].sharding.is_equivalent_to(params["w"].sharding, 2)
    back = ao.load_state_dict(tx, params, ao.state_dict(plain))
    expected = tx.init(params).inner_state.slots.mu["w"].sharding
    assert back.inner_state.slots.mu["w"].sharding.is_equivalent_to(expected, 2)
