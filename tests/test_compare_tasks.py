"""The small tasks that come with the package: their data, their metrics, and that they train."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaptive_optax as ao
from adaptive_optax import cli
from adaptive_optax.comparison import tasks
from adaptive_optax.comparison.tasks import imbalanced, text
from adaptive_optax.comparison.training import Trainer

NEW = ("digits_mlp", "text", "imbalanced", "imbalanced_weighted")


@pytest.fixture(scope="module")
def load():
    made = {}
    return lambda name: made[name] if name in made else made.setdefault(name, tasks.load(name))


def rows(split) -> set[bytes]:
    return {row.tobytes() for row in np.ascontiguousarray(split.inputs)}


@pytest.mark.parametrize("name", NEW)
def test_the_outputs_fit_loss_and_metric(name, load):
    task = load(name)
    batch = jax.tree.map(lambda x: x[:5], (task.train.inputs, task.train.targets))
    outputs = task.apply(task.init(0), batch[0])
    assert task.loss(outputs, batch[1]).shape == task.metric(outputs, batch[1]).shape == (5,)
    assert jnp.isfinite(task.objective(task.init(0), *batch))


@pytest.mark.parametrize("name", NEW)
def test_a_few_steps_go_down(name, load):
    task = load(name)
    trainer = Trainer(task, [0], 1, 1)
    assert trainer.steps >= 10
    trained = trainer.train(trainer.programs(ao.adam), [3e-3], lambda done: None)
    assert trained.validation_loss[0, 0, -1] < trained.validation_loss[0, 0, 0]


def test_digits_mlp_has_64_hidden_units_and_no_augmentation(load):
    task = load("digits_mlp")
    shapes = {leaf.shape for leaf in jax.tree.leaves(task.init(0))}
    assert shapes == {(64, 64), (64,), (64, 10), (10,)}
    assert task.augment is None
    assert [task.train.size, task.validation.size, task.test.size] == [1078, 360, 359]
    assert rows(task.train).isdisjoint(rows(task.test))


def test_the_text_is_cut_in_three_pieces_without_a_common_character(load):
    task = load("text")
    assert len(text.topics()) == text.BYTES
    for part in (task.train, task.validation, task.test):
        # Each window is the last one moved on by one character.
        assert (part.inputs[1:, :-1] == part.inputs[:-1, 1:]).all()
        assert (part.inputs[1:, -1] == part.targets[:-1]).all()
    pieces = [
        np.concatenate([part.inputs[0], part.targets])
        for part in (task.train, task.validation, task.test)
    ]
    codes = np.unique(np.frombuffer(text.topics(), np.uint8), return_inverse=True)[1]
    np.testing.assert_array_equal(np.concatenate(pieces), codes)
    assert len(pieces[0]) == 0.85 * text.BYTES


def test_the_text_has_every_character_among_its_outputs(load):
    task = load("text")
    logits = task.apply(task.init(0), task.train.inputs[:1])
    assert logits.shape[1] == len(set(text.topics()))
    assert max(int(part.targets.max()) for part in (task.train, task.test)) < logits.shape[1]


def test_a_reader_knows_nothing_at_first(load):
    task = load("text")
    loss = task.loss(task.apply(task.init(0), task.test.inputs), task.test.targets).mean()
    classes = len(set(text.topics()))
    assert float(loss) == pytest.approx(np.log(classes), rel=0.1)


@pytest.mark.parametrize("name", ["imbalanced", "imbalanced_weighted"])
def test_the_rare_digit_is_rare_in_training_alone(name, load):
    task = load(name)
    shares = [
        float(part.targets["rare"].mean()) for part in (task.train, task.validation, task.test)
    ]
    assert 0.02 <= shares[0] <= 0.03
    assert min(shares[1:]) > 0.09
    assert min(int(part.targets["rare"].sum()) for part in (task.validation, task.test)) >= 40
    assert rows(task.train).isdisjoint(rows(task.validation) | rows(task.test))


def test_the_metric_is_the_balanced_accuracy(load):
    task = load("imbalanced")
    for part in (task.train, task.validation, task.test):
        logits = np.random.RandomState(0).randn(part.size).astype(np.float32)
        rare = part.targets["rare"] > 0.5
        expected = ((logits > 0)[rare].mean() + (logits <= 0)[~rare].mean()) / 2
        assert float(task.metric(logits, part.targets).mean()) == pytest.approx(expected, rel=1e-5)
        never = task.metric(np.full(part.size, -1.0), part.targets)
        assert float(never.mean()) == pytest.approx(0.5, rel=1e-5)


def test_the_weighted_task_differs_in_training_alone(load):
    plain, weighted = load("imbalanced"), load("imbalanced_weighted")
    np.testing.assert_array_equal(plain.train.inputs, weighted.train.inputs)
    np.testing.assert_array_equal(plain.train.targets["rare"], weighted.train.targets["rare"])
    batch = jax.tree.map(lambda x: x[:64], (plain.train.inputs, plain.train.targets))
    params = plain.init(0)
    losses = plain.loss(plain.apply(params, batch[0]), batch[1])
    weights = weighted.weigh(losses, batch[1])
    assert float(weights.mean()) == pytest.approx(1.0, rel=1e-5)
    rare = batch[1]["rare"] > 0.5
    assert float(weights[rare].min()) > float(weights[~rare].max())
    expected = jnp.mean(losses * weights)
    np.testing.assert_allclose(weighted.objective(params, *batch), expected, rtol=1e-6)
    np.testing.assert_allclose(plain.objective(params, *batch), losses.mean(), rtol=1e-6)


def test_thinning_keeps_the_first_of_the_rare_ones():
    rare = np.arange(4000) % 10 == 0
    kept = imbalanced._thinned(np.arange(4000), rare)
    assert rare[kept].mean() == pytest.approx(imbalanced.THINNED, rel=0.01)
    np.testing.assert_array_equal(kept[~rare[kept]], np.flatnonzero(~rare))
    count = rare[kept].sum()
    np.testing.assert_array_equal(kept[rare[kept]], np.flatnonzero(rare)[:count])


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_the_default_run_of_three_ends_well(name, tmp_path):
    words = ["compare", "--task", name, "--optimizers", "adam,lion,momentum"]
    assert cli.main([*words, "--out", str(tmp_path)]) == 0
