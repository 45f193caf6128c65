"""Logs on disk: a row a line, as JSON or as CSV; both go on where a killed run stopped."""

import abc
import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from adaptive_optax.monitoring.logs import csv_rows, json_row, json_rows
from adaptive_optax.monitoring.rows import Number, checked_step
from adaptive_optax.monitoring.sink import RowSink


class _LogFile(RowSink):
    """A file of lines, opened for appending."""

    def __init__(self, path: str | os.PathLike[str], *, resume_at: int | None = None):
        super().__init__()
        name = type(self).__name__
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"{name}(path={path!r}): path must be a string or a Path.")
        self.path = Path(path)
        start = None if resume_at is None else checked_step(name, resume_at, "resume_at")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._mend()
            self._go_on(start)
            self._file = self._opened()
        except OSError as error:
            raise OSError(
                f"{name}({str(path)!r}): cannot write there ({error.strerror or error}); give "
                f"another file."
            ) from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _close(self) -> None:
        self._file.close()

    def _opened(self) -> TextIO:
        """The file at its end; each line goes out at once, so that a killed run leaves its rows."""
        return self.path.open("a", buffering=1, encoding="utf-8", newline="")

    def _mend(self) -> None:
        """Ends the last line, or takes it away where a killed writer left it half."""
        if not self.path.exists():
            return
        with self.path.open("rb+") as file:
            start = _last_line(file)
            file.seek(start)
            tail = file.read()
            if self._is_whole(tail):
                file.write(b"\n")
            else:
                file.truncate(start)

    def _replaced(self, lines: Iterable[str]) -> None:
        """Writes the file anew, whole or not at all."""
        beside = self.path.with_name(f"{self.path.name}.new")
        with beside.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
        os.replace(beside, self.path)

    def _is_whole(self, tail: bytes) -> bool:
        """Whether the text after the last line's end is a row."""
        return False

    @abc.abstractmethod
    def _go_on(self, resume_at: int | None) -> None:
        """Reads what is needed of the rows there, and takes away those from resume_at on."""


class JSONL(_LogFile):
    """A log with one JSON object a line: `{"step": 3, "loss": 0.25}`.

    Each line is valid JSON: what is not finite is one of the strings "NaN", "Infinity" and
    "-Infinity". An existing file is appended to, without the half line that a killed run may have
    left. A step that comes again is written again; `read_log` takes the later values.

    Args:
      path: the file; missing folders are made.
      resume_at: the step that the run starts or goes on at: rows of the file from there on, which
        a killed run wrote after its checkpoint, are taken away. None keeps all.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range, or a damaged file.
      OSError: where the file cannot be written.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "run.jsonl")
    >>> with JSONL(path) as sink:
    ...     sink.write(0, {"loss": 0.5})
    ...     sink.write(1, {"loss": float("nan")})
    >>> print(path.read_text(), end="")
    {"step": 0, "loss": 0.5}
    {"step": 1, "loss": "NaN"}
    """

    def _write(self, step: int, row: dict[str, Number]) -> None:
        self._file.write(_json_line(step, row))

    def _is_whole(self, tail: bytes) -> bool:
        try:
            return json_row(tail) is not None
        except (ValueError, OverflowError, RecursionError):
            return False

    def _go_on(self, resume_at: int | None) -> None:
        if resume_at is not None and self.path.exists():
            rows = json_rows(self.path)
            self._replaced(_json_line(step, row) for step, row in rows if step < resume_at)


class CSV(_LogFile):
    """A log as a table: the columns are "step" and the metrics in the order they first came.

    A metric that comes later widens the table: the file is written anew with empty cells in the
    rows before, so nothing is lost. An empty cell is a metric without a value; "nan", "inf" and
    "-inf" are values. An existing file is appended to, without the half line that a killed run may
    have left. A step that comes again is written again; `read_log` takes the later values.

    Args:
      path: the file; missing folders are made.
      resume_at: the step that the run starts or goes on at: rows of the file from there on, which
        a killed run wrote after its checkpoint, are taken away. None keeps all.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range, or a damaged file.
      OSError: where the file cannot be written.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "run.csv")
    >>> with CSV(path) as sink:
    ...     sink.write(0, {"loss": 0.5})
    ...     sink.write(1, {"loss": 0.25, "learning_rate": 0.1})
    >>> print(path.read_text(), end="")
    step,loss,learning_rate
    0,0.5,
    1,0.25,0.1
    """

    def __init__(self, path: str | os.PathLike[str], *, resume_at: int | None = None):
        self._names: list[str] = []
        super().__init__(path, resume_at=resume_at)

    def _write(self, step: int, row: dict[str, Number]) -> None:
        new = [name for name in row if name not in self._names]
        if new or not self._names:
            self._file.close()
            rows = csv_rows(self.path)
            self._names = (self._names or ["step"]) + new
            self._replaced(self._table(rows))
            self._file = self._opened()
        self._file.write(_csv_line([step, *(row.get(name, "") for name in self._names[1:])]))

    def _go_on(self, resume_at: int | None) -> None:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8", newline="") as file:
            self._names = next(csv.reader(file), [])
        if self._names and self._names[0] != "step":
            raise ValueError(
                f"CSV({str(self.path)!r}): the file is no log, since its first column is "
                f"{self._names[0]!r} and not 'step'; give another file."
            )
        if resume_at is not None and self._names:
            self._replaced(self._table(row for row in csv_rows(self.path) if row[0] < resume_at))

    def _table(self, rows: Iterable[tuple[int, dict[str, Number]]]) -> Iterator[str]:
        yield _csv_line(self._names)
        for step, row in rows:
            yield _csv_line([step, *(row.get(name, "") for name in self._names[1:])])


def _json_line(step: int, row: dict[str, Number]) -> str:
    values = {name: value if math.isfinite(value) else _word(value) for name, value in row.items()}
    return json.dumps({"step": step, **values}, allow_nan=False) + "\n"


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _last_line(file: Any, block: int = 65536) -> int:
    """Where the text after the last end of line starts; the file's end where there is none."""
    place = file.seek(0, os.SEEK_END)
    while place > 0:
        start = max(0, place - block)
        file.seek(start)
        found = file.read(place - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        place = start
    return 0
