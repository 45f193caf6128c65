import csv
import io
import json

import matplotlib.image
import numpy as np
import optax
import pytest
from rich.console import Console
from test_compare_task import line

from adaptive_optax.comparison import compare, plots, result_files, statistics, summary_table

OPTIMIZERS = ["sgd", "lookahead(sgd)", "adam"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return compare(line(), OPTIMIZERS, seeds=2, out=out), out


def test_json_holds_every_run(found):
    found, out = found
    document = json.loads((out / "results.json").read_text())
    assert document["config"]["task"] == "line"
    assert document["config"]["seeds"] == [0, 1]
    assert {"python", "jax", "optax", "numpy"} <= document["versions"].keys()
    assert [row["optimizer"] for row in document["optimizers"]] == [r.name for r in found.rows]
    for row in document["optimizers"]:
        assert all(len(run["train_loss"]) == 4 for run in row["runs"])
        assert all(len(run["validation_loss"]) == 5 for run in row["runs"])
        assert len(row["test_metric"]) == 2


def test_csv_has_a_row_an_optimizer(found):
    found, out = found
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["optimizer"] for row in rows] == [row.name for row in found.rows]
    assert tuple(rows[0]) == result_files.COLUMNS
    best = found.rows[0]
    assert float(rows[0]["test_mean"]) == statistics.mean(best.test_metric)
    assert int(rows[0]["runs"]) == len(best.runs)
    assert rows[0]["tied_with_best"] == "True"


def test_pictures_can_be_read(found):
    _, out = found
    for name in ("loss", "validation_loss", "squared_error", "learning_rate"):
        assert matplotlib.image.imread(out / f"{name}.png").shape[1] > 500


def test_many_optimizers_get_panels(found, monkeypatch, tmp_path):
    monkeypatch.setattr(plots, "TOGETHER", 1)
    assert len(plots.draw(found[0], tmp_path)) == 4


def test_numbers_that_are_not_finite_are_null(tmp_path):
    lost = compare(line(), {"lost": lambda rate: optax.sgd(1e30)}, epochs=3)
    result_files.write(lost, tmp_path)
    document = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert document["optimizers"][0]["test_mean"] is None
    assert "No optimizer trained" in summary_table.sentence(lost)
    plots.draw(lost, tmp_path)


def test_the_table_has_a_line_an_optimizer(found):
    found, _ = found
    for width in (70, 130):
        text = io.StringIO()
        summary_table.show(
            found, Console(file=text, width=width, force_terminal=True, color_system=None)
        )
        printed = text.getvalue()
        assert all(name in printed for name in OPTIMIZERS)
        assert ("state" in printed) == (width > 100)
        assert "Take " in printed


def test_a_long_name_takes_several_lines_and_no_column():
    long = "lookahead(blend(adam+lion,weights=0.7:0.3),every=10)"
    found = compare(line(), ["sgd", long], seeds=2, learning_rate=0.1)
    text = io.StringIO()
    summary_table.show(found, Console(file=text, width=120, force_terminal=True, color_system=None))
    printed = text.getvalue().splitlines()
    row = next(
        k for k, each in enumerate(printed) if each.startswith("lookahead(blend(adam+lion,  ")
    )
    assert printed[row + 1].startswith("weights=0.7:0.3),every=10)")
    assert " 0.1 " in printed[row]
    assert "…" not in text.getvalue()
    assert summary_table.in_lines("lookahead(adam)") == "lookahead(adam)"


def test_the_sentence(found):
    found, _ = found
    assert found.rows[0].name in summary_table.sentence(found)
    one = compare(line(), ["sgd", "adam"], seeds=1, learning_rate=0.1)
    assert "give more seeds" in summary_table.sentence(one)
    alone = compare(line(), "sgd", seeds=2, learning_rate=0.1)
    assert "it was alone" in summary_table.sentence(alone)
    twins = compare(line(), {"a": optax.sgd, "b": optax.sgd}, learning_rate=0.1)
    assert "a tie with b" in summary_table.sentence(twins)
    task = line(init=lambda seed: {"w": np.zeros((2, 1)), "b": np.zeros(1)}, seeds=3, epochs=20)
    still = {"a": (optax.sgd, 0.1), "b": (lambda rate: optax.sgd(0.0), 0.1)}
    assert "beats all others" in summary_table.sentence(compare(task, still, grid=1))


def test_a_folder_that_cannot_be_written_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    task = line(init=lambda seed: pytest.fail("trained"))
    with pytest.raises(OSError, match=r"compare\(out=.*cannot write there"):
        compare(task, "sgd", out=tmp_path / "file")
