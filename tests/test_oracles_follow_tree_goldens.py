"""The oracles of the rules on matrices and trees follow optax and Keras with our presets."""

import numpy as np
import pytest
from goldens import Golden, load
from goldens.presets_tree import PRESETS_TREE
from goldens.record import SHAPES, STEPS
from oracles.tree_rules import TREE_ORACLES

# Of the largest move, as the parameter-free rules start with moves of 1e-6 and end at 1e-5 to 1.
# Both sides are float64 and differ in the order of operations only, which costs up to 6.3e-15.
TOLERANCE = 1e-12
ROUNDING = 1e-15  # of parameters of up to 4, which small moves do not escape

GOLDENS = load("optax_tree")
WRAPPER = {"b1": 0.9, "weight_power": 2.0}  # the defaults of optax's Schedule-Free and its inner
SCHEDULE_FREE = {
    "schedule_free_sgd": WRAPPER,
    "schedule_free_adam": {**WRAPPER, "b2": 0.999, "eps": 1e-8},
}


def name_of(golden: Golden) -> str:
    return golden.id


def options(golden: Golden) -> dict:
    """The oracle's keyword arguments: the preset of the golden's library, and its overrides."""
    preset = SCHEDULE_FREE.get(golden.name) or PRESETS_TREE[golden.made_by["library"]][golden.name]
    return {**preset, **golden.overrides}


def cases(golden: Golden) -> list[tuple[np.ndarray, ...]]:
    """Gradients, start and paths of what the oracle takes at once: a leaf, or the whole tree."""
    paths = [golden.path] if golden.slow is None else [golden.path, golden.slow]
    if golden.name != "muon":
        return [tuple(flat(tree) for tree in (golden.gradients, golden.start, *paths))]
    arguments = golden.made_by["arguments"]
    adam = golden.made_by["library"] == "optax" and not arguments.get("nesterov", True)
    found = []
    for leaf in SHAPES if adam else ["kernel"]:
        case = golden.gradients[leaf], golden.start[leaf], golden.path[leaf]
        if "muon_weight_dimension_numbers" in arguments:  # optax read the kernel as (out, in)
            case = tuple(np.swapaxes(array, -1, -2) for array in case)
        found.append(case)
    return found


def flat(tree: dict[str, np.ndarray]) -> np.ndarray:
    """The leaves as one vector, shape (16,), or as one a step, shape (T, 16)."""
    lead = tree["scale"].shape
    return np.concatenate([np.reshape(tree[leaf], (*lead, -1)) for leaf in SHAPES], -1)


def error(golden: Golden, **changed) -> float:
    """The oracle's largest distance from the golden, in units of what is allowed."""
    worst = 0.0
    for gradients, start, *paths in cases(golden):
        arguments = {**options(golden), **changed}
        found = TREE_ORACLES[golden.name](gradients, start, golden.learning_rate, **arguments)
        found = found if isinstance(found, tuple) else (found,)
        for ours, path in zip(found, paths, strict=False):  # dog has an average, optax none
            allowed = TOLERANCE * np.abs(path - start).max() + ROUNDING
            worst = max(worst, np.abs(ours - path).max() / allowed)
    return worst


@pytest.mark.parametrize("golden", GOLDENS, ids=name_of)
def test_oracle_follows_golden(golden):
    assert error(golden) < 1


@pytest.mark.parametrize("golden", GOLDENS, ids=name_of)
def test_golden_refuses_each_override_undone(golden):
    """So that each option named in a golden is one that it can see."""
    theirs = options(golden)
    preset = options(golden._replace(overrides={}))
    for option in golden.overrides:
        undone = preset.get(option, 0.0)  # Schedule-Free has no preset for the inner's decay
        assert undone != theirs[option]
        assert error(golden, **{option: undone}) > 100, option


def test_goldens_refuse_what_the_papers_have_otherwise():
    """The bias correction of optax, the scale of Keras: no default is proven by being invisible."""
    for golden in (g for g in GOLDENS if not g.overrides and g.name not in SCHEDULE_FREE):
        theirs, paper = options(golden), PRESETS_TREE["paper"][golden.name]
        seen = [option for option in paper if paper[option] != theirs[option]]
        assert bool(seen) != (golden.name in ("dog", "dowg"))
        for option in seen:
            assert error(golden, **{option: paper[option]}) > 100, (golden.id, option)


def test_every_preset_is_proven_by_its_defaults():
    for library in ("keras", "optax"):
        proven = {g.name for g in GOLDENS if g.made_by["library"] == library and not g.overrides}
        assert proven - set(SCHEDULE_FREE) == set(PRESETS_TREE[library])


def test_every_preset_is_understood_by_its_oracle():
    for presets in PRESETS_TREE.values():
        for name, arguments in presets.items():
            for shape in ((4, 3), (2, 2, 3), (3,), ()):
                gradients = np.random.default_rng(0).standard_normal((12, *shape))
                found = TREE_ORACLES[name](gradients, np.ones(shape), 0.1, **arguments)
                for path in found if isinstance(found, tuple) else (found,):
                    assert path.shape == (12, *shape)
                    assert np.isfinite(path).all()


def test_goldens_hold_every_step():
    for golden in GOLDENS:
        assert flat(golden.path).shape == (STEPS, 16)
