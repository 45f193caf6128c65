"""One optimizer trained at several seeds in one program, for `storage_quality.py`.

The rate rises over 100 steps, is constant for three quarters of the run, and falls to 0 as a cosine
in the last quarter. So one run has two losses: that at a constant rate, before it falls, and the
final one. Both are means over the same large part of the training data, and the minibatches of a
seed are the same for all optimizers, so that a difference is not the luck of the batches.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from storage_tasks import Task

from adaptive_optax.storage.stored import StoredState

BATCH, WARM_UP = 64, 100
CHUNKS = 16  # of the examples that a loss is the mean of, to keep memory small


class Size(NamedTuple):
    """How long a run is."""

    steps: int
    seeds: int
    examples: int  # that the losses are means of

    @property
    def constant(self) -> int:
        """Steps until the rate falls."""
        return self.steps * 3 // 4


class Losses(NamedTuple):
    """One a seed."""

    constant: np.ndarray  # before the rate falls
    final: np.ndarray


def schedule(peak: float, size: Size) -> Any:
    """The learning rate."""
    pieces = [
        optax.linear_schedule(peak / WARM_UP, peak, WARM_UP),
        optax.constant_schedule(peak),
        optax.cosine_decay_schedule(peak, size.steps - size.constant),
    ]
    return optax.join_schedules(pieces, [WARM_UP, size.constant])


def program(task: Task, tx: Any, size: Size) -> Callable[..., Losses]:
    """Trains: `run()`, `run(perturbed=1e-3)` with initial weights moved by that share of each.

    `run(reverse=True)` has the examples of each batch in the reverse order: their mean is the same
    but for float32's rounding.
    """
    windows = jnp.asarray(task.windows)
    chosen = np.random.default_rng(0).permutation(len(windows))[: size.examples]
    judged = windows[chosen].reshape(CHUNKS, -1, windows.shape[1])

    def judge(params):
        return jax.lax.map(lambda w: task.loss(params, w), judged).mean()

    def one(seed, order, perturbed):
        key = jax.random.key(seed)
        params = moved(task.init(key), jax.random.fold_in(key, 1), perturbed)
        state = tx.init(params)
        if isinstance(state, StoredState):  # so that each seed is rounded by a chance of its own
            state = state._replace(count=state.count + 1_000_003 * seed)

        def step(carry, examples):
            params, state = carry
            grads = jax.grad(task.loss)(params, windows[examples])
            updates, state = tx.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        losses, carry = [], (params, state)
        for part in (order[: size.constant], order[size.constant :]):
            carry = jax.lax.scan(step, carry, part)[0]
            losses.append(judge(carry[0]))
        return losses

    compiled = jax.jit(jax.vmap(one, (0, 0, None)))
    seeds = np.arange(size.seeds, dtype=np.int32)

    def run(perturbed=0.0, reverse=False):
        order = np.stack([batches(len(windows), seed, size.steps) for seed in seeds])
        losses = compiled(seeds, order[..., ::-1] if reverse else order, perturbed)
        return Losses(*(np.asarray(x, np.float64) for x in losses))

    return run


def batches(examples: int, seed: int, steps: int) -> np.ndarray:
    """Numbers of examples, (steps, BATCH), each once an epoch."""
    random = np.random.default_rng([1, seed])
    epochs = -(-steps * BATCH // examples)
    order = np.concatenate([random.permutation(examples) for _ in range(epochs)])
    return order[: steps * BATCH].reshape(steps, BATCH).astype(np.int32)


def moved(params: Any, key: Any, share: Any) -> Any:
    """Every number multiplied by 1 + share * a normal one."""
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    new = [
        x * (1 + share * jax.random.normal(k, x.shape)) for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(treedef, new)


def differences(found: Sequence[float], truth: Sequence[float]) -> np.ndarray:
    """Relative, in percent, one a seed."""
    return 100 * (np.asarray(found) / np.asarray(truth) - 1)
