"""Logs on disk: what stands in them, how they go on after a killed run, what is damaged."""

import csv
import json
import math

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from adaptive_optax.logging import sinks

NAN, INF = float("nan"), float("inf")
FILES = [(sinks.JSONL, "run.jsonl"), (sinks.CSV, "run.csv")]


def strict(line):
    """JSON as the standard has it, without Python's bare NaN."""

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(line, parse_constant=refuse)


def logged(path):
    """The log as {metric: {step: value}}; the steps rise."""
    assert all((np.diff(series.steps) > 0).all() for series in sinks.read_log(path).values())
    return {
        name: dict(zip(series.steps.tolist(), series.values.tolist(), strict=True))
        for name, series in sinks.read_log(path).items()
    }


def test_jsonl_is_json_and_keeps_what_is_not_finite(tmp_path):
    path = tmp_path / "deep" / "run.jsonl"
    with sinks.JSONL(path) as sink:
        sink.write(0, {"loss": 0.5, "learning_rate/encoder": 1e-3})
        sink.write(np.int64(1), {"loss": NAN, "a": INF, "b": -INF})
        sink.write(jnp.int32(2), {'say "hi"\n': jnp.float32(0.1), "step": 7, "skipped": True})
    assert [strict(line) for line in path.read_text().splitlines()] == [
        {"step": 0, "loss": 0.5, "learning_rate/encoder": 0.001},
        {"step": 1, "loss": "NaN", "a": "Infinity", "b": "-Infinity"},
        {"step": 2, 'say "hi"\n': 0.1, "skipped": 1},
    ]
    found = logged(path)
    assert math.isnan(found["loss"].pop(1))
    assert found["loss"] == {0: 0.5}
    assert (found["a"], found["b"], found["skipped"]) == ({1: INF}, {1: -INF}, {2: 1.0})


def test_csv_widens_and_loses_nothing(tmp_path):
    path = tmp_path / "run.csv"
    with sinks.CSV(path) as sink:
        sink.write(0, {"loss": 0.5})
        sink.write(5, {"loss": NAN, 'rate, "new"': 0.1})
        sink.write(6, {'rate, "new"': -INF, "step": 9})
        sink.write(7, {})
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["step", "loss", 'rate, "new"'],
            ["0", "0.5", ""],
            ["5", "nan", "0.1"],
            ["6", "", "-inf"],
            ["7", "", ""],
        ]
    found = logged(path)
    assert found['rate, "new"'] == {5: 0.1, 6: -INF}
    assert sorted(found["loss"]) == [0, 5]
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize(("make", "name"), FILES)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64])
def test_values_come_back_in_their_dtype(tmp_path, make, name, dtype):
    values = np.random.default_rng(0).normal(size=20).astype(dtype)
    with make(tmp_path / name) as sink:
        for step, value in enumerate(values):
            sink.write(step, {"loss": jnp.asarray(value) if dtype != np.float64 else value})
    back = sinks.read_log(tmp_path / name)["loss"].values
    np.testing.assert_array_equal(back.astype(dtype), values)


@pytest.mark.parametrize(("make", "name"), FILES)
@pytest.mark.parametrize("cut", range(1, 12))
def test_a_killed_run_goes_on(tmp_path, make, name, cut):
    """Wherever the writer was cut off, the whole rows stay and new ones follow on lines of theirs.

    The reader passes over the half row too.
    """
    path = tmp_path / name
    with make(path) as sink:
        sink.write(0, {"loss": 0.5})
        sink.write(1, {"loss": 0.25})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    kept = {0: 0.5, 1: 0.25} if make is sinks.JSONL and cut == 1 else {0: 0.5}
    expected = {} if make is sinks.CSV and cut > 7 else kept  # the first row goes as well
    assert logged(path).get("loss", {}) == expected
    with make(path) as sink:
        sink.write(1, {"loss": 0.125})
    assert logged(path)["loss"] == {**expected, 1: 0.125}
    assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize(("make", "name"), FILES)
def test_a_long_half_line_is_taken_away(tmp_path, make, name):
    path = tmp_path / name
    with make(path) as sink:
        sink.write(0, {"loss": 0.5})
    with path.open("ab") as file:
        file.write(b'{"step": 1' + b"\x00" * 200_000)
    with make(path) as sink:
        sink.write(1, {"loss": 0.25})
    assert logged(path) == {"loss": {0: 0.5, 1: 0.25}}
    assert path.stat().st_size < 100


@pytest.mark.parametrize(("make", "name"), FILES)
def test_steps_that_come_again(tmp_path, make, name):
    """The later row counts; `resume_at` takes the earlier ones away."""
    path = tmp_path / name
    for start, value in ((0, 1.0), (3, 2.0)):
        with make(path) as sink:
            for step in range(start, start + 5):
                sink.write(step, {"loss": value, "old": 1.0} if start == 0 else {"loss": value})
    assert logged(path)["loss"] == {**dict.fromkeys(range(3), 1.0), **dict.fromkeys(range(3, 8), 2)}
    with make(path, resume_at=2) as sink:
        sink.write(2, {"loss": 9.0})
    assert logged(path) == {"loss": {0: 1.0, 1: 1.0, 2: 9.0}, "old": {0: 1.0, 1: 1.0}}
    with make(path, resume_at=0):
        pass
    assert logged(path) == {}


def test_rows_out_of_order_are_sorted(tmp_path):
    with sinks.JSONL(tmp_path / "run.jsonl") as sink:
        for step in (3, 1, 2):
            sink.write(step, {"loss": step / 2})
    series = sinks.read_log(tmp_path / "run.jsonl")["loss"]
    assert (series.steps.tolist(), series.values.tolist()) == ([1, 2, 3], [0.5, 1.0, 1.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"step": 0}\n{"step": 1, "lo\n{"step": 2}\n', r"run.jsonl, line 2: damaged"),
        ('{"step": 0}\n{"loss": 1}\n', r'line 2: damaged \(it has no "step"\)'),
        ('{"step": 0, "loss": [1]}\n', r"line 1: damaged \('loss' is \[1\], not a number"),
        ('{"step": 1.5}\n', r"line 1: damaged \(the step is 1.5, not an integer"),
        ('{"step": true}\n', r"the step is True, not an integer"),
        ('{"step": -1}\n', r"the step is -1, out of range"),
        ('{"step": 0}\n' + "[" * 100_000 + "\n", r"line 2: damaged"),
        ('{"step": 0, "loss": 1' + "0" * 400 + "}\n", r"line 1: damaged"),
        ('{"loss": 1}\n', r'run.jsonl: its first line has no "step"'),
    ],
)
def test_damaged_json(tmp_path, text, message):
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        sinks.read_log(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"step,loss\n0,1\n1\n2,1\n", r"run.csv, line 3: damaged \(1 cells under 2 columns"),
        (b"step,loss\n0,x\n", r"line 2: damaged \(could not convert string to float: 'x'"),
        (b"step,loss\n0,1\n\xff,1\n", r"line \d: damaged \('utf-8' codec"),
        (b'step,loss\n0,"1"2\n', r"line 2: damaged"),
        (b"epoch,loss\n0,1\n", r"run.csv: it has no column 'step'"),
    ],
)
def test_damaged_csv(tmp_path, text, message):
    path = tmp_path / "run.csv"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=message):
        sinks.read_log(path)


def test_csv_refuses_another_table(tmp_path):
    (tmp_path / "a.csv").write_text("epoch,loss\n1,2\n")
    with pytest.raises(ValueError, match="first column is 'epoch' and not 'step'"):
        sinks.CSV(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "epoch,loss\n1,2\n"
