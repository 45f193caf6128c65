"""The learning-rate range test on a task: its model, its training batches, its augmentation."""

import contextlib
from typing import Any

import jax
import numpy as np

from adaptive_optax.comparison.optimizer_names import MakeTx
from adaptive_optax.comparison.tasks.task import Task
from adaptive_optax.learning_rate.range_result import RangeResult
from adaptive_optax.learning_rate.range_test import lr_range_test


def range_test(
    task: Task, make_tx: MakeTx, *, steps: int = 300, seed: int = 0, **options: Any
) -> RangeResult:
    """The range test of one optimizer; validation and test examples stay unread.

    Args:
      task: what is trained.
      make_tx: learning rate -> transformation.
      steps: updates of a run.
      seed: of the first parameters, of the batches and of the augmentation.
      **options: as `lr_range_test` has them.
    """

    def loss(params, batch, key):
        inputs, targets = batch
        if task.augment is not None:
            inputs = task.augment(key, inputs)
        return task.objective(params, inputs, targets)

    with jax.enable_x64(True) if task.float64 else contextlib.nullcontext():
        return lr_range_test(
            loss,
            task.init(seed),
            batches(task, steps, seed),
            make_tx,
            steps=steps,
            key=jax.random.key(seed),
            **options,
        )


def batches(task: Task, steps: int, seed: int) -> Any:
    """Inputs and targets of the batches in their order, leaves (at most steps, batch, ...)."""
    size, each = task.train.size, task.batch
    draw = np.random.default_rng(seed)
    passes = -(-steps // task.steps_per_epoch)
    kept = task.steps_per_epoch * each
    if each == size:
        rows = np.arange(size)[None]
    else:
        rows = np.concatenate([draw.permutation(size)[:kept] for _ in range(passes)])
        rows = rows.reshape(-1, each)[:steps]
    return jax.tree.map(lambda x: np.asarray(x)[rows], (task.train.inputs, task.train.targets))
