"""The task's checks, and `line`: a task of milliseconds that the other tests train."""

import jax.numpy as jnp
import numpy as np
import pytest

from adaptive_optax.comparison import Split, Task
from adaptive_optax.comparison.tasks import load


def line(**options) -> Task:
    """y = 2 x - 1 plus noise; 40 training examples in batches of 8."""
    draws = np.random.RandomState(0)

    def split(size):
        x = draws.randn(size, 2).astype(np.float32)
        y = 2 * x[:, :1] - 1 + 0.1 * draws.randn(size, 1)
        return Split(x, y.astype(np.float32))

    def init(seed):
        w = np.random.RandomState(seed).randn(2, 1)
        return {"w": w.astype(np.float32), "b": np.zeros(1, np.float32)}

    def squared(outputs, targets):
        return jnp.square(outputs - targets)[:, 0]

    defaults = {
        "init": init,
        "train": split(40),
        "validation": split(15),
        "test": split(15),
        "batch_size": 8,
        "epochs": 4,
        "seeds": 2,
        "target": 1.0,
        "metric_name": "squared error",
        "larger_is_better": False,
    }
    return Task(
        "line",
        apply=lambda params, x: x @ params["w"] + params["b"][None, :],
        loss=squared,
        metric=squared,
        **(defaults | options),
    )


def test_batch_is_at_most_the_training_examples():
    assert line(batch_size=1000).batch == 40
    assert line(batch_size=None).steps_per_epoch == 1
    assert line(batch_size=16).steps_per_epoch == 2


def test_splits_are_checked():
    with pytest.raises(ValueError, match=r"Task\(test=...\): inputs and targets .* \[2, 3\]"):
        line(test=Split(np.zeros((2, 2)), np.zeros((3, 1))))
    with pytest.raises(ValueError, match="at least one example"):
        line(validation=Split(np.zeros((0, 2)), np.zeros((0, 1))))
    with pytest.raises(TypeError, match=r"Task\(train=tuple\): train must be a Split"):
        line(train=(1, 2))


def test_numbers_are_checked():
    with pytest.raises(ValueError, match=r"Task\(epochs=0\)"):
        line(epochs=0)
    with pytest.raises(ValueError, match="centres"):
        line(centres={"adam": -1.0})


def test_an_unknown_task_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"task='digit'.*did you mean 'digits'"):
        load("digit")
    with pytest.raises(ValueError, match="reads no files"):
        load("regression", "somewhere")
