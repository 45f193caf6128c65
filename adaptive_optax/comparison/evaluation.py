"""Mean loss and metric of many runs' parameters on a split, in chunks that fit in memory."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.comparison.tasks.task import Split, Task

CHUNK = 1000  # examples evaluated at a time


def judge(task: Task) -> Callable[[Any, Any], tuple[jax.Array, jax.Array]]:
    """The program from parameters (seeds, rates, ...) and `chunked` examples to loss and metric."""

    def of_run(params, chunks):
        def add(total, chunk):
            inputs, targets, weight = chunk
            outputs = task.apply(params, inputs)
            values = jnp.stack([task.loss(outputs, targets), task.metric(outputs, targets) * 1.0])
            return total + jnp.where(weight > 0, values, 0.0).sum(1), None

        total, _ = jax.lax.scan(add, jnp.zeros(2, chunks[2].dtype), chunks)
        return tuple(total / chunks[2].sum())

    return jax.jit(jax.vmap(jax.vmap(of_run, (0, None)), (0, None)))


def chunked(split: Split) -> Any:
    """Inputs, targets and weights (chunks, examples, ...); the last chunk is filled up."""
    size = split.size
    chunks = -(-size // CHUNK)
    each = -(-size // chunks)
    rows = np.minimum(np.arange(chunks * each), size - 1).reshape(chunks, each)
    weight = jnp.asarray((np.arange(chunks * each) < size).reshape(chunks, each) * 1.0)
    inputs, targets = jax.tree.map(lambda x: jnp.asarray(x[rows]), (split.inputs, split.targets))
    return inputs, targets, weight


def wait(x: Any) -> None:
    """Until x is computed, in short naps: an interrupt is heard at once, not after the device."""
    for leaf in jax.tree.leaves(x):
        while not leaf.is_ready():
            time.sleep(2e-4)
