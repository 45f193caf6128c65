"""How far the range test's suggestion is from the best rate of a whole training, on digits.

    python benchmarks/range_digits.py                        five optimizers, 3 seeds
    python benchmarks/range_digits.py --optimizers adam,lion --first-seed 3

For each optimizer whole trainings of 15 epochs (495 steps) are run as `adaptive-optax compare` runs
them, at rates half a decade apart around a fixed centre, widened while the best is at an edge.
Beside the best rate by accuracy (the protocol's choice) and the one by loss, both on the validation
split and means over seeds, stands the suggestion of the range test, from runs of 300 steps at the
first seed, with its distance from them in decades; half a decade is the distance of two neighbours
of the grid. Where several rates do as well, luck chooses among them: hence the last columns, the
loss and accuracy of a whole training at the suggested rate and at the best by accuracy.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adaptive_optax.comparison import entries, tasks
from adaptive_optax.comparison.progress import Silent
from adaptive_optax.comparison.range_task import range_test
from adaptive_optax.comparison.search import search
from adaptive_optax.comparison.training import Trainer

OPTIMIZERS = "sgd,momentum,rmsprop,adam,lion"
GRID = 5  # rates at a time


class Score(NamedTuple):
    """One rate after whole trainings; the larger is the better."""

    kept: int  # runs that did not diverge, less all
    metric: float
    loss: float  # negated


def scores(trainer: Trainer, entry: entries.Entry, centre: float) -> dict[float, Score]:
    """The score of each rate of the grid."""
    row = search(trainer, entry, centre, "constant", Silent())
    found = {}
    for rate in {run.learning_rate for run in row.runs}:
        runs = [run for run in row.runs if run.learning_rate == rate]
        metric = float(np.mean([run.validation_metric[-1] for run in runs]))
        loss = float(np.mean([run.validation_loss[-1] for run in runs]))
        found[rate] = Score(-sum(run.diverged for run in runs), metric, -loss)
    return found


def score_at(trainer: Trainer, entry: entries.Entry, rate: float) -> Score:
    """The score of one rate, by itself."""
    found = trainer.train(trainer.programs(entry.make), [rate] * GRID, lambda epoch: None)
    loss, metric = found.validation_loss[0, :, -1], found.validation_metric[0, :, -1]
    return Score(0, float(np.mean(metric)), -float(np.mean(loss)))


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command; words are those after its name, None takes the process's own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--optimizers", default=OPTIMIZERS, metavar="A,B")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="of whole trainings")
    parser.add_argument("--first-seed", type=int, default=0, metavar="N")
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="of the range test")
    options = parser.parse_args(words)
    began, task = time.perf_counter(), tasks.load("digits")
    seeds = list(range(options.first_seed, options.first_seed + options.seeds))
    trainer = Trainer(task, seeds, task.epochs, GRID)
    print(f"{'':16} suggested  best by accuracy   best by loss      there           at the best")
    for entry in entries.entries(options.optimizers, task.centres, trainer.steps):
        table = scores(trainer, entry, entry.centre)
        best = max(table, key=lambda rate: table[rate])
        by_loss = max(table, key=lambda rate: (table[rate].kept, table[rate].loss))
        found = range_test(task, entry.make, steps=options.steps, seed=seeds[0])
        away = (
            f"{rate:7.3g} ({math.log10(found.suggestion / rate):+.2f})  "
            for rate in (best, by_loss)
        )
        there = (
            f"{-score.loss:.3f} {100 * score.metric:.1f} %  "
            for score in (score_at(trainer, entry, found.suggestion), table[best])
        )
        print(f"{entry.name:16} {found.suggestion:9.3g} ", *away, *there, flush=True)
    print(f"{time.perf_counter() - began:.0f} s; in parentheses decades from the best")
    return 0


if __name__ == "__main__":
    sys.exit(main())
