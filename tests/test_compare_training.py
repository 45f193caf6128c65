"""What the trainer gives an optimizer, when it evaluates, and what training descends on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_compare_task import line

import adaptive_optax as ao
from adaptive_optax.comparison import compare, entries
from adaptive_optax.comparison.training import Trainer


def trained(task, make, rates=(0.05,), seeds=(0,), epochs=2, every=None):
    trainer = Trainer(task, seeds, epochs, len(rates), every)
    programs = trainer.programs(make)
    return trainer.train(programs, list(rates), lambda done: None)


def storm_by_hand(task, rate, share, epochs, seed=0):
    """STORM over plain descent, in NumPy but for the gradients; the parameters at the end."""
    trainer = Trainer(task, [seed], epochs, 1)
    inputs, targets = task.train.inputs, task.train.targets
    gradient = jax.grad(task.objective)
    params = jax.tree.map(np.asarray, task.init(seed))
    previous, direction = params, None
    for step in range(trainer.steps):
        epoch, at = divmod(step, task.steps_per_epoch)
        order = np.asarray(trainer._order(trainer._keys, epoch))[0]
        rows = order[at * task.batch : (at + 1) * task.batch]
        batch = inputs[rows], targets[rows]
        now, before = gradient(params, *batch), gradient(previous, *batch)
        if direction is None:
            direction = now
        else:
            direction = jax.tree.map(
                lambda g, d, b: g + (1 - share) * (d - b), now, direction, before
            )
        previous, params = params, jax.tree.map(lambda p, d: p - rate * d, params, direction)
    return params


def test_one_that_looks_back_gets_the_gradient_at_the_previous_parameters():
    task = line()
    found = trained(task, lambda rate: ao.variance_reduced(ao.sgd(rate), a=0.3))
    expected = storm_by_hand(task, 0.05, 0.3, epochs=2)
    for name in ("w", "b"):
        np.testing.assert_allclose(found.params[name][0, 0], expected[name], rtol=1e-4)


def test_the_share_of_all_is_plain_descent():
    task = line(augment=lambda key, x: x + 0.1 * jax.random.normal(key, x.shape))
    plain = trained(task, ao.sgd, (0.05, 0.1), (0, 1))
    looking_back = trained(
        task, lambda rate: ao.variance_reduced(ao.sgd(rate), a=1.0), (0.05, 0.1), (0, 1)
    )
    np.testing.assert_allclose(plain.validation_loss, looking_back.validation_loss, rtol=1e-5)


def test_only_one_that_looks_back_takes_a_second_gradient(monkeypatch):
    trainer = Trainer(line(), [0], 1, 1)
    asked, gradient = [], trainer._gradient
    monkeypatch.setattr(trainer, "_gradient", lambda *a: asked.append(1) or gradient(*a))
    counts = {}
    for text in ("sgd", "lookahead(variance_reduced(sgd))"):
        asked.clear()
        programs = trainer.programs(entries.parse(text).make)
        trainer.train(programs, [0.05], lambda done: None)
        counts[text] = len(asked) / trainer.steps
    assert counts == {"sgd": 1, "lookahead(variance_reduced(sgd))": 2}


def test_constructors_of_ones_own_may_look_back():
    def make(rate):
        return ao.variance_reduced(optax.sgd(rate), "mars")

    found = compare(line(), {"mine": (make, 0.1)}, seeds=2)
    assert np.isfinite(found["mine"].test_metric).all()


@pytest.mark.parametrize(
    "text", ["plateau(sgd)", "switch(adam->sgd,when=plateau)", "switch(adam->sgd,when=bandit)"]
)
def test_what_watches_the_loss_is_given_it(text):
    found = compare(line(), text, seeds=2, grid=1)
    assert np.isfinite(found.rows[0].test_metric).all()


def test_a_switch_changes_the_member_at_half_of_the_run():
    task = line()
    switched = compare(task, "switch(adam->sgd)", learning_rate=0.01, evaluate_every=1).rows[0]
    adam = compare(task, "adam", learning_rate=0.01, evaluate_every=1).rows[0]
    pairs = zip(switched.chosen[0].validation_loss, adam.chosen[0].validation_loss, strict=True)
    same = [abs(a - b) < 1e-6 * abs(b) for a, b in pairs]
    assert same.index(False) == 11  # of 20 steps ten are the first member's


@pytest.mark.parametrize(("every", "marks"), [(3, 8), (7, 4), (1000, 2)])
def test_evaluations_are_as_many_steps_apart_and_at_the_end(every, marks):
    often = trained(line(), ao.sgd, epochs=4, every=every)
    by_epoch = trained(line(), ao.sgd, epochs=4)
    assert often.validation_loss.shape == (1, 1, marks)
    assert often.train_loss.shape == (1, 1, marks - 1)
    np.testing.assert_allclose(
        often.validation_loss[..., -1], by_epoch.validation_loss[..., -1], rtol=1e-6
    )


def test_steps_to_target_are_as_fine_as_the_evaluations():
    task = line(target=2.0)
    fine = compare(task, "sgd", learning_rate=0.1, evaluate_every=1, seeds=2)
    coarse = compare(task, "sgd", learning_rate=0.1, seeds=2)
    assert fine.config["evaluate_every"] == 1
    assert coarse.config["evaluate_every"] == task.steps_per_epoch == 5
    for a, b in zip(fine.rows[0].reached, coarse.rows[0].reached, strict=True):
        assert a <= b < a + 5
    own = compare(line(target=2.0, evaluate_every=2), "sgd", learning_rate=0.1, seeds=2)
    assert own.config["evaluate_every"] == 2
    with pytest.raises(ValueError, match=r"compare\(evaluate_every=0\)"):
        compare(task, "sgd", evaluate_every=0)
    with pytest.raises(ValueError, match=r"Task\(evaluate_every=0\)"):
        line(evaluate_every=0)


def test_training_is_weighted_and_evaluation_is_not():
    def weigh(losses, targets):
        chosen = (losses >= jnp.median(losses)) * 1.0
        return chosen * len(losses) / jnp.sum(chosen)

    task, weighted = line(), line(weigh=weigh)
    one, other = trained(task, ao.sgd), trained(weighted, ao.sgd)
    assert one.train_loss[0, 0, 0] < other.train_loss[0, 0, 0]
    assert one.validation_loss[0, 0, 0] == other.validation_loss[0, 0, 0]
    assert one.validation_loss[0, 0, -1] != other.validation_loss[0, 0, -1]


def test_no_gradient_goes_through_the_weights():
    task = line(weigh=lambda losses, targets: losses)
    batch = task.train.inputs[:8], task.train.targets[:8]
    params = task.init(0)
    found = jax.grad(task.objective)(params, *batch)

    def fixed(p):
        weights = task.loss(task.apply(params, batch[0]), batch[1])
        return jnp.mean(task.loss(task.apply(p, batch[0]), batch[1]) * weights)

    np.testing.assert_allclose(found["w"], jax.grad(fixed)(params)["w"], rtol=1e-6)
