"""The benchmark of small states: its tasks and arithmetic, and that it runs."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import adaptive_optax as ao

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
MODULES = ("storage_quality", "storage_moments", "storage_tasks", "storage_training")


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import storage_quality

        yield storage_quality
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_what_the_tasks_train_is_compressed(bench, name):
    task = bench.TASKS[name]()
    params = jax.eval_shape(task.init, jax.random.key(0))
    count = sum(x.size for x in jax.tree.leaves(params))
    tx = ao.stored(ao.adam(1e-3), ao.minifloat8())
    assert ao.state_bytes(tx, params) / count < 2.2
    assert task.windows.min() >= 0


def test_most_words_are_absent_from_a_batch(bench):
    windows = bench.TASKS["sparse"]().windows
    assert len(np.unique(windows[::1000, :-1])) < 256
    assert windows[:, :-1].max() == 2047
    assert windows[:, -1].max() == 255


def test_batches_take_each_example_once_an_epoch(bench):
    training = sys.modules["storage_training"]
    order = training.batches(640, seed=3, steps=25)
    np.testing.assert_array_equal(np.sort(order[:10].ravel()), np.arange(640))
    np.testing.assert_array_equal(order, training.batches(640, seed=3, steps=25))
    assert (order != training.batches(640, seed=4, steps=25)).any()


def test_the_rate_rises_stays_and_falls(bench):
    size = bench.Size(steps=4000, seeds=1, examples=16)
    rate = sys.modules["storage_training"].schedule(0.5, size)
    assert float(rate(0)) == pytest.approx(0.005)
    assert float(rate(100)) == float(rate(2999)) == 0.5
    assert 0 < float(rate(3999)) < 1e-5


def test_the_gate_is_two_sided(bench):
    truth = bench.Losses(np.array([2.0, 4.0]), np.array([1.0, 2.0]))
    better = bench.Losses(truth.constant, truth.final * 0.99)
    near = bench.Losses(truth.constant, truth.final * [1.002, 0.9985])
    found = [("float32", truth), ("int8", better), ("bfloat16", near), ("factored", better)]
    lines = bench.rows([(name, 8.0, losses) for name, losses in found])
    assert [line[-1] for line in lines] == ["", "no", "yes", "not gated"]
    assert lines[1][-2] == "-1.000 % (-1.000, -1.000)"


@pytest.mark.parametrize("kind", [None, ao.bfloat16(), ao.int8(), ao.minifloat8(), ao.factored()])
@pytest.mark.parametrize(("steps", "square"), [(2000, 0.0), (1000, 1e-2)])
def test_second_moments_follow(bench, kind, steps, square):
    followed = sys.modules["storage_moments"].followed(kind, steps, square)
    assert followed.truth == pytest.approx({2000: 0.1352e-4, 1000: 0.00636}[steps], rel=0.15)
    assert abs(followed.error) < (1e-3 if kind in (None, ao.factored()) else 0.1)


def test_the_command_writes_its_page(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "TASKS", {"dense": bench.TASKS["dense"]})  # half the time
    assert bench.main(["--quick", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "storage_quality_quick.md").read_text()
    assert page in capsys.readouterr().out
    for word in ("## dense", "weights moved", "minifloat8", "decay"):
        assert word in page
