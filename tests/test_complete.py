"""Every public optimizer is proven: a record, an oracle or a golden or a reason, three mutants.

Each failure names the file to edit and the command to run.
"""

import collections
import importlib
import inspect

import pytest
import test_goldens
from mutants import MUTANTS
from oracles import ORACLES
from oracles.tree_rules import TREE_ORACLES

import adaptive_optax as ao
from adaptive_optax.optimizers.record import LIBRARIES, records

FAMILIES = {"gradient", "adaptive", "sign", "layer", "matrix", "curvature", "no rate"}


def file_of(name):
    """The file of an optimizer, for messages."""
    module = records()[name].constructor.__module__
    return f"{module.replace('.', '/')}.py"


def test_every_optimizer_has_a_record():
    missing = {
        name for name in ao.__all__ if f"scale_by_{name}" in ao.__all__ and name not in records()
    }
    assert not missing, (
        f"{missing}: add each to RECORDS at the end of its file in adaptive_optax/optimizers/, and "
        f"run: pytest tests/test_complete.py"
    )
    hidden = {name for name in records() if not {name, f"scale_by_{name}"} <= {*ao.__all__}}
    assert not hidden, (
        f"{hidden}: add the lines of each to adaptive_optax/__init__.pyi, then run: "
        f"pytest tests/test_complete.py"
    )


@pytest.mark.parametrize("name", records())
def test_it_has_an_oracle_or_a_golden_or_a_reason(name):
    goldens = {golden.name for golden in test_goldens.GOLDENS}
    assert name in {*ORACLES, *TREE_ORACLES, *goldens} or records()[name].no_reference, (
        f"{name}: write tests/oracles/{name}.py from the paper, in NumPy float64, or say in the "
        f"record in {file_of(name)}, as no_reference, why there can be none; then run: "
        f"pytest tests/test_oracles.py tests/test_oracles_trees.py -k {name}"
    )


@pytest.mark.parametrize("name", records())
def test_it_has_three_mutants(name):
    counted = collections.Counter(mutant.file for mutant in MUTANTS)
    file = file_of(name).removeprefix("adaptive_optax/")
    assert counted[file] >= 3, (
        f"{name} has {counted[file]} mutants of {file}: add wrong variants to a file "
        f"tests/mutants*.txt, at least three, then run: pytest tests/test_mutants.py -k {name} "
        f"-m 'slow or not slow'"
    )


@pytest.mark.parametrize("name", records())
def test_its_record_is_whole(name):
    record = records()[name]
    where = f"the record of {name} in {file_of(name)}"
    assert record.family in FAMILIES, f"{where}: family must be one of {sorted(FAMILIES)}"
    assert record.formula, f"{where}: give the formula"
    assert record.when, f"{where}: say when to use it"
    assert set(record.presets) <= {*LIBRARIES}, f"{where}: presets are of {LIBRARIES}"
    known = inspect.signature(record.constructor).parameters
    for library, options in record.presets.items():
        unknown = options.keys() - known.keys()
        assert not unknown, (
            f"{where}: the preset of {library} has {unknown}, which it does not take"
        )
    for rate in (record.learning_rate, record.quadratic_rate, record.gallery_rate):
        assert rate > 0, f"{where}: rates must be above 0"
    module = importlib.import_module(record.constructor.__module__)
    assert "Departures:" in module.__doc__, f"{file_of(name)}: say what departs from the paper"
    assert record.constructor.__doc__, f"{file_of(name)}: write the docstring"
