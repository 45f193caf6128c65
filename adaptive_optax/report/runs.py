"""The runs of a directory, and the numbers of each that a table shows."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adaptive_optax.logging.read_log import SUFFIXES, NotALogError, Series, read_log


class Run(NamedTuple):
    """One log."""

    name: str  # its path in the directory, without suffix where that is clear
    series: dict[str, Series]  # from the first value on that is not NaN
    unknown: tuple[str, ...] = ()  # metrics that are NaN in all rows


def known_run(name: str, series: Mapping[str, Series]) -> Run:
    """A run of what is known: `metrics` gives NaN until there is a value, or where none comes."""
    starts = {each: int(np.argmin(np.isnan(s.values))) for each, s in series.items()}
    unknown = tuple(each for each, s in series.items() if np.isnan(s.values).all())
    known = {
        each: Series(s.steps[starts[each] :], s.values[starts[each] :])
        for each, s in series.items()
        if each not in unknown
    }
    return Run(name, known, unknown)


def find_runs(directory: Path) -> tuple[list[Run], list[str]]:
    """The runs in a directory and the folders in it, by name; and the files that are no logs."""
    paths = sorted(path for path in directory.rglob("*") if path.suffix in SUFFIXES)
    stems = [path.with_suffix("") for path in paths]
    runs, others = [], []
    for path in filter(Path.is_file, paths):
        clear = stems.count(path.with_suffix("")) == 1
        shown = path.with_suffix("") if clear else path
        name = shown.relative_to(directory).as_posix()
        try:
            runs.append(known_run(name, read_log(path)))
        except NotALogError:
            others.append(path.relative_to(directory).as_posix())
        except OSError as error:
            raise OSError(
                f"report: cannot read {os.fspath(path)} ({error.strerror or error})."
            ) from error
    return runs, others


class Summary(NamedTuple):
    """A run in a row of the table; None where it did not write the metric."""

    rows: int
    last_step: int | None
    final_loss: float | None
    best_loss: float | None
    best_step: int | None
    last_rates: tuple[float, ...]  # least and largest of the groups where there is no total
    skipped: float | None
    clipped: float | None


def summary(run: Run) -> Summary:
    """The run in numbers."""
    steps = np.zeros(0, np.int64)
    for series in run.series.values():
        if not np.array_equal(series.steps, steps):  # most metrics are written at the same steps
            steps = np.union1d(steps, series.steps)
    loss = run.series.get("loss")
    final = float("nan") if "loss" in run.unknown else None
    best = where = None
    if loss is not None:
        final = float(loss.values[-1])
        finite = np.isfinite(loss.values)
        if finite.any():
            place = int(np.argmin(np.where(finite, loss.values, np.inf)))
            best, where = float(loss.values[place]), int(loss.steps[place])
    return Summary(
        rows=len(steps),
        last_step=int(steps[-1]) if len(steps) else None,
        final_loss=final,
        best_loss=best,
        best_step=where,
        last_rates=_last_rates(run),
        skipped=total(run.series.get("skipped")),
        clipped=total(run.series.get("clipped")),
    )


def total(series: Series | None) -> float | None:
    """How often it happened: a running count's last value, as `metrics` gives it.

    What falls and is never above 1 is a flag a row; flags are added up.

    >>> steps = np.arange(4)
    >>> total(Series(steps, np.array([0.0, 1.0, 1.0, 3.0])))
    3.0
    >>> total(Series(steps, np.array([0.0, 1.0, 0.0, 1.0])))
    2.0
    """
    if series is None:
        return None
    values = series.values[np.isfinite(series.values)]
    if not len(values):
        return None
    flags = values.max() <= 1 and (np.diff(values) < 0).any()
    return float(values.sum() if flags else values[-1])


def _last_rates(run: Run) -> tuple[float, ...]:
    if "learning_rate" in run.series:
        return (float(run.series["learning_rate"].values[-1]),)
    parts = [s.values[-1] for name, s in run.series.items() if name.startswith("learning_rate/")]
    return tuple(float(rate) for rate in sorted({min(parts), max(parts)})) if parts else ()
