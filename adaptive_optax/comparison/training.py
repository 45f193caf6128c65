"""All runs of one optimizer (learning rates x seeds) at once, by programs that are vmapped.

One step is two programs: the gradient, which knows no optimizer and is compiled once for all of
them, and the update, which knows no model and compiles in a fraction of the time. Axes of every
array in training: seeds, rates, then its own. At one seed all optimizers and rates see the same
first parameters, the same batches in the same order, and the same augmentation.

An optimizer that looks back (`words.needs_previous`) gets the gradient of the same batch at the
parameters before its last step: the same program runs twice a step, and the time says so.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adaptive_optax as ao
from adaptive_optax.comparison.evaluation import chunked, judge, wait
from adaptive_optax.comparison.optimizer_names import needs_previous
from adaptive_optax.comparison.tasks.task import Task

IN_FLIGHT = 16  # steps sent ahead to the device, at most: an interrupt need not wait for more
_ORDER, _AUGMENT = 1, 2  # what a seed's random numbers are for


class Trained(NamedTuple):
    """What the runs of a few learning rates left behind; arrays start with (rates, seeds)."""

    rates: list[float]
    train_loss: np.ndarray  # (..., evaluations): mean over the steps since the last, see `marks`
    validation_loss: np.ndarray  # (..., evaluations + 1), the first before training
    validation_metric: np.ndarray  # (..., evaluations + 1)
    params: Any  # to evaluate with, at the end; leaves (seeds, rates, ...)
    run_seconds: float  # of all steps, evaluation and compilation apart


class Carry(NamedTuple):
    """What a run takes from one step to the next."""

    params: Any
    state: Any  # of the optimizer
    previous: Any  # parameters before the last step, where the optimizer asks for them; else None


class Programs(NamedTuple):
    """What is compiled for one optimizer, once for all its learning rates."""

    start: Callable[..., Any]  # first parameters, rates -> Carry
    update: Callable[..., Any]  # Carry, rates, gradients, extra arguments -> Carry
    compile_seconds: float  # tracing included
    state_bytes: int  # of one run, previous parameters included


class Trainer:
    """The programs and the data of one task, for a number of seeds and of rates at a time.

    Args:
      task: what is trained.
      seeds: the seeds, shared by everything that is trained here.
      epochs: passes over the training examples.
      points: learning rates at a time.
      every: steps from one evaluation to the next; None is the task's. The end is evaluated too.
    """

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        epochs: int,
        points: int,
        every: int | None = None,
    ):
        self.task, self.seeds, self.epochs, self.points = task, list(seeds), epochs, points
        self.steps = epochs * task.steps_per_epoch
        self.every = every or task.evaluate_every or task.steps_per_epoch
        self.marks = [*range(0, self.steps, self.every), self.steps]  # steps done at evaluations
        self._train = jax.tree.map(jnp.asarray, (task.train.inputs, task.train.targets))
        self._keys = jnp.stack([jax.random.key(seed) for seed in self.seeds])
        first = [jax.tree.map(np.asarray, task.init(seed)) for seed in self.seeds]
        self.one = jax.tree.map(jnp.asarray, first[0])  # the first parameters of one run
        self._first = jax.tree.map(self._spread, *first)
        self._order = jax.jit(jax.vmap(self._order_of, (0, None)))
        self._gradient = self._compiled_gradient()
        self._judge = judge(task)
        self._validation = chunked(task.validation)
        began = time.perf_counter()
        order = self._order(self._keys, 0)
        wait(self._gradient(self._first, *self._train, self._keys, order, 0, jnp.asarray(0)))
        self.evaluate(self._first, self._validation)
        self.compile_seconds = time.perf_counter() - began  # of what all optimizers share

    def programs(self, make: Callable[[Any], Any]) -> Programs:
        """Compiles `make(learning_rate)` for all runs; rates are arguments of the programs."""
        rate = self._rates([1.0] * self.points)
        looks_back = needs_previous(make(rate[0]))

        def start(params, rate):
            state = optax.with_extra_args_support(make(rate)).init(params)
            return Carry(params, state, jax.tree.map(jnp.copy, params) if looks_back else None)

        def update(carry, rate, grads, extra):
            tx = optax.with_extra_args_support(make(rate))
            updates, state = tx.update(grads, carry.state, carry.params, **extra)
            params = optax.apply_updates(carry.params, updates)
            return Carry(params, state, carry.params if looks_back else None)

        began = time.perf_counter()
        starts = jax.jit(jax.vmap(jax.vmap(start), (0, None))).lower(self._first, rate).compile()
        carry = starts(self._first, rate)
        lanes = jax.vmap(jax.vmap(update), (0, None, 0, 0))
        extra = {"value": jnp.zeros((len(self.seeds), self.points), rate.dtype)}
        extra |= {"previous_grads": self._first} if looks_back else {}
        updates = jax.jit(lanes, donate_argnums=0).lower(carry, rate, self._first, extra).compile()
        one = jax.eval_shape(start, self.one, rate[0])
        kept = _bytes((one.state, one.previous))
        return Programs(starts, updates, time.perf_counter() - began, kept)

    def train(self, programs: Programs, rates: list[float], tick: Callable[[int], None]) -> Trained:
        """Trains all runs of `points` learning rates; `tick(epochs_done)` at each evaluation."""
        rate = self._rates(rates)
        carry = programs.start(self._first, rate)
        loss, metric = self.evaluate(_shown(carry), self._validation)
        steps, losses, metrics, seconds = [], [loss], [metric], 0.0
        for first, last in itertools.pairwise(self.marks):
            began = time.perf_counter()
            carry, mean = self._stretch(carry, programs.update, rate, range(first, last))
            seconds += time.perf_counter() - began
            steps.append(mean)
            loss, metric = self.evaluate(_shown(carry), self._validation)
            losses.append(loss)
            metrics.append(metric)
            tick(last // self.task.steps_per_epoch)
        return Trained(
            rates, _by_rate(steps), _by_rate(losses), _by_rate(metrics), _shown(carry), seconds
        )

    def evaluate(self, params: Any, chunks: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean loss and metric, each (seeds, rates), of parameters on a split cut by `chunked`."""
        loss, metric = self._judge(params, chunks)
        wait(metric)
        return np.asarray(loss), np.asarray(metric)

    def _rates(self, rates):
        return jnp.asarray(rates, jnp.float64 if self.task.float64 else jnp.float32)

    def _stretch(self, carry, update, rate, steps):
        """The steps from one evaluation to the next; their mean loss is (seeds, rates)."""
        losses = []
        for at, now in enumerate(steps):
            epoch, step = divmod(now, self.task.steps_per_epoch)
            if at == 0 or step == 0:
                order = self._order(self._keys, epoch)
            batch = *self._train, self._keys, order, step, jnp.asarray(now)
            loss, grads = self._gradient(carry.params, *batch)
            extra = {"value": loss}
            if carry.previous is not None:
                extra["previous_grads"] = self._gradient(carry.previous, *batch)[1]
            carry = update(carry, rate, grads, extra)
            losses.append(loss)
            if at >= IN_FLIGHT:
                wait(losses[at - IN_FLIGHT])
        wait(carry)
        return carry, np.mean([np.asarray(loss) for loss in losses], axis=0)

    def _order_of(self, key, epoch):
        """The training examples of one seed in their order for an epoch."""
        size = self.task.train.size
        if self.task.batch == size:
            return jnp.arange(size)
        return jax.random.permutation(
            jax.random.fold_in(jax.random.fold_in(key, _ORDER), epoch), size
        )

    def _compiled_gradient(self):
        batch, task = self.task.batch, self.task

        def of_seed(params, inputs, targets, key, order, step, now):
            rows = jax.lax.dynamic_slice_in_dim(order, step * batch, batch)
            inputs, targets = jax.tree.map(lambda x: x[rows], (inputs, targets))
            if task.augment is not None:
                own = jax.random.fold_in(jax.random.fold_in(key, _AUGMENT), now)
                inputs = task.augment(own, inputs)
            of_rates = jax.vmap(jax.value_and_grad(task.objective), (0, None, None))
            return of_rates(params, inputs, targets)

        return jax.jit(jax.vmap(of_seed, (0, None, None, 0, 0, None, None)))

    def _spread(self, *seeds):
        """Parameters of each seed, repeated for each rate."""
        stacked = jnp.asarray(np.stack(seeds))
        return jnp.repeat(stacked[:, None], self.points, 1)


def _shown(carry: Carry) -> Any:
    """The parameters to evaluate with, such as the slow weights of Lookahead."""
    return jax.vmap(jax.vmap(ao.eval_params))(carry.state, carry.params)


def _by_rate(values: list[np.ndarray]) -> np.ndarray:
    """Arrays (seeds, rates), one an evaluation, as (rates, seeds, evaluations)."""
    return np.stack(values, axis=-1).swapaxes(0, 1)


def _bytes(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)
