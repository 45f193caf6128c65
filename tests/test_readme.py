"""README is true: its table, its commands and its example."""

import re

import readme


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", readme.README.read_text(), re.DOTALL)


def test_table_is_the_catalogues():
    assert readme.parts()[1] == readme.table(), "run: python tests/readme.py"


def test_the_two_commands():
    commands = [line.split("  #")[0].strip() for line in blocks("sh")[0].splitlines()]
    assert commands == [
        'pip install -e ".[compare]" && adaptive-optax compare',
        'pip install -e ".[test]" && pytest',
    ]


def test_flax_example_runs_and_learns(capsys):
    example = blocks("python")[0]
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    exec(compile(example, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) < 1e-3


def test_other_examples_run():
    for example in blocks("python")[1:]:
        exec(compile("import adaptive_optax as ao\n" + example, "README.md", "exec"), {})
