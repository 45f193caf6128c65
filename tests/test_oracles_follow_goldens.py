"""The oracles, with the presets we propose, follow torch, Keras and optax to 1e-12."""

import numpy as np
import pytest
from goldens import Golden, load
from goldens.presets_expected import PRESETS
from oracles import ORACLES, lookahead_adam, lookahead_sgd

# Both sides are float64 and differ in the order of operations only, which costs at most 1.1e-14
# here, on moves of up to 25.
TOLERANCE = 1e-12

GOLDENS = [golden for library in ("torch", "keras", "optax") for golden in load(library)]
LOOKAHEADS = load("optax_lookahead")


def name_of(golden: Golden) -> str:
    return golden.id


@pytest.mark.parametrize("golden", GOLDENS, ids=name_of)
def test_oracle_follows_golden(golden):
    preset = PRESETS[golden.made_by["library"]].get(golden.name, {})  # else all is written out
    arguments = {**preset, **golden.overrides}
    for leaf, start in golden.start.items():
        path = ORACLES[golden.name](
            golden.gradients[leaf], start, golden.learning_rate, **arguments
        )
        np.testing.assert_allclose(path, golden.path[leaf], rtol=0, atol=TOLERANCE, err_msg=leaf)


@pytest.mark.parametrize("golden", LOOKAHEADS, ids=name_of)
def test_lookahead_follows_optax(golden):
    how = dict(golden.overrides)
    inner = how.pop("inner")
    if golden.name == "lookahead over adam":
        inner = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, **inner}
    oracle = {"lookahead over sgd": lookahead_sgd, "lookahead over adam": lookahead_adam}
    for leaf, start in golden.start.items():
        fast, slow = oracle[golden.name](
            golden.gradients[leaf], start, golden.learning_rate, **inner, **how
        )
        np.testing.assert_allclose(fast, golden.path[leaf], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(slow, golden.slow[leaf], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("library", ["torch", "keras", "optax"])
def test_every_preset_is_proven_by_its_defaults(library):
    proven = {g.name for g in GOLDENS if g.made_by["library"] == library and not g.overrides}
    assert proven == set(PRESETS[library])


def test_every_preset_is_understood_by_its_oracle():
    gradients, start = np.ones((3, 2)), np.zeros(2)
    for presets in PRESETS.values():
        for name, arguments in presets.items():
            more = {"hessian": gradients} if name == "sophia" else {}
            assert np.isfinite(ORACLES[name](gradients, start, 0.1, **arguments, **more)).all()


def test_presets_differ_where_the_libraries_do():
    """Each golden of defaults refuses the preset of another library, unless the rules are equal."""
    equal = {"sgd", "adadelta"}  # one rule; AdaDelta of torch and optax have the same constants
    for golden in (g for g in GOLDENS if g.id.endswith("-eps") and g.name not in equal):
        for library in set(PRESETS) - {golden.made_by["library"]}:
            theirs = PRESETS[golden.made_by["library"]][golden.name]
            other = PRESETS[library].get(golden.name)
            if other is None or {**other, **golden.overrides} == {**theirs, **golden.overrides}:
                continue
            path = ORACLES[golden.name](
                golden.gradients["kernel"],
                golden.start["kernel"],
                golden.learning_rate,
                **{**other, **golden.overrides},
            )
            assert np.abs(path - golden.path["kernel"]).max() > 1e-6, (
                golden.id,
                library,
            )
