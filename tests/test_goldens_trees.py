"""With its preset, every rule on matrices and trees follows the trajectories of optax and Keras."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_oracles_trees
from catalogue import every
from goldens import Golden, load
from goldens.presets_expected import PRESETS
from goldens.presets_tree import PRESETS_TREE
from test_oracles import follow, schedule
from test_oracles_follow_tree_goldens import ROUNDING, TOLERANCE

import adaptive_optax as ao

GOLDENS = load("optax_tree")
PAIRS = [(library, name) for library in PRESETS for name in PRESETS_TREE["paper"]]


def by_name(golden: Golden) -> str:
    return golden.id


def build(golden: Golden):
    """The golden's optimizer; what is no option of ours is written out here."""
    rate, options = schedule(golden.learning_rate), dict(golden.overrides)
    if golden.name.startswith("schedule_free_"):
        own = {key: options.pop(key) for key in ("b1", "weight_power") if key in options}
        inner = {"b1": 0.0, "weight_decay": 0.0, **options}
        tx = ao.sgd(rate) if golden.name.endswith("sgd") else ao.adamw(rate, **inner)
        return ao.schedule_free(tx, **own)
    options = {**ao.preset(golden.made_by["library"], golden.name), **options}
    if "muon_weight_dimension_numbers" in golden.made_by["arguments"]:
        tx = ao.muon(rate, **options)  # its kernels are (out, in); transposed, they are (in, out)
        return transposed(tx)
    return getattr(ao, golden.name)(rate, **options)


def transposed(tx):
    """The optimizer on the transposes of all matrices."""

    def turn(tree):
        return jax.tree.map(lambda x: x.T if x.ndim == 2 else x, tree)

    def update(grads, state, params):
        updates, state = tx.update(turn(grads), state, turn(params))
        return turn(updates), state

    return tx._replace(init=lambda params: tx.init(turn(params)), update=update)


def compared(golden: Golden) -> set[str]:
    """Muon's kernel only where the library has another optimizer than Adam for the rest."""
    plain = golden.made_by["library"] == "optax" and not golden.made_by["arguments"].get(
        "nesterov", True
    )
    return set(golden.path) if golden.name != "muon" or plain else {"kernel"}


@functools.cache
def ours(name: str) -> dict[str, tuple]:
    """Moves and averages of all goldens of one name, in one program."""
    goldens = [golden for golden in GOLDENS if golden.name == name]
    with jax.enable_x64(True):
        start = jax.tree.map(jnp.asarray, goldens[0].start)
        gradients = jax.tree.map(jnp.asarray, goldens[0].gradients)
        found = follow([build(golden) for golden in goldens], start, gradients)
    return {golden.id: paths for golden, paths in zip(goldens, found, strict=True)}


@pytest.mark.parametrize("golden", GOLDENS, ids=by_name)
def test_follows_the_golden(golden):
    moves, slow = ours(golden.name)[golden.id]
    fast = jax.tree.map(np.add, golden.start, moves)
    for path, exact in [(fast, golden.path)] + ([(slow, golden.slow)] if golden.slow else []):
        for leaf in compared(golden):
            largest = np.abs(exact[leaf] - golden.start[leaf]).max()
            error = np.abs(path[leaf] - exact[leaf]).max()
            assert error < TOLERANCE * largest + 4 * ROUNDING  # moves are summed here


@pytest.mark.parametrize(("library", "name"), PAIRS)
def test_preset_is_the_one_that_the_goldens_prove(library, name):
    if name not in PRESETS_TREE.get(library, {}):
        with pytest.raises(ValueError, match="no such optimizer there"):
            ao.preset(library, name)
        return
    found = ao.preset(library, name)
    assert found == PRESETS_TREE[library][name]
    options = set(inspect.signature(getattr(ao, name)).parameters)
    assert set(found) == options - {"learning_rate", "mask", "matrices", "rest"}


@pytest.mark.parametrize("name", every(2, [*PRESETS["paper"], *PRESETS_TREE["paper"]]))
def test_presets_of_the_papers_follow_the_oracles(name):
    """Of the rules of one coordinate too, on leaves of all shapes."""
    options = ao.preset("paper", name)
    if "eps_root" not in test_oracles_trees.DEFAULTS[name]:  # nor has its oracle
        assert options.pop("eps_root", 0.0) == 0.0
    case = test_oracles_trees.Case(name, {**options, "learning_rate": 0.1})
    test_oracles_trees.check(ao, case)
