"""The runs of a directory, and the numbers of each that a table shows."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adaptive_optax.logging.read_log import SUFFIXES, NotALogError, Series, read_log


class Run(NamedTuple):
    """One log."""

    name: str  # its path in the directory, without suffix if that is unique
    series: dict[str, Series]  # from the first value on that is not NaN
    unknown: tuple[str, ...] = ()  # metrics that are NaN in all rows


def known_run(name: str, series: Mapping[str, Series]) -> Run:
    """Return a run without leading NaN: `metrics` gives NaN until it has a value."""
    known, unknown = {}, []
    for metric, (steps, values) in series.items():
        start = int(np.argmin(np.isnan(values)))
        if np.isnan(values[start]):
            unknown.append(metric)
        else:
            known[metric] = Series(steps[start:], values[start:])
    return Run(name, known, tuple(unknown))


def find_runs(directory: Path) -> tuple[list[Run], list[str]]:
    """Return the runs in a directory and its folders, by name, and the files that are no logs."""
    paths = sorted(path for path in directory.rglob("*") if path.suffix in SUFFIXES)
    stems = [path.with_suffix("") for path in paths]
    runs, others = [], []
    for path in filter(Path.is_file, paths):
        stem = path.with_suffix("")
        shown = stem if stems.count(stem) == 1 else path
        try:
            runs.append(known_run(shown.relative_to(directory).as_posix(), read_log(path)))
        except NotALogError:
            others.append(path.relative_to(directory).as_posix())
        except OSError as error:
            raise OSError(
                f"report: cannot read {os.fspath(path)} ({error.strerror or error})."
            ) from error
    return runs, others


class Summary(NamedTuple):
    """A run in a row of the table; None if it did not write the metric."""

    rows: int
    last_step: int | None
    final_loss: float | None
    best_loss: float | None
    best_step: int | None
    last_rates: tuple[float, ...]  # least and largest of the groups if there is no total
    skipped: float | None
    clipped: float | None


def summary(run: Run) -> Summary:
    """Return the run in numbers."""
    steps = np.zeros(0, np.int64)
    for series in run.series.values():
        if not np.array_equal(series.steps, steps):  # most metrics are written at the same steps
            steps = np.union1d(steps, series.steps)
    final = float("nan") if "loss" in run.unknown else None
    best = where = None
    if "loss" in run.series:
        loss = run.series["loss"]
        final = float(loss.values[-1])
        finite = np.isfinite(loss.values)
        if finite.any():
            place = int(np.argmin(np.where(finite, loss.values, np.inf)))
            best, where = float(loss.values[place]), int(loss.steps[place])
    rates = [s.values[-1] for name, s in run.series.items() if name.startswith("learning_rate/")]
    if "learning_rate" in run.series:
        rates = [run.series["learning_rate"].values[-1]]
    return Summary(
        rows=len(steps),
        last_step=int(steps[-1]) if len(steps) else None,
        final_loss=final,
        best_loss=best,
        best_step=where,
        last_rates=tuple(sorted({float(min(rates)), float(max(rates))})) if rates else (),
        skipped=total(run.series.get("skipped")),
        clipped=total(run.series.get("clipped")),
    )


def total(series: Series | None) -> float | None:
    """Return how often something happened: the last value of a running count, as of `metrics`.

    Values that fall and are never above 1 are one flag per row; flags are added up.

    >>> steps = np.arange(4)
    >>> total(Series(steps, np.array([0.0, 1.0, 1.0, 3.0])))
    3.0
    >>> total(Series(steps, np.array([0.0, 1.0, 0.0, 1.0])))
    2.0
    """
    values = np.zeros(0) if series is None else series.values[np.isfinite(series.values)]
    if not len(values):
        return None
    flags = values.max() <= 1 and (np.diff(values) < 0).any()
    return float(values.sum() if flags else values[-1])
