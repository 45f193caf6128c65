"""The speed benchmarks: their arithmetic, and that they run, at toy size and without a clock."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


def run(script, *arguments):
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    settings = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(command, capture_output=True, text=True, env=settings)


def test_all_take_turns_and_each_begins_once(benchmarks):
    import speed_timing

    order = []
    timers = {name: lambda name=name: order.append(name) or 2.0 for name in "abc"}
    taken = speed_timing.interleaved(timers, 3, warm=0)
    assert "".join(order) == "abcbcacab"
    assert {name: len(seconds) for name, seconds in taken.items()} == dict.fromkeys("abc", 3)


def test_warm_rounds_do_not_count(benchmarks):
    import speed_timing

    seconds = iter([9.0, 1.0, 2.0])
    taken = speed_timing.interleaved({"a": lambda: next(seconds)}, 2, warm=1)
    np.testing.assert_array_equal(taken["a"], [1.0, 2.0])


def test_ratios_are_of_the_same_round(benchmarks):
    import speed_timing

    taken = {"a": np.array([2.0, 20.0, 6.0]), "b": np.array([1.0, 10.0, 2.0])}
    assert speed_timing.over(taken, "a", "b") == (2.0, 2.0, 2.5)
    assert str(speed_timing.over(taken, "a", "b")) == "2.00 (2.00 to 2.50)"


def test_the_floor_counts_what_a_step_must_move(benchmarks):
    import jax.numpy as jnp
    import speed_measures

    import adaptive_optax as ao

    params = {"w": jnp.ones((1024, 1024))}
    for tx, floats in ((ao.sgd(1e-3), 3), (ao.lion(1e-3), 5), (ao.adam(1e-3), 7)):
        per_parameter = speed_measures.least_bytes(tx, params) / 2**20
        assert abs(per_parameter - 4 * floats) < 1e-3


def test_every_pair_is_of_optimizers_that_are_there(benchmarks):
    import speed_pairs

    for pair in speed_pairs.PAIRS.values():
        assert pair.ours().init
        assert pair.theirs().init


@pytest.mark.slow
def test_the_command_writes_a_page_and_a_plot(tmp_path):
    ended = run("speed.py", "--toy", "--out", tmp_path)
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "speed_cpu.md").read_text()
    for heading in ("A step", "Tracing", "Growth", "Formats of `stored`"):
        assert f"## {heading}" in page
    assert str(FOLDER) not in page
    assert (tmp_path / "speed_cpu.png").stat().st_size > 10_000
    assert "adamw" in json.loads((tmp_path / "speed_cpu.json").read_text())["step"]


def test_one_section_at_toy_size(tmp_path):
    ended = run("speed.py", "step", "--toy", "--out", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "| adamw |" in (tmp_path / "speed_cpu.md").read_text()


def test_an_unknown_section_is_refused(tmp_path):
    ended = run("speed.py", "steps", "--out", tmp_path)
    assert ended.returncode == 2
    assert "no section 'steps'; there are step, eager" in ended.stderr


def test_the_accelerator_benchmark_refuses_a_cpu(tmp_path):
    ended = run("gpu.py", "--out", tmp_path)
    assert ended.returncode == 1
    assert "jax sees no accelerator here" in ended.stdout


@pytest.mark.slow
def test_the_accelerator_benchmark_runs_at_toy_size(tmp_path):
    ended = run("gpu.py", "--allow-cpu", "--out", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "| minifloat8 |" in (tmp_path / "speed_gpu.md").read_text()
