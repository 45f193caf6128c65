"""With its preset, every optimizer follows the frozen trajectories of torch, Keras and optax."""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens import Golden, load
from goldens.presets_expected import PRESETS
from goldens.record import STEPS
from test_oracles import follow, schedule

import adaptive_optax as ao

# Both sides are float64 and differ in the order of operations, on moves of up to 25. Measured: up
# to 2e-14; the claim is 1e-9.
TOLERANCE = 1e-12

LIBRARIES = ("torch", "keras", "optax")
GOLDENS = [golden for library in LIBRARIES for golden in load(library)]
LOOKAHEADS = load("optax_lookahead")
PAIRS = [(library, name) for library in PRESETS for name in PRESETS["paper"]]


def by_name(golden: Golden) -> str:
    """The golden in a test's id."""
    return golden.id


def build(library: Any, golden: Golden) -> Any:
    """The golden's optimizer from `library`, which is ours or a mutant of it."""
    rate = schedule(golden.learning_rate)
    if golden.name.startswith("lookahead over "):
        options = dict(golden.overrides)
        inner = getattr(library, golden.name.removeprefix("lookahead over "))
        return library.lookahead(inner(rate, **options.pop("inner")), **options)
    other = golden.made_by["library"]
    preset = library.preset(other, golden.name) if golden.name in PRESETS[other] else {}
    options = {**preset, **golden.overrides}
    return getattr(library, golden.name)(rate, **options)


def errors(library: Any, goldens: list[Golden], steps: int = STEPS) -> dict[str, float]:
    """By id, the largest difference of any coordinate at any step, fast or slow."""
    with jax.enable_x64(True):
        start = jax.tree.map(jnp.asarray, goldens[0].start)
        gradients = jax.tree.map(lambda g: jnp.asarray(g[:steps]), goldens[0].gradients)
        found = follow([build(library, golden) for golden in goldens], start, gradients)
    largest = {}
    for golden, (moves, slow) in zip(goldens, found, strict=True):
        fast = jax.tree.map(np.add, golden.start, moves)
        pairs = [(fast, golden.path)] + ([(slow, golden.slow)] if golden.slow else [])
        largest[golden.id] = np.max(  # not Python's max, which passes over NaN
            [
                np.abs(path[leaf] - exact[leaf][:steps]).max()
                for path, exact in pairs
                for leaf in exact
            ]
        )
    return largest


def check(library: Any, goldens: list[Golden], steps: int = STEPS) -> None:
    """Fails unless the library's optimizers follow the goldens within the tolerance."""
    for name, error in errors(library, goldens, steps).items():
        assert error < TOLERANCE, f"{name} is off by {error:.1e}"


@functools.cache
def ours(name: str) -> dict[str, float]:
    """The errors of all goldens of one name, in one program."""
    return errors(ao, [golden for golden in [*GOLDENS, *LOOKAHEADS] if golden.name == name])


@pytest.mark.parametrize("golden", [*GOLDENS, *LOOKAHEADS], ids=by_name)
def test_follows_the_golden(golden):
    assert ours(golden.name)[golden.id] < TOLERANCE


@pytest.mark.parametrize(("library", "name"), PAIRS)
def test_preset_is_the_one_that_the_goldens_prove(library, name):
    """Ours may write out more, but only our own default of an option that the rule lacks."""
    if name not in PRESETS[library]:
        with pytest.raises(
            ValueError, match=rf"preset\('{library}', '{name}'\): no such optimizer"
        ):
            ao.preset(library, name)
        return
    found, expected = ao.preset(library, name), PRESETS[library][name]
    more = {key: value for key, value in found.items() if key not in expected}
    assert {**expected, **more} == found
    assert more in ({}, {"eps_root": 0.0})
    parameters = inspect.signature(getattr(ao, name)).parameters
    assert all(parameters[key].default == value for key, value in more.items())


@pytest.mark.parametrize(("library", "name"), PAIRS)
def test_preset_writes_out_every_option_but_the_learning_rate(library, name):
    if name not in PRESETS[library]:
        return
    options = set(inspect.signature(getattr(ao, name)).parameters)
    assert set(ao.preset(library, name)) == options - {"learning_rate", "mask"} - _lacking(name)


def _lacking(name: str) -> set[str]:
    """Options that no library fixes for the optimizer."""
    return {"lion": {"independent_decay"}, "sophia": {"hessian"}}.get(name, set())


def test_preset_is_a_new_dict_at_each_call():
    changed = ao.preset("torch", "adam")
    changed["eps"] = 1.0
    assert ao.preset("torch", "adam")["eps"] == 1e-8


@pytest.mark.parametrize(
    ("library", "name", "message"),
    [
        ("toch", "adam", r"preset\(library='toch'\): library must be one of 'paper', 'torch', "),
        ("toch", "adam", r"did you mean 'torch'\?"),
        ("torch", "lion", r"preset\('torch', 'lion'\): no such optimizer there; it has sgd, "),
        ("paper", "adma", r"did you mean 'adamax'\?"),
    ],
)
def test_unknown_presets(library, name, message):
    with pytest.raises(ValueError, match=message):
        ao.preset(library, name)
