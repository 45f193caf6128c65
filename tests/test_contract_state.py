"""States have the recorded paths and sizes; the contract kit asks for all else of them."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from catalogue import CASES, by_id
from problems import params_of

RECORD = Path(__file__).parent / "recorded" / "state_paths.json"


def state_paths(tx) -> list[str]:
    leaves = jax.tree_util.tree_flatten_with_path(tx.init(params_of()))[0]
    return [f"{jax.tree_util.keystr(path)}: {x.dtype}{list(x.shape)}" for path, x in leaves]


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
