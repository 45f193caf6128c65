"""Which lines stand together in which picture of the report."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adaptive_optax.logging.read_log import Series
from adaptive_optax.report.runs import Run

MOST_LINES = 24  # in a picture: eight colours in three dashes
MOST_PANELS = 60
IN_TABLE = ("skipped", "clipped", "step")  # shown in the table and the notes


class Line(NamedTuple):
    """A series and its name in the legend."""

    label: str
    series: Series


class Panel(NamedTuple):
    """A picture."""

    title: str
    lines: list[Line]
    log: bool
    axis: str = "value"  # the label of the y axis, plain ASCII
    guide: float | None = None  # a value to compare with
    left_out: int = 0  # lines beyond MOST_LINES


# Metric: title, label of the y axis, log scale (None: if values span three decades), guide.
_KINDS: dict[str, tuple[str, str, bool | None, float | None]] = {
    "loss": ("Loss", "loss", None, None),
    "learning_rate": ("Learning rate", "learning rate", True, None),
    "gradient_norm": ("Gradient norm", "L2 norm", True, None),
    "update_norm": ("Update norm", "L2 norm", True, None),
    "parameter_norm": ("Parameter norm", "L2 norm", True, None),
    "update_ratio": ("Update ratio", "|update| / |parameters|", True, 1e-3),
    "cosine": ("Cosine", "cos(update, -gradient)", False, 0.0),
    "gradient_noise": ("Gradient noise", "share of |gradient|^2", False, None),
}


def panels(runs: Sequence[Run]) -> tuple[list[Panel], int]:
    """Return the pictures in order, and how many there was no room for.

    Of one run, a picture shows the total and the groups of a metric. Of several runs it shows their
    totals; the groups of each run have pictures of their own, below.
    """
    seen = dict.fromkeys(name.partition("/")[0] for run in runs for name in run.series)
    metrics = [name for name in _KINDS if name in seen]
    metrics += [name for name in seen if name not in _KINDS and name not in IN_TABLE]
    drawn: list[tuple[str, str, list[Line]]] = []  # metric, end of the title, lines
    for metric in metrics:
        totals = [Line(run.name, run.series[metric]) for run in runs if metric in run.series]
        if len(runs) == 1:
            totals = [Line("all", line.series) for line in totals] + _groups(runs[0], metric)
        drawn.append((metric, "", totals))
    if len(runs) > 1:
        drawn += [(m, f", groups of {run.name}", _groups(run, m)) for run in runs for m in metrics]
    made = []
    for metric, suffix, lines in filter(lambda each: each[2], drawn):
        words = metric.replace("_", " ")
        other = (words[:1].upper() + words[1:], "value", None, None)
        title, axis, log, guide = _KINDS.get(metric, other)
        if log is None:
            known = np.concatenate([line.series.values for line in lines])
            known = known[np.isfinite(known)]
            log = len(known) > 0 and known.min() > 0 and known.max() / 1e3 > known.min()
        rest = max(0, len(lines) - MOST_LINES)
        made.append(Panel(title + suffix, lines[:MOST_LINES], log, axis, guide, rest))
    return made[:MOST_PANELS], max(0, len(made) - MOST_PANELS)


def _groups(run: Run, metric: str) -> list[Line]:
    begin = f"{metric}/"
    return [Line(n.removeprefix(begin), s) for n, s in run.series.items() if n.startswith(begin)]
