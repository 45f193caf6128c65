"""`adaptive-optax range-test`, and the range test on a task."""

import argparse
import json

import numpy as np
import pytest
from test_compare_task import line

from adaptive_optax.cli import range_test
from adaptive_optax.comparison import tasks
from adaptive_optax.comparison.range_task import batches


def parsed(*words):
    parser = argparse.ArgumentParser()
    range_test.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    monkeypatch.setattr(tasks, "load", lambda name, data_dir=None: line())
    return ["--steps", "20", "--out", str(tmp_path / "out")]


@pytest.mark.parametrize("method", ["grid", "sweep"])
def test_it_prints_a_table_and_writes(method, tiny, capsys, tmp_path):
    words = ["--optimizers", "sgd,optax:adam", "--method", method, *tiny]
    assert range_test.run(parsed(*words)) == 0
    printed = capsys.readouterr().out
    assert "[ 2/2]" in printed
    assert "diverges at" in printed
    found = json.loads((tmp_path / "out" / "range_test.json").read_text())
    assert found["optimizers"]["optax:adam"]["suggestion"] > 0
    assert (tmp_path / "out" / "range_test.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optimizers", "adamm"], "range-test: unknown optimizer 'adamm'; did you mean 'adam'?"),
        (["--optimizers", "optax:adamm"], "range-test: optax:adamm: optax has no attribute"),
        (["--optimizers", "math:pi"], "range-test: math:pi is no function"),
        (["--optimizers", "lookahead(variance_reduced(sgd))"], "test what is inside it."),
        (
            ["--optimizers", "blend(adam,lion)"],
            "range-test: 'blend(adam,lion)': 'lion' is no option",
        ),
        (["--method", "swep"], "did you mean 'sweep'?"),
        (["--steps", "1"], "lr_range_test(steps=1): steps must be at least 2."),
    ],
)
def test_what_the_user_can_set_right_exits_with_2(words, message, tiny, capsys):
    assert range_test.run(parsed(*tiny, *words)) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_task_and_an_unwritable_folder_exit_with_2(capsys, tmp_path):
    assert range_test.run(parsed("--task", "digit", "--out", str(tmp_path))) == 2
    assert "range-test(task='digit'): task must be one of" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert range_test.run(parsed("--out", str(tmp_path / "file"))) == 2
    assert "cannot write there" in capsys.readouterr().err


def test_batches_of_a_task_are_passes_over_its_training_examples():
    task = line()
    inputs, _ = batches(task, steps=7, seed=0)
    assert inputs.shape == (7, 8, 2)
    np.testing.assert_array_equal(
        np.sort(inputs[:5].reshape(40, 2), axis=0), np.sort(task.train.inputs, axis=0)
    )
    whole, _ = batches(line(batch_size=None), steps=7, seed=0)
    np.testing.assert_array_equal(whole, task.train.inputs[None])
