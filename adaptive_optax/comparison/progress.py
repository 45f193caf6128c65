"""Told while a comparison runs: silent, as plain lines, or as a bar in a terminal."""

import time
from typing import Any

from adaptive_optax.comparison.results import Row
from adaptive_optax.comparison.statistics import mean


class Silent:
    """Says nothing; the shape of the others."""

    def __enter__(self):
        return self

    def __exit__(self, *error: Any):
        return None

    def begin(self, names: list[str], epochs: int) -> None:
        """Training starts: these optimizers, so many epochs a pass."""

    def optimizer(self, name: str) -> None:
        """The search for one optimizer's learning rate starts."""

    def epoch(self, done: int) -> None:
        """An epoch of all its runs is done; a widened grid counts from 1 again."""

    def finished(self, row: Row) -> None:
        """Its rate is chosen. The test split is still unread."""

    def taken_up(self, row: Row) -> None:
        """It was finished before, and is not trained again."""


class Lines(Silent):
    """A line an optimizer, for files and pipes."""

    def __init__(self, write: Any = print):
        self._write = write

    def begin(self, names: list[str], epochs: int) -> None:
        """Remembers how many there are."""
        self._count, self._done, self._began = len(names), 0, time.perf_counter()

    def finished(self, row: Row) -> None:
        """Writes its line."""
        self._done += 1
        self._write(self._line(row))

    def taken_up(self, row: Row) -> None:
        """Writes its line, which says so."""
        self._done += 1
        self._write(f"{self._line(row)}, taken up")

    def _line(self, row: Row) -> str:
        seconds = time.perf_counter() - self._began
        metric = mean(row.final("validation_metric"))
        return (
            f"[{self._done:2}/{self._count}] {seconds:4.0f} s  {row.name:21} rate "
            f"{row.learning_rate:<8.3g} validation {metric:.4g}, {len(row.runs)} runs"
        )


class Bar(Lines):
    """A bar with the optimizer at work, above it a line each that is finished."""

    def __init__(self, console: Any):
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description:24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        super().__init__(lambda text: self._bar.console.print(text, highlight=False))

    def __enter__(self):
        self._bar.start()
        self._all = self._bar.add_task("loading", total=None)
        return self

    def __exit__(self, *error: Any):
        self._bar.stop()

    def begin(self, names: list[str], epochs: int) -> None:
        """Draws the bars: optimizers, and epochs of the one at work."""
        super().begin(names, epochs)
        self._bar.update(self._all, description="optimizers", total=len(names))
        self._now = self._bar.add_task("", total=epochs)

    def optimizer(self, name: str) -> None:
        """Names the one at work."""
        self._bar.reset(self._now, description=name)

    def epoch(self, done: int) -> None:
        """Moves its bar."""
        self._bar.update(self._now, completed=done)

    def finished(self, row: Row) -> None:
        """Writes its line and moves the bar of all."""
        super().finished(row)
        self._bar.advance(self._all)

    def taken_up(self, row: Row) -> None:
        """Likewise."""
        super().taken_up(row)
        self._bar.advance(self._all)
