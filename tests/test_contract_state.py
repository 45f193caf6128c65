"""Contract 1 and 10: one state type for ever, and a state that lasts on disk."""

import functools
import itertools
import json
from pathlib import Path

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from catalogue import CASES, FIRST, by_id
from problems import form, grads_of, params_of

FLOATS = (jnp.float32, jnp.bfloat16, jnp.float16)
RECORD = Path(__file__).parent / "recorded" / "state_paths.json"


def state_paths(tx) -> list[str]:
    leaves = jax.tree_util.tree_flatten_with_path(tx.init(params_of()))[0]
    return [f"{jax.tree_util.keystr(path)}: {x.dtype}{list(x.shape)}" for path, x in leaves]


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_update_keeps_the_form_of_the_state(row):
    """For every pair of dtypes, traced and eager, with and without jit, in scan and in cond."""
    tx = row.make()
    for of_params, of_grads in itertools.product(FLOATS, FLOATS):
        params = params_of(of_params)
        grads = grads_of(params, dtype=of_grads)
        state = tx.init(params)
        traced = jax.eval_shape(tx.update, grads, state, params)
        assert form(traced[1]) == form(state)
        assert jax.tree.structure(traced[1]) == jax.tree.structure(state)
        assert form(traced[0]) == form(params)
        jax.eval_shape(
            lambda s, tx=tx, g=grads, p=params: jax.lax.scan(
                lambda s, _: (tx.update(g, s, p)[1], None), s, length=3
            ),
            state,
        )
        jax.eval_shape(
            lambda s, tx=tx, g=grads, p=params: jax.lax.cond(
                True, lambda s: tx.update(g, s, p)[1], lambda s: s, s
            ),
            state,
        )
    updates, eager = tx.update(grads, state, params)
    assert form(eager) == form(state)
    assert form(updates) == form(params)


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_eager_jit_and_scan_agree(row):
    tx, params = row.make(), params_of()
    gradients = [grads_of(params, seed) for seed in range(7)]
    eager = state = tx.init(params)
    for grads in gradients:
        _, eager = tx.update(grads, eager, params)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *gradients)
    scanned, _ = jax.jit(
        lambda s: jax.lax.scan(lambda s, g: (tx.update(g, s, params)[1], None), s, stacked)
    )(state)
    for one, other in zip(jax.tree.leaves(eager), jax.tree.leaves(scanned), strict=True):
        np.testing.assert_allclose(
            one, other, rtol=1e-6, atol=1.2e-7
        )  # fused differently, values up to 2


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_one_trace_for_many_calls(row):
    tx, params = row.make(), params_of(jnp.bfloat16)
    traces = []

    @jax.jit
    def step(grads, state, params):
        traces.append(None)
        return tx.update(grads, state, params)

    state = tx.init(params)
    for seed in range(4):
        _, state = step(grads_of(params, seed, dtype=jnp.float32), state, params)
    assert len(traces) == 1


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_state_round_trips_bit_for_bit(row, tmp_path):
    tx, params = row.make(), params_of(jnp.bfloat16)
    state = tx.init(params)
    for seed in range(3):
        _, state = tx.update(grads_of(params, seed), state, params)
    packed = flax.serialization.from_bytes(tx.init(params), flax.serialization.to_bytes(state))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        saved = checkpointer.restore(tmp_path / "state", tx.init(params))
    for restored in (packed, saved):
        assert jax.tree.structure(restored) == jax.tree.structure(state)
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), restored, state)
    after = functools.partial(tx.update, grads_of(params, 9), params=params)
    jax.tree.map(np.testing.assert_array_equal, after(state), after(saved))


def test_state_paths_are_the_recorded_ones():
    """A change here breaks users' checkpoints: say so in the changelog, then record anew."""
    recorded = json.loads(RECORD.read_text())
    assert {row.id: state_paths(row.make()) for row in CASES} == recorded


@pytest.mark.parametrize("row", CASES, ids=by_id)
def test_slots_a_parameter(row):
    """The state's size is what the catalogue and README say."""
    params = {"w": jnp.zeros(1000)}
    sizes = [x.size for x in jax.tree.leaves(row.make().init(params))]
    assert sum(size == 1000 for size in sizes) == row.slots
    members = 2 if "(members)" in row.title else 1
    scalars = 13 if row.names[0] == "guarded" else 7 * members  # counts, and two a rate
    assert sum(size for size in sizes if size != 1000) <= scalars


if __name__ == "__main__":
    RECORD.parent.mkdir(exist_ok=True)
    paths = {row.id: state_paths(row.make()) for row in CASES}
    RECORD.write_text(json.dumps(paths, indent=1) + "\n")
