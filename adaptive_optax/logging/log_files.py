"""Logs on disk, one row per line, as JSON or CSV. Both continue where a killed run stopped."""

import abc
import csv
import io
import json
import math
import mmap
import os
from collections.abc import Iterable, Iterator
from itertools import starmap
from pathlib import Path
from typing import Any, TextIO

from adaptive_optax.logging.read_log import Number, Row, csv_rows, json_row, json_rows
from adaptive_optax.logging.rows import checked_step
from adaptive_optax.logging.sink import RowSink


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
            if self.path.exists():
                self._mend_last_line()
                self._read_header()
                if start is not None:
                    self._rewrite(row for row in self._rows() if row[0] < start)
            self._file = self._opened()
        except OSError as error:
            raise OSError(
                f"{name}({str(path)!r}): cannot write there ({error.strerror or error}); give "
                f"another file."
            ) from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _write(self, step: int, row: dict[str, Number]) -> None:
        self._file.write(self._line(step, row))

    def _close(self) -> None:
        self._file.close()

    def _opened(self) -> TextIO:
        """Open the file at its end; lines are not buffered, so that a killed run leaves them."""
        return self.path.open("a", buffering=1, encoding="utf-8", newline="")

    def _mend_last_line(self) -> None:
        """End the last line, or remove it if a killed writer left half of it."""
        with self.path.open("rb+") as file:
            if not os.fstat(file.fileno()).st_size:
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                start = text.rfind(b"\n") + 1
                tail = text[start:]
            if self._is_whole(tail):
                file.seek(0, os.SEEK_END)
                file.write(b"\n")
            else:
                file.truncate(start)

    def _rewrite(self, rows: Iterable[Row]) -> None:
        """Replace the file by one with these rows, completely or not at all."""
        beside = self.path.with_name(f"{self.path.name}.new")
        with beside.open("w", encoding="utf-8", newline="") as file:
            file.write(self._header())
            file.writelines(starmap(self._line, rows))
        os.replace(beside, self.path)

    def _is_whole(self, tail: bytes) -> bool:
        """Return whether a last line without its end is a row."""
        return False

    def _read_header(self) -> None:
        """Read the column names of an existing file."""

    def _header(self) -> str:
        return ""

    @abc.abstractmethod
    def _rows(self) -> Iterator[Row]:
        """Read the rows of the file."""

    @abc.abstractmethod
    def _line(self, step: int, row: dict[str, Number]) -> str:
        """Return the line of a row, with its end."""


class JSONL(_LogFile):
    """A log with one JSON object per line: `{"step": 3, "loss": 0.25}`.

    Each line is valid JSON: a value that is not finite is one of the strings "NaN", "Infinity" and
    "-Infinity". An existing file is appended to, without the half line that a killed run may have
    left. A step that comes again is written again; `read_log` takes the later values.

    Args:
      path: the file; missing folders are made.
      resume_at: the step at which the run starts or resumes. Rows of the file from this step on,
        which a killed run wrote after its checkpoint, are removed. None keeps all.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range, or a damaged file.
      OSError: if the file cannot be written.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "run.jsonl")
    >>> with JSONL(path) as sink:
    ...     sink.write(0, {"loss": 0.5})
    ...     sink.write(1, {"loss": float("nan")})
    >>> print(path.read_text(), end="")
    {"step": 0, "loss": 0.5}
    {"step": 1, "loss": "NaN"}
    """

    def _is_whole(self, tail: bytes) -> bool:
        try:
            return json_row(tail) is not None
        except (ValueError, OverflowError, RecursionError):
            return False

    def _rows(self) -> Iterator[Row]:
        return json_rows(self.path)

    def _line(self, step: int, row: dict[str, Number]) -> str:
        values = {name: v if math.isfinite(v) else json.dumps(v) for name, v in row.items()}
        return json.dumps({"step": step, **values}, allow_nan=False) + "\n"


class CSV(_LogFile):
    """A log as a table: the columns are "step" and the metrics in the order they first came.

    A metric that comes later widens the table: the file is rewritten with empty cells in the
    earlier rows, so nothing is lost. An empty cell is a metric without a value; "nan", "inf" and
    "-inf" are values. An existing file is appended to, without the half line that a killed run may
    have left. A step that comes again is written again; `read_log` takes the later values.

    Args:
      path: the file; missing folders are made.
      resume_at: the step at which the run starts or resumes. Rows of the file from this step on,
        which a killed run wrote after its checkpoint, are removed. None keeps all.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range, or a damaged file.
      OSError: if the file cannot be written.

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

    _names: tuple[str, ...] = ()  # the columns; empty until the file has a header

    def _write(self, step: int, row: dict[str, Number]) -> None:
        new = [name for name in row if name not in self._names]
        if new or not self._names:
            self._file.close()
            self._names = (*(self._names or ["step"]), *new)
            self._rewrite(self._rows())
            self._file = self._opened()
        super()._write(step, row)

    def _read_header(self) -> None:
        with self.path.open(encoding="utf-8", newline="") as file:
            self._names = tuple(next(csv.reader(file), ()))
        if self._names and self._names[0] != "step":
            raise ValueError(
                f"CSV({str(self.path)!r}): the file is no log, since its first column is "
                f"{self._names[0]!r} and not 'step'; give another file."
            )

    def _header(self) -> str:
        return _csv_line(self._names) if self._names else ""

    def _rows(self) -> Iterator[Row]:
        return csv_rows(self.path)

    def _line(self, step: int, row: dict[str, Number]) -> str:
        return _csv_line([step, *(row.get(name, "") for name in self._names[1:])])


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
