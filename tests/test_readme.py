"""README is true: its table, its commands and its example."""

import re
from pathlib import Path

import jax
import numpy as np
import readme
from problems import grads_of, params_of, run

import adaptive_optax as ao


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", readme.README.read_text(), re.DOTALL)


def test_table_and_numbers_are_as_counted():
    assert readme.README.read_text() == readme.written(), "run: python tests/readme.py"


def test_the_gate_runs_the_command_for_the_tests_last():
    command = blocks("sh")[0].splitlines()[-1].split("  #")[0].strip()
    assert (readme.README.parent / ".ci" / "run").read_text().splitlines()[-1] == command


def test_flax_example_runs_and_learns(capsys):
    example = blocks("python")[0]
    exec(compile(example, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) < 1e-3


def test_other_examples_run():
    for example in blocks("python")[1:]:
        exec(compile("import adaptive_optax as ao\n" + example, "README.md", "exec"), {})


def test_cores_worked_example_is_adam():
    """The Adam that core/README.md spells out takes the steps of the library's."""
    text = (Path(ao.__file__).parent / "core" / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    found: dict = {}
    exec(compile(example, "core/README.md", "exec"), found)
    params, gradients = params_of(), [grads_of(params_of(), seed) for seed in range(4)]
    spelled, library = (run(adam(0.1), params, gradients)[0] for adam in (found["adam"], ao.adam))
    jax.tree.map(np.testing.assert_array_equal, spelled, library)
