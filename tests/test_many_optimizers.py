"""The benchmark of mixtures, switches and filters: its arithmetic, and that it runs."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def bench():
    path = ROOT / "benchmarks" / "many_optimizers.py"
    spec = importlib.util.spec_from_file_location("many_optimizers", path)
    module = sys.modules["many_optimizers"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def runs(bench, steps, *, score=0.0, tuned=100.0, test=0.9):
    tests = (test + 0.01 * np.arange(len(steps))).tolist()
    return bench.Runs(0.1, (0, score, 0.0), tuned, list(steps), len(steps), tests, tests, 1.0)


def test_the_rival_is_chosen_at_the_tuning_seeds(bench):
    found = {
        "a": runs(bench, [10, 10], tuned=50.0, score=0.1),
        "b": runs(bench, [99, 99], tuned=40.0, score=0.2),
        "mix": runs(bench, [33, 33]),
    }
    contest = bench.Contest("mix", ("a", "b"))
    rival, logs = bench.log_ratios(contest, found)
    assert rival == "b"
    np.testing.assert_allclose(logs, np.log(33 / 99))
    assert bench.differences(contest, found, 1)[0] == "b"


def test_gradients_are_what_counts(bench):
    found = {"a": runs(bench, [60, 30]), "b": runs(bench, [30, 15])}
    logs = bench.log_ratios(bench.Contest("b", ("a",), gradients=2), found)[1]
    np.testing.assert_allclose(logs, 0.0, atol=1e-12)


def test_a_target_that_nobody_reaches_says_nothing(bench):
    found = {"a": runs(bench, [60, 60])._replace(reached=0), "b": runs(bench, [60, 60])}
    known = bench.log_ratios(bench.Contest("b", ("a",)), found)[1]
    assert "tie" in bench.as_ratio(known)
    found["b"] = found["a"]
    assert bench.as_ratio(bench.log_ratios(bench.Contest("b", ("a",)), found)[1]) == "not reached"


def test_verdicts_follow_the_interval(bench):
    assert "gain" in bench.as_ratio(np.log([0.5, 0.6, 0.55]))
    assert "loss" in bench.as_ratio(np.log([2.0, 1.7, 1.8]))
    assert "tie" in bench.as_ratio(np.log([2.0, 0.5, 1.0]))
    assert "gain" in bench.as_difference(np.array([0.01, 0.02]))
    assert "loss" in bench.as_difference(np.array([-0.01, -0.02]))
    assert "tie" in bench.as_difference(np.array([-0.01, 0.02]))


def test_a_plan_may_have_its_own_target(bench):
    assert bench.sized("digits", bench.FULL)[0].target == bench.SIZES["digits"].target
    task, size = bench.sized("digits_mlp", bench.FULL)
    assert size.target is None
    assert task.target == bench.tasks.load("digits_mlp").target


def test_every_contest_has_its_rivals(bench):
    known = {*bench.PLAIN, bench.TREBLED, *(contest.name for contest in bench.CONTESTS)}
    assert {rival for contest in bench.CONTESTS for rival in contest.rivals} <= known
    assert all(contest.name not in contest.rivals for contest in bench.CONTESTS)


@pytest.mark.slow
def test_it_runs_on_one_tiny_task(bench, monkeypatch, tmp_path, capsys):
    contests = [
        contest
        for contest in bench.CONTESTS
        if contest.name in (bench.AGAIN, "smoothed(momentum)", "variance_reduced(momentum)")
    ]
    monkeypatch.setattr(bench, "CONTESTS", tuple(contests))
    monkeypatch.setattr(bench, "PLAIN", ("adamw", "momentum"))
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    assert bench.main(["--quick", "--page", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "docs" / "many_optimizers.md").read_text()
    assert page.startswith("# Do mixtures, switches and filters do better")
    assert "--quick" not in page
    found = json.loads((tmp_path / "many_optimizers_quick.json").read_text())
    runs = found["tasks"]["digits_mlp"]
    assert set(runs) == {
        *("adamw", "momentum", "smoothed(momentum)", "variance_reduced(momentum)"),
        *(bench.AGAIN, bench.TREBLED),
    }
    assert all(len(row["steps"]) == 2 for row in runs.values())
    assert runs[bench.TREBLED]["rate"] == 3 * runs["smoothed(momentum)"]["rate"]
    printed = capsys.readouterr().out
    assert printed.count("| variance_reduced(momentum) |") == 3
    assert "2 seeds" in printed


@pytest.mark.slow
def test_the_quick_run(bench, tmp_path):
    assert bench.main(["--quick", "--out", str(tmp_path)]) == 0
