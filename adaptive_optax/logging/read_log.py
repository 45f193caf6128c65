"""Read logs back: `JSONL` and `CSV` files as one series per metric, sorted by step."""

import csv
import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SUFFIXES = (".jsonl", ".csv")
_NOT_FINITE = {"NaN", "Infinity", "-Infinity", "nan", "inf", "-inf"}  # as strings in JSON
_LARGEST = 2**63

Number = int | float
Row = tuple[int, dict[str, Number]]  # a step and its metrics


class Series(NamedTuple):
    """One metric of a run, at the steps where it was written."""

    steps: np.ndarray  # int64, rising
    values: np.ndarray  # float64, may be NaN or infinite


class NotALogError(ValueError):
    """A file of another kind: it has no steps."""


def read_log(path: str | os.PathLike[str]) -> dict[str, Series]:
    """Return the series of a log by metric, sorted by step; of equal steps the last row counts.

    The half line that a killed run may have left at the end is ignored.

    Args:
      path: a file that `JSONL` or `CSV` wrote, with that suffix.

    Raises:
      OSError: if the file cannot be read.
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
    found = {}
    for name, (steps, values) in columns.items():
        # The first of equal steps in the reversed rows is the last one written.
        unique, places = np.unique(np.frombuffer(steps, np.int64)[::-1], return_index=True)
        found[name] = Series(unique, np.frombuffer(values, np.float64)[::-1][places])
    return found


def json_rows(path: Path) -> Iterator[Row]:
    """Read the rows of a JSONL file."""
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


def json_row(line: bytes) -> Row | None:
    """Return a line's row, or None for JSON without a step; anything else raises ValueError."""
    found = json.loads(line)
    if not isinstance(found, dict) or "step" not in found:
        return None
    step = _step(found.pop("step"))
    for name, value in found.items():
        if type(value) is float:  # most are, so this comes first
            continue
        if value is None:
            found[name] = float("nan")
        elif isinstance(value, int | float) or (isinstance(value, str) and value in _NOT_FINITE):
            found[name] = float(value)
        else:
            raise ValueError(f"{name!r} is {value!r}, not a number")
    return step, found


def csv_rows(path: Path) -> Iterator[Row]:
    """Read the rows of a CSV file."""
    with path.open("rb") as file:
        # A last line without its end may lack digits, so it is not a row.
        lines = (line.decode("utf-8-sig") for line in file if line.endswith(b"\n"))
        reader = csv.reader(lines, strict=True)
        names: list[str] = []
        try:
            for cells in reader:
                if names and cells:
                    if len(cells) != len(names):
                        raise ValueError(f"{len(cells)} cells under {len(names)} columns")
                    row = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
                    step = row.pop("step")
                    number = int(step) if step.lstrip("+-").isdigit() else float(step)
                    yield _step(number), {name: float(v) for name, v in row.items() if v}
                elif not names:
                    names = cells
                    if "step" not in names:
                        raise NotALogError(f"{path}: it has no column 'step'.")
        except NotALogError:
            raise
        except (ValueError, csv.Error) as error:
            raise _damaged(path, reader.line_num or 1, error) from error


def printable(text: str, mark: str = "?") -> str:
    """Replace what a terminal or a page would obey: names in a log may be anything."""
    return "".join(character if character.isprintable() else mark for character in text)


def _step(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError(f"the step is {value!r}, not an integer")
    if not 0 <= value < _LARGEST:
        raise ValueError(f"the step is {value!r}, out of range")
    return int(value)


def _damaged(path: Path, number: int, why: Any) -> ValueError:
    return ValueError(
        f"{path}, line {number}: damaged ({str(why)[:200]}); repair the line or take it away."
    )
