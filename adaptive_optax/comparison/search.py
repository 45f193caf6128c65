"""One optimizer: its grid of learning rates trained, the best rate chosen, all runs kept."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.comparison import entries, rate_grid, results, statistics
from adaptive_optax.comparison.training import Trained, Trainer


def search(
    trainer: Trainer,
    entry: entries.Entry,
    centre: float,
    schedule: str,
    progress: Any,
    check: Callable[[], None] = lambda: None,
) -> results.Row:
    """Trains one optimizer over its grid; validation chooses the rate.

    Args:
      trainer: the task's programs and data.
      entry: the optimizer.
      centre: of the grid, above 0; the only rate where the trainer takes one at a time.
      schedule: one of `rate_grid.SCHEDULES`.
      progress: told of epochs, as `Silent`.
      check: called at each evaluation, to raise where the training is to end.
    """
    task, passes = trainer.task, list[Trained]()
    progress.optimizer(entry.name)

    def make(rate):
        return entry.make(rate_grid.scheduled(rate, schedule, trainer.steps))

    def tick(epochs):
        check()
        progress.epoch(epochs)

    def evaluate(some):
        trained = trainer.train(programs, some, tick)
        passes.append(trained)
        return [
            rate_grid.score(
                trained.validation_metric[k, :, -1],
                trained.validation_loss[k, :, -1],
                [run.diverged for run in _runs(trainer, trained, k)],
                task.larger_is_better,
            )
            for k in range(len(some))
        ]

    try:
        programs = trainer.programs(make)
        best, widened = rate_grid.search(centre, trainer.points, evaluate)
    except Exception as error:
        error.add_note(f"compare: while training with {entry.name!r}.")
        raise
    lanes = sum(len(p.rates) for p in passes) * len(trainer.seeds) * trainer.steps
    winner = next(p for p in passes if best in p.rates)
    at = winner.rates.index(best)
    return results.Row(
        name=entry.name,
        learning_rate=best,
        rates_applied=_applied(best, schedule, trainer.steps),
        runs=[run for p in passes for k in range(len(p.rates)) for run in _runs(trainer, p, k)],
        widened=widened,
        milliseconds_per_step=1e3 * sum(p.run_seconds for p in passes) / lanes,
        compile_seconds=programs.compile_seconds,
        state_bytes=programs.state_bytes,
        params=jax.tree.map(lambda x: x[:, at : at + 1], winner.params),
    )


def _runs(trainer: Trainer, trained: Trained, k: int) -> list[results.Run]:
    """The runs at the k-th rate, one a seed."""
    task, runs = trainer.task, []
    for s, seed in enumerate(trainer.seeds):
        train, loss, metric = (
            values[k, s].tolist()
            for values in (trained.train_loss, trained.validation_loss, trained.validation_metric)
        )
        reached = statistics.steps_to_target(
            metric, task.target, task.larger_is_better, trainer.every
        )
        if reached is not None:  # the last stretch may be a shorter one
            reached = min(reached, trainer.steps)
        lost = statistics.diverged(train, loss)
        runs.append(results.Run(trained.rates[k], seed, train, loss, metric, lost, reached))
    return runs


def _applied(rate: float, schedule: str, steps: int) -> list[float]:
    value = rate_grid.scheduled(rate, schedule, steps)
    if not callable(value):
        return [rate] * steps
    return np.asarray(jax.vmap(value)(jnp.arange(steps))).tolist()
