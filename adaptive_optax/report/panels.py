"""Which lines stand together in which picture of the report."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from adaptive_optax.monitoring.report_runs import Run

from adaptive_optax.logging.read_log import Series

MOST_LINES = 24  # in a picture: eight colours in three dashes
MOST_PANELS = 60
IN_TABLE = ("skipped", "clipped", "step")  # told in the table and the notes


class Line(NamedTuple):
    """A series and its name in the legend."""

    label: str
    series: Series


class Panel(NamedTuple):
    """A picture."""

    title: str
    lines: list[Line]
    log: bool
    guide: float | None = None  # a value to compare with
    left_out: int = 0  # lines beyond MOST_LINES


class _Kind(NamedTuple):
    title: str
    log: bool | None  # None: where the values spread over three decades
    guide: float | None = None


_KINDS = {
    "loss": _Kind("Loss", None),
    "learning_rate": _Kind("Learning rate", True),
    "gradient_norm": _Kind("Gradient norm", True),
    "update_norm": _Kind("Update norm", True),
    "parameter_norm": _Kind("Parameter norm", True),
    "update_ratio": _Kind("Update ratio", True, 1e-3),
    "cosine": _Kind("Cosine", False, 0.0),
    "gradient_noise": _Kind("Gradient noise", False),
}


def panels(runs: Sequence[Run]) -> tuple[list[Panel], int]:
    """The pictures in order, and how many there was no room for.

    Of one run a picture shows the total and the groups of a metric. Of several it shows their
    totals; the groups of each run have pictures of their own, below.
    """
    seen = dict.fromkeys(name.partition("/")[0] for run in runs for name in run.series)
    metrics = [name for name in _KINDS if name in seen]
    metrics += [name for name in seen if name not in _KINDS and name not in IN_TABLE]
    made = []
    if len(runs) == 1:
        made += [_panel(metric, "", _lines(runs[0], metric, total=True)) for metric in metrics]
    else:
        for metric in metrics:
            totals = [Line(run.name, run.series[metric]) for run in runs if metric in run.series]
            made.append(_panel(metric, "", totals))
        for run in runs:
            made += [_panel(m, f", groups of {run.name}", _lines(run, m, False)) for m in metrics]
    made = [panel for panel in made if panel.lines]
    return made[:MOST_PANELS], max(0, len(made) - MOST_PANELS)


def _lines(run: Run, metric: str, total: bool) -> list[Line]:
    """The metric's total, if asked for, and its groups."""
    found = [Line("all", run.series[metric])] if total and metric in run.series else []
    begin = f"{metric}/"
    return found + [Line(n[len(begin) :], s) for n, s in run.series.items() if n.startswith(begin)]


def _panel(metric: str, suffix: str, lines: list[Line]) -> Panel:
    words = metric.replace("_", " ")
    kind = _KINDS.get(metric, _Kind(words[:1].upper() + words[1:], None))
    log = _spread(lines) if kind.log is None else kind.log
    rest = max(0, len(lines) - MOST_LINES)
    return Panel(kind.title + suffix, lines[:MOST_LINES], log, kind.guide, rest)


def _spread(lines: Sequence[Line]) -> bool:
    """Whether all finite values are above 0 and spread over three decades."""
    values = [line.series.values[np.isfinite(line.series.values)] for line in lines]
    known = np.concatenate(values) if values else np.zeros(0)
    return len(known) > 0 and known.min() > 0 and known.max() / 1e3 > known.min()
