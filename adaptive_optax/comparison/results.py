"""What a comparison found: runs, a row an optimizer, and all rows with how they were made."""

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from adaptive_optax.comparison import statistics


@dataclass(frozen=True)
class Run:
    """One training: an optimizer, a learning rate and a seed."""

    learning_rate: float
    seed: int
    train_loss: list[float]  # one an evaluation: mean over the steps since the last, before update
    validation_loss: list[float]  # before training, and at each evaluation
    validation_metric: list[float]  # likewise
    diverged: bool
    steps_to_target: int | None


@dataclass
class Row:
    """One optimizer at the learning rate that validation chose, and all its runs."""

    name: str
    learning_rate: float
    rates_applied: list[float]  # at each step of the chosen runs
    runs: list[Run]
    widened: int  # times that the grid was
    milliseconds_per_step: float  # of one run, with all runs side by side; compilation apart
    compile_seconds: float
    state_bytes: int  # of one run
    test_metric: list[float] = field(default_factory=list)  # one a seed
    params: Any = None  # of the chosen runs; leaves (seeds, 1, ...)

    @property
    def chosen(self) -> list[Run]:
        """The runs at the chosen rate, one a seed."""
        return [run for run in self.runs if run.learning_rate == self.learning_rate]

    @property
    def divergences(self) -> int:
        """How many of all runs diverged."""
        return sum(run.diverged for run in self.runs)

    @property
    def reached(self) -> list[int]:
        """Steps to the target of the chosen runs that reached it."""
        return [run.steps_to_target for run in self.chosen if run.steps_to_target is not None]

    def final(self, what: str) -> list[float]:
        """The last "train_loss", "validation_loss" or "validation_metric" of the chosen runs."""
        return [getattr(run, what)[-1] for run in self.chosen]

    def params_of(self, seed_index: int) -> Any:
        """The parameters to evaluate with of one chosen run, as the task's init shapes them."""
        return jax.tree.map(lambda x: np.asarray(x[seed_index, 0]), self.params)


@dataclass
class Results:
    """All rows, the best first, and how they were made.

    Attributes:
      rows: one an optimizer that was finished.
      config: the task and the protocol.
      versions: of Python and the libraries.
      seconds: wall time.
      interrupted: whether it was stopped before all optimizers were finished.
    """

    rows: list[Row]
    config: dict[str, Any]
    versions: dict[str, str]
    seconds: float = math.nan
    interrupted: bool = False

    def __getitem__(self, name: str) -> Row:
        """The row of an optimizer."""
        for row in self.rows:
            if row.name == name:
                return row
        have = ", ".join(row.name for row in self.rows)
        raise KeyError(f"Comparison[{name!r}]: no such row; there are {have}.")

    def ties(self) -> list[str]:
        """The optimizers that cannot be told from the first one, best first."""
        finite = [row for row in self.rows if np.all(np.isfinite(row.test_metric))]
        if not finite or finite[0] is not self.rows[0]:
            return []
        every = [row.test_metric for row in finite]
        return [row.name for row in finite[1:] if statistics.tied(every[0], row.test_metric, every)]


def ranked(rows: list[Row], larger_is_better: bool) -> list[Row]:
    """Best first by mean test metric, then by validation loss; those without a number last."""

    def key(row):
        metric = statistics.mean(row.test_metric)
        loss = statistics.mean(row.final("validation_loss"))
        lost = not math.isfinite(metric)
        sign = -1 if larger_is_better else 1
        return lost, 0.0 if lost else sign * metric, loss if math.isfinite(loss) else math.inf

    return sorted(rows, key=key)
