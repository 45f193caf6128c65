"""Logs read back: what a run wrote as JSONL or CSV, sorted by step, one series a metric."""

import csv
import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adaptive_optax.monitoring.rows import Number

SUFFIXES = (".jsonl", ".csv")
_WORDS = {"NaN", "Infinity", "-Infinity", "nan", "inf", "-inf"}  # as sinks and others write them
_LARGEST = 2**63


class Series(NamedTuple):
    """One metric of a run, at the steps where it was written."""

    steps: np.ndarray  # int64, rising
    values: np.ndarray  # float64, may be NaN or infinite


class NotALogError(ValueError):
    """A file of another kind: it has no steps."""


def read_log(path: str | os.PathLike[str]) -> dict[str, Series]:
    """The series of a log by metric, sorted by step; of equal steps the last row counts.

    The half line that a killed run may have left at the end is passed over.

    Args:
      path: a file that `JSONL` or `CSV` wrote, with that suffix.

    Raises:
      OSError: where the file cannot be read.
      ValueError: for a damaged row, with its line, or a file that is no log.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"read_log({str(path)!r}): the file must end in {' or '.join(SUFFIXES)}.")
    columns: dict[str, tuple[array, array]] = {}
    for step, row in json_rows(path) if path.suffix == ".jsonl" else csv_rows(path):
        for name, value in row.items():
            if name not in columns:
                columns[name] = array("q"), array("d")
            steps, values = columns[name]
            steps.append(step)
            values.append(value)
    return {name: _sorted(*column) for name, column in columns.items()}


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Number]]]:
    """The rows of a JSONL file."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json_row(line)
            except (ValueError, OverflowError, RecursionError) as error:
                if not line.endswith(b"\n"):
                    return  # cut off as it was written
                raise _damaged(path, number, error) from error
            if row is None:
                if number == 1:
                    raise NotALogError(f'{path}: its first line has no "step".')
                raise _damaged(path, number, 'it has no "step"')
            yield row


def json_row(line: bytes) -> tuple[int, dict[str, Number]] | None:
    """A line's step and metrics; None for JSON without a step. ValueError for all else."""
    found = json.loads(line)
    if not isinstance(found, dict) or "step" not in found:
        return None
    step = _step(found.pop("step"))
    return step, {
        name: value if type(value) is float else _value(name, value)  # the quick way for most
        for name, value in found.items()
    }


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Number]]]:
    """The rows of a CSV file."""
    with path.open("rb") as file:
        # A last line without its end may lack digits: it is no row.
        lines = (line.decode("utf-8-sig") for line in file if line.endswith(b"\n"))
        reader = csv.reader(lines, strict=True)
        names: list[str] = []
        while True:
            try:
                cells = next(reader)
                if names and cells:
                    yield _csv_row(names, cells)
            except StopIteration:
                return
            except (ValueError, csv.Error) as error:
                raise _damaged(path, reader.line_num or 1, error) from error
            if not names:
                names = cells
                if "step" not in names:
                    raise NotALogError(f"{path}: it has no column 'step'.")


def _csv_row(names: list[str], cells: list[str]) -> tuple[int, dict[str, Number]]:
    if len(cells) != len(names):
        raise ValueError(f"{len(cells)} cells under {len(names)} columns")
    row = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
    step = row.pop("step")
    try:
        number: Any = int(step)
    except ValueError:
        number = float(step)
    return _step(number), {name: float(cell) for name, cell in row.items() if cell}


def _step(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError(f"the step is {value!r}, not an integer")
    if not 0 <= value < _LARGEST:
        raise ValueError(f"the step is {value!r}, out of range")
    return int(value)


def _value(name: str, value: Any) -> Number:
    if value is None:
        return float("nan")
    if isinstance(value, int | float) or (isinstance(value, str) and value in _WORDS):
        return float(value)
    raise ValueError(f"{name!r} is {value!r}, not a number")


def _damaged(path: Path, number: int, why: Any) -> ValueError:
    return ValueError(
        f"{path}, line {number}: damaged ({str(why)[:200]}); repair the line or take it away."
    )


def _sorted(steps: array, values: array) -> Series:
    at, found = np.frombuffer(steps, np.int64), np.frombuffer(values, np.float64)
    order = np.argsort(at, kind="stable")
    at, found = at[order], found[order]
    last = np.append(at[1:] != at[:-1], True)
    return Series(at[last], found[last])
