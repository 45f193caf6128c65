"""Schedules in steps and epochs, and inside optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adaptive_optax as ao
from adaptive_optax import schedules


def test_constant():
    assert schedules.constant(0.25)(10**6) == 0.25


def test_exponential_in_steps_and_epochs():
    steps = schedules.exponential(0.1, 0.5, every=100)
    epochs = schedules.exponential(0.1, 0.5, every=5, steps_per_epoch=20)
    for t in (0, 1, 50, 100, 1000):
        np.testing.assert_allclose(steps(t), 0.1 * 0.5 ** (t / 100), rtol=1e-6)
        np.testing.assert_allclose(epochs(t), steps(t), rtol=1e-6)


def test_step_drops_every_n_epochs():
    schedule = schedules.step(1.0, 0.1, every=10, steps_per_epoch=7)
    found = [float(schedule(t)) for t in range(7 * 25)]
    expected = [0.1 ** (t // 70) for t in range(7 * 25)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.constant(0.1),
        schedules.exponential(0.1, 0.5, every=2),
        schedules.step(0.1, 0.5, every=2),
    ],
)
def test_an_optimizer_takes_the_rate_of_its_update(schedule):
    """Under a constant gradient Lion's steps are the schedule, the first at count 0."""
    tx = ao.lion(schedule)

    def step(state, _):
        updates, state = tx.update(jnp.float32(1.0), state)
        return state, -updates

    _, found = jax.lax.scan(step, tx.init(jnp.float32(0.0)), length=6)
    np.testing.assert_allclose(found, [float(schedule(t)) for t in range(6)], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.constant(-1.0), r"constant\(learning_rate=-1.0\): .* above 0"),
        (lambda: schedules.exponential(0.1, 0.0, 5), r"exponential\(rate=0.0\): .* above 0"),
        (lambda: schedules.step(0.1, 0.5, 0), r"step\(every=0\): .* above 0"),
        (lambda: schedules.step(0.1, 0.5, 1, steps_per_epoch=0), r"steps_per_epoch .* at least 1"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_steps_per_epoch_is_an_integer():
    with pytest.raises(TypeError, match="steps_per_epoch must be an integer"):
        schedules.step(0.1, 0.5, 1, steps_per_epoch=2.5)
