"""Rows shown during training: a live view in a terminal, plain lines elsewhere."""

import atexit
import math
import time
from collections import deque
from typing import Any

from adaptive_optax.core.checks import check_non_negative, check_steps
from adaptive_optax.logging.optional_packages import optional
from adaptive_optax.logging.read_log import Number, printable
from adaptive_optax.logging.sink import RowSink

CURVES = ("loss", "learning_rate")  # shown first, and with a sparkline
BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*#@"


class Terminal(RowSink):
    """A live view of the run: progress, speed, the metrics, and a table of the groups.

    If the output is not a terminal, such as a file or a notebook, it writes plain lines instead,
    without the groups. A sparkline shows the course of the loss and of the learning rate. Needs
    rich.

    Args:
      total: steps of the whole run, for the bar and the remaining time; None shows neither.
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
        self._total, self._interval = total, interval
        self._console = console or optional("Terminal", "rich.console").Console()
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
            from rich.live import Live

            self._live = Live(self, console=self._console, refresh_per_second=4)
            self._live.start()
            atexit.register(self.close)  # else an error leaves the terminal without a cursor

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            atexit.unregister(self.close)
        elif self._pending:
            self._print()

    def _print(self) -> None:
        self._shown, self._pending = time.monotonic(), False
        values = [f"{name} {value:.4g}" for name, value in self._totals()]
        words = "  ".join([self._progress(), *values, *self._speed()])
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> Any:
        """Return what rich draws at each refresh."""
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
                style = "" if name not in self._known or math.isfinite(value) else "bold red"
                metrics.add_row(Text(printable(name)), Text(f"{value:.4g}", style), course)
            parts = [(*name.partition("/")[::2], value) for name, value in self._row.items()]
            cells = {(group, metric): value for metric, group, value in parts if group}
            if not cells:
                return Group(head, metrics)
            columns = list(dict.fromkeys(metric for _, metric in cells))
            groups = Table(box=None)
            for title in ["group", *columns]:
                groups.add_column(Text(printable(title)))
            for group in dict.fromkeys(group for group, _ in cells):
                found = [cells.get((group, metric)) for metric in columns]
                words = [group, *("" if value is None else f"{value:.4g}" for value in found)]
                groups.add_row(*(Text(printable(word)) for word in words))
            return Group(head, metrics, groups)

    def _totals(self) -> list[tuple[str, Number]]:
        """Return the metrics that belong to no group, loss and learning rate first."""
        names = [name for name in CURVES if name in self._row]
        names += [name for name in self._row if name not in CURVES and "/" not in name]
        return [(name, self._row[name]) for name in names]

    def _progress(self) -> str:
        return f"step {self._step:,}" + (f"/{self._total:,}" if self._total else "")

    def _speed(self) -> list[str]:
        """Return steps per second, over a quarter of a minute or more, and the remaining time."""
        if not self._times or self._step <= self._times[0][1]:
            return []
        seconds = time.monotonic() - self._times[0][0]
        speed = (self._step - self._times[0][1]) / max(seconds, 1e-9)
        words = [f"{speed:.3g} steps/s"]
        if self._total:
            left = round(max(self._total - self._step, 0) / speed)
            words.append(f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left")
        return words


class Sparkline:
    """The course of a value so far, as one line of text; of a long run each character is a mean.

    Its memory does not grow with the run.

    Args:
      width: characters at most, at least 2.

    >>> line = Sparkline(8)
    >>> for value in range(64):
    ...     line.add(value)
    >>> line.text()
    '▁▂▃▄▅▆▇█'
    """

    def __init__(self, width: int = 32):
        self._width = width
        self._points: list[tuple[float, int, bool]] = []  # sum, how many, all of them finite
        self._share = 1  # values per point

    def add(self, value: float) -> None:
        """Take the next value."""
        finite = math.isfinite(value)
        if not self._points or self._points[-1][1] == self._share:
            if len(self._points) == 2 * self._width:
                self._points = _paired(self._points)
                self._share *= 2
            self._points.append((0.0, 0, True))
        total, count, known = self._points[-1]
        self._points[-1] = total + (value if finite else 0.0), count + 1, known and finite

    def text(self, blocks: str = BLOCKS) -> str:
        """Return the line, with "!" for values that are not finite.

        Args:
          blocks: characters from the least value to the largest.
        """
        points = self._points if len(self._points) <= self._width else _paired(self._points)
        means = [total / count if finite else math.nan for total, count, finite in points]
        known = [mean for mean in means if math.isfinite(mean)]
        low, high = min(known, default=0.0), max(known, default=0.0)
        # Halves, so that the difference of the largest numbers stays finite.
        shares = [(v / 2 - low / 2) / ((high / 2 - low / 2) or 1.0) for v in means]
        return "".join(
            blocks[min(len(blocks) - 1, int(share * len(blocks)))] if math.isfinite(share) else "!"
            for share in shares
        )


def _paired(points: list[tuple[float, int, bool]]) -> list[tuple[float, int, bool]]:
    """Join every two points into one; an odd last point stays."""
    pairs = [points[i : i + 2] for i in range(0, len(points), 2)]
    return [(sum(p[0] for p in x), sum(p[1] for p in x), all(p[2] for p in x)) for x in pairs]
