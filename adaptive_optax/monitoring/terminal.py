"""Rows shown while training goes on: a live view in a terminal, plain lines elsewhere."""

import atexit
import math
import time
from collections import deque
from typing import Any

from adaptive_optax.core.checks import check_non_negative, check_steps
from adaptive_optax.monitoring.packages import optional
from adaptive_optax.monitoring.rows import Number
from adaptive_optax.monitoring.sink import RowSink
from adaptive_optax.monitoring.sparkline import ASCII, BLOCKS, Sparkline

CURVES = ("loss", "learning_rate")  # first, and with a sparkline


class Terminal(RowSink):
    """A live view of the run: progress, speed, the metrics, and a table of the groups.

    Where the output is no terminal, such as a file or a notebook, it writes plain lines instead,
    without the groups. The loss and the learning rate have their course beside them. Needs rich.

    Args:
      total: steps of the whole run, for the bar and the time that is left; None shows neither.
      interval: seconds from one plain line to the next, at least 0; the last row always has one.
      console: a rich.console.Console; None takes one on standard output.

    Raises:
      ImportError: without rich.
      TypeError, ValueError: for an option of the wrong kind or range.
    """

    def __init__(self, total: int | None = None, *, interval: float = 1.0, console: Any = None):
        super().__init__()
        if total is not None:
            check_steps("Terminal", total=total)
        check_non_negative("Terminal", interval=interval)
        optional("Terminal", "rich")
        from rich.console import Console

        self._total, self._interval = total, interval
        self._console = console or Console()
        self._blocks = ASCII if self._console.options.ascii_only else BLOCKS
        self._step = 0
        self._row: dict[str, Number] = {}  # the latest value of each metric
        self._known: set[str] = set()  # metrics that had a finite value; `metrics` has NaN before
        self._curves = {name: Sparkline() for name in CURVES}
        self._times: deque[tuple[float, int]] = deque(maxlen=64)
        self._live: Any = None
        self._shown = -float("inf")  # when the last plain line was written
        self._pending = False  # whether a row came since

    def _write(self, step: int, row: dict[str, Number]) -> None:
        now = time.monotonic()
        self._known |= {name for name, value in row.items() if math.isfinite(value)}
        row = {name: v for name, v in row.items() if name in self._known or name == "loss"}
        if step >= self._step:  # a late row is old news
            self._step = step
            self._row.update(row)
        for name, curve in self._curves.items():
            if name in row and name in self._known:
                curve.add(row[name])
        if not self._times or now - self._times[-1][0] >= 0.25:
            self._times.append((now, step))
        if not self._console.is_terminal:
            self._pending = True
            if now - self._shown >= self._interval:
                self._print()
        elif self._live is None:
            self._start()

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            atexit.unregister(self.close)
        elif self._pending:
            self._print()

    def _start(self) -> None:
        from rich.live import Live

        self._live = Live(self, console=self._console, refresh_per_second=4)
        self._live.start()
        atexit.register(self.close)  # else an error leaves the terminal without a cursor

    def _print(self) -> None:
        self._shown, self._pending = time.monotonic(), False
        values = [f"{name} {_shown(value)}" for name, value in self._totals()]
        words = "  ".join([self._progress(), *values, *self._speed()])
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> Any:
        """What rich draws at each refresh."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            bar = [ProgressBar(self._total, self._step, width=30)] if self._total else []
            head = Table.grid(padding=(0, 2))
            head.add_row(*bar, self._progress(), *self._speed())
            metrics = Table.grid(padding=(0, 2))
            for name, value in self._totals():
                curve = self._curves.get(name)
                course = Text(curve.text(self._blocks) if curve else "", style="cyan")
                lost = name in self._known and not math.isfinite(value)
                style = "bold red" if lost else ""
                metrics.add_row(Text(_printable(name)), Text(_shown(value), style), course)
            return Group(head, metrics, *self._groups())

    def _groups(self) -> list[Any]:
        """The table of the groups, if there are any."""
        from rich.table import Table
        from rich.text import Text

        parts = [(*name.partition("/")[::2], value) for name, value in self._row.items()]
        cells = {(group, metric): value for metric, group, value in parts if group}
        if not cells:
            return []
        columns = list(dict.fromkeys(metric for _, metric in cells))
        table = Table(box=None)
        for title in ["group", *map(_printable, columns)]:
            table.add_column(Text(title))
        for group in dict.fromkeys(group for group, _ in cells):
            found = [cells.get((group, metric)) for metric in columns]
            words = ["" if value is None else _shown(value) for value in found]
            table.add_row(*map(Text, map(_printable, [group, *words])))
        return [table]

    def _totals(self) -> list[tuple[str, Number]]:
        """The metrics that belong to no group, loss and rate first."""
        first = [(name, self._row[name]) for name in CURVES if name in self._row]
        rest = [(name, v) for name, v in self._row.items() if name not in CURVES]
        return first + [(name, value) for name, value in rest if "/" not in name]

    def _progress(self) -> str:
        return f"step {self._step:,}" + (f"/{self._total:,}" if self._total else "")

    def _speed(self) -> list[str]:
        """Steps a second over the last quarter of a minute or more, and the time that is left."""
        if not self._times or self._step <= self._times[0][1]:
            return []
        seconds = time.monotonic() - self._times[0][0]
        speed = (self._step - self._times[0][1]) / max(seconds, 1e-9)
        words = [f"{speed:.3g} steps/s"]
        if self._total:
            left = round(max(self._total - self._step, 0) / speed)
            words.append(f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left")
        return words


def _shown(value: Number) -> str:
    return f"{value:.4g}"


def _printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)
