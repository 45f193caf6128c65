"""What is unusual in a run, in plain sentences."""

from collections.abc import Iterator

import numpy as np

from adaptive_optax.logging.read_log import Series
from adaptive_optax.report.runs import Run, total

DERIVED = ("update_ratio", "cosine", "gradient_noise")  # rightly not finite if a norm is 0
LARGE_RATIO = 1e-1  # of update to parameters; about 1e-3 is usual
HARDLY, ROWS = 0.01, 50  # the loss falls by less than this share in this many rows


def notes(run: Run) -> list[str]:
    """Return the notes on a run; empty if nothing is unusual."""
    found = [text for name, series in run.series.items() for text in _of_series(name, series)]
    if "loss" in run.series:
        found += _of_loss(run.series["loss"])
    skipped = total(run.series.get("skipped"))
    if skipped:
        found.append(f"skipped {skipped:,.4g} step{'s' * (skipped != 1)}")
    if run.unknown:
        found.append(f"nan in all rows: {', '.join(run.unknown).replace('_', ' ')}")
    return found if run.series or run.unknown else ["the log has no rows"]


def _of_series(name: str, series: Series) -> Iterator[str]:
    metric = name.partition("/")[0]
    words = name.replace("_", " ")
    finite = np.isfinite(series.values)
    if not finite.all() and metric not in DERIVED:
        yield f"{words} is not finite {_where(series.steps, ~finite)}"
    if metric == "learning_rate":
        start = _zero_from(series)
        if start is not None:
            yield f"{words} is 0 from step {start}"
    if metric == "gradient_norm":
        start = _zero_from(series)
        idle = name != metric and start == series.steps[0]  # a group without parameters, say
        if start is not None and not idle:
            yield f"{words} is 0 from step {start}: nothing is learned"
    if metric == "update_ratio":
        large = finite & (series.values > LARGE_RATIO)
        if large.any():
            top = series.values[large].max()
            where = _where(series.steps, large)
            yield f"{words} is above {LARGE_RATIO:.0e} {where}; the largest is {top:.3g}"


def _of_loss(loss: Series) -> Iterator[str]:
    values = loss.values[np.isfinite(loss.values)]
    if len(values) >= 2 and values[-1] > values[0]:
        yield f"loss ends at {values[-1]:.4g}, above its start, {values[0]:.4g}"
    elif len(values) >= ROWS:
        start, lowest = _fall(values)
        if start - lowest <= HARDLY * abs(start):
            yield f"the loss has hardly fallen: {start:.4g} to {lowest:.4g}"


def _fall(values: np.ndarray) -> tuple[float, float]:
    """Return where the values of many rows fell from, and the lowest that they fell to.

    Losses differ from batch to batch, so the lowest is the least mean of a tenth of the rows. The
    start is the largest mean of any number of first rows, since the first alone may be low.

    >>> _fall(np.array([3.0, *[1.0, 2.0] * 20]))
    (3.0, 1.5)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        first_means = np.cumsum(values) / np.arange(1, len(values) + 1)
        lowest = min(float(part.mean()) for part in np.array_split(values, 10))
    return float(first_means.max()), lowest


def _zero_from(series: Series) -> int | None:
    """Return the step from which on all values are 0, if at least two are."""
    other = np.flatnonzero(series.values != 0)
    start = other[-1] + 1 if len(other) else 0
    return int(series.steps[start]) if len(series.steps) - start >= 2 else None


def _where(steps: np.ndarray, holds: np.ndarray) -> str:
    """Say at which steps it holds.

    >>> _where(np.arange(4), np.array([False, False, True, True]))
    'from step 2 on'
    >>> _where(np.arange(4), np.array([False, True, False, True]))
    'in 2 of 4 rows, first at step 1'
    """
    first, many = steps[holds][0], int(holds.sum())
    if many == 1:
        return f"at step {first}"
    if holds[np.argmax(holds) :].all():
        return f"from step {first} on"
    return f"in {many} of {len(steps)} rows, first at step {first}"
