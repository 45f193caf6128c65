import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_compare_task import line

import adaptive_optax as ao
from adaptive_optax.comparison import Split, compare, protocol
from adaptive_optax.comparison.evaluation import chunked
from adaptive_optax.comparison.progress import Silent
from adaptive_optax.comparison.training import Trainer


class Counted(Split):
    """Examples that count how often they are read."""

    def __getattribute__(self, name):
        if name == "inputs":
            reads.append(name)
        return super().__getattribute__(name)


reads: list[str] = []


def spy(log, name):
    """An optimizer that tells, at the first step of each pass, which gradients it saw."""

    def make(rate):
        def update(grads, state, params=None):
            jax.debug.callback(lambda g: log.append((name, np.asarray(g["w"]))), grads)
            return jax.tree.map(lambda g: -rate * g, grads), state

        return optax.GradientTransformation(lambda params: optax.EmptyState(), update)

    return make


def test_every_optimizer_sees_the_same_batches_and_start():
    log = []
    task = line(augment=lambda key, x: x + jax.random.normal(key, x.shape))
    own = {name: (spy(log, name), 1e-6) for name in ("one", "two")}
    compare(task, own, learning_rate=1e-30, epochs=2, seeds=2)
    jax.effects_barrier()
    seen = {
        name: sorted(g.ravel().tolist() for who, g in log if who == name) for name in ("one", "two")
    }
    assert len(seen["one"]) == 2 * 2 * 5
    assert len({tuple(g) for g in seen["one"]}) == len(seen["one"])  # seeds and steps differ
    assert seen["one"] == seen["two"]


def test_side_by_side_is_one_by_one():
    task = line()
    trainer = Trainer(task, [0, 1], 3, 2)
    programs = trainer.programs(lambda rate: ao.lookahead(ao.adam(rate), every=2))
    trained = trainer.train(programs, [0.1, 0.01], lambda done: None)
    for r, rate in enumerate([0.1, 0.01]):
        for s, seed in enumerate([0, 1]):
            alone = Trainer(task, [seed], 3, 1)
            own = alone.programs(lambda rate: ao.lookahead(ao.adam(rate), every=2))
            one = alone.train(own, [rate], lambda done: None)
            np.testing.assert_allclose(trained.train_loss[r, s], one.train_loss[0, 0], rtol=1e-4)
            np.testing.assert_allclose(
                trained.validation_metric[r, s], one.validation_metric[0, 0], rtol=1e-4
            )


def test_lookahead_is_evaluated_at_its_slow_weights():
    trainer = Trainer(line(), [0], 1, 1)
    programs = trainer.programs(lambda rate: ao.lookahead(ao.sgd(rate), every=1000))
    trained = trainer.train(programs, [0.1], lambda done: None)
    assert trained.validation_loss[0, 0, 0] == trained.validation_loss[0, 0, 1]
    assert trained.train_loss[0, 0, 0] > 0


def test_the_mean_over_a_split_is_exact_in_chunks(monkeypatch):
    from adaptive_optax.comparison import evaluation

    task = line()
    whole = Trainer(task, [0], 1, 1)
    monkeypatch.setattr(evaluation, "CHUNK", 4)
    parts = Trainer(task, [0], 1, 1)
    params = jax.tree.map(lambda x: jnp.asarray(x)[None, None], task.init(0))
    chunks = evaluation.chunked(task.validation)
    assert chunks[2].shape == (4, 4)
    np.testing.assert_allclose(
        parts.evaluate(params, chunks), whole.evaluate(params, whole._validation), rtol=1e-6
    )


def test_the_test_split_is_read_once_after_all_training(monkeypatch):
    base = line()
    task = line(test=Counted(base.test.inputs, base.test.targets))

    class Watch(Silent):
        def finished(self, row):
            assert not reads
            assert not row.test_metric

    cut = []
    monkeypatch.setattr(protocol, "chunked", lambda split: cut.append(split) or chunked(split))
    reads.clear()
    found = compare(task, ["sgd", "adam"], progress=Watch(), seeds=2)
    values = [row.test_metric for row in found.rows]
    assert all(len(value) == 2 and np.isfinite(value).all() for value in values)
    assert cut == [task.test]


def test_validation_chooses_and_runs_are_kept():
    found = compare(line(), ["sgd", "lookahead(adam)"], grid=3, seeds=2)
    for row in found.rows:
        means = {
            rate: np.mean([r.validation_metric[-1] for r in row.runs if r.learning_rate == rate])
            for rate in {r.learning_rate for r in row.runs if not r.diverged}
        }
        assert row.learning_rate == min(means, key=means.get)
        assert len(row.runs) == 3 * 2 * (1 + row.widened)
        assert len(row.chosen) == 2
        assert len(row.rates_applied) == found.config["steps"] == 20
        assert row.milliseconds_per_step > 0
        assert row.compile_seconds > 0
    assert found["sgd"].state_bytes == 5  # the learning rate, and whether it is set
    assert found["lookahead(adam)"].state_bytes == 3 * 12 + 8 + 5  # two counts, the rate


def test_divergence_is_counted_and_never_chosen():
    found = compare(line(), {"sgd": (ao.sgd, 10.0)}, grid=3, seeds=2, epochs=20)
    row = found.rows[0]
    assert row.divergences > 0
    assert not any(run.diverged for run in row.chosen)
    assert np.isfinite(row.test_metric).all()


def test_all_diverged_is_told_and_ranked_last():
    found = compare(line(), {"lost": lambda rate: optax.sgd(1e8), "kept": (ao.sgd, 0.1)}, epochs=10)
    assert [row.name for row in found.rows] == ["kept", "lost"]
    assert found["lost"].divergences == len(found["lost"].runs)
    assert found.ties() == []


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    class Stop(Silent):
        def epoch(self, done):
            if self.name == "adam" and done == 2:
                raise KeyboardInterrupt

        def optimizer(self, name):
            self.name = name

    found = compare(line(), ["sgd", "adam", "lion"], progress=Stop(), out=tmp_path)
    assert found.interrupted
    assert [row.name for row in found.rows] == ["sgd"]
    assert np.isfinite(found.rows[0].test_metric).all()
    assert (tmp_path / "results.csv").read_text().count("\n") == 2
    assert (tmp_path / "loss.png").exists()


def test_a_schedule_reaches_the_optimizer():
    flat = compare(line(), "sgd", learning_rate=0.1)
    falling = compare(line(), "sgd", learning_rate="0.1:step")
    assert falling.rows[0].rates_applied[0] == pytest.approx(0.1)
    assert falling.rows[0].rates_applied[-1] == pytest.approx(0.001)
    assert flat.rows[0].chosen[0].train_loss[0] == falling.rows[0].chosen[0].train_loss[0]
    assert flat.rows[0].chosen[0].train_loss[-1] != falling.rows[0].chosen[0].train_loss[-1]


def test_an_optimizer_that_fails_is_named():
    def broken(rate):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError) as caught:
        compare(line(), {"mine": broken})
    assert "while training with 'mine'" in "".join(caught.value.__notes__)


def test_numbers_are_checked():
    for option in ({"seeds": 0}, {"epochs": 0}, {"grid": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            compare(line(), "sgd", **option)


def test_a_value_reaches_transformations_that_want_it():
    def make(rate):
        return optax.chain(optax.sgd(rate), optax.contrib.reduce_on_plateau())

    assert np.isfinite(compare(line(), {"plateau": (make, 0.1)}, seeds=1).rows[0].test_metric).all()
