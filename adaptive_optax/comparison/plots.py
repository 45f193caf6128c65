"""PNG curves: losses, metric and learning rate over the run, a panel a family of optimizers.

Few optimizers share one panel. Many get small multiples: in each panel one family stands out, its
plain form solid and its wrapped ones dashed, before all others in grey. Colours are those of Okabe
and Ito, which most colour-blind people tell apart.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptive_optax.comparison.entries import family
from adaptive_optax.comparison.results import Results, Row

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
TOGETHER = len(COLOURS)  # as many lines go in one panel


def draw(found: Results, out: Path) -> list[Path]:
    """Writes the pictures to a folder that exists; none where no optimizer was finished."""
    if not found.rows:
        return []
    metric = found.config["metric"]
    word = metric.replace(" ", "_")
    curves = {
        "loss": ("training loss, mean of each epoch", _of("train_loss"), True),
        "validation_loss": ("validation loss", _of("validation_loss"), True),
        word: (
            f"validation {metric}",
            _of("validation_metric"),
            not found.config["larger_is_better"],
        ),
        "learning_rate": ("learning rate", _rates, True),
    }
    written = []
    for name, (title, values, logarithmic) in curves.items():
        figure = _figure(found, title, values, logarithmic)
        written.append(out / f"{name}.png")
        figure.savefig(written[-1], dpi=110)
    return written


def _figure(found: Results, title: str, values: Any, logarithmic: bool) -> Figure:
    groups = _groups(found.rows)
    columns = min(len(groups), 4)
    lines = -(-len(groups) // columns)
    size = (9, 5.4) if len(groups) == 1 else (3.1 * columns, 2.5 * lines + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for at, (panel, rows) in enumerate(zip(panels, groups, strict=False)):
        for row in found.rows if len(groups) > 1 else []:
            x, y = values(found, row)
            panel.plot(x, _mean(y), color="0.85", linewidth=0.7, zorder=1)
        for row, colour in zip(rows, itertools.cycle(COLOURS), strict=False):
            x, y = values(found, row)
            _line(panel, x, y, row, colour)
        panel.grid(True, color="0.93", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelbottom=at + columns >= len(groups))
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
        panel.legend(fontsize=8, frameon=False, **(above if len(groups) > 1 else {}))
    for panel in panels[len(groups) :]:
        panel.set_visible(False)
    figure.suptitle(f"{found.config['task']}: {title}", fontsize=12)
    figure.supxlabel("step", fontsize=10)
    means = np.concatenate([_mean(values(found, row)[1]) for row in found.rows])
    _frame(panels[: len(groups)], means, logarithmic)
    return figure


def _line(panel: Axes, x: np.ndarray, y: np.ndarray, row: Row, colour: str) -> None:
    """The mean over seeds, and between their least and largest a band."""
    style = "--" if "(" in row.name else "-"
    label = f"{row.name}, {row.learning_rate:g}"
    panel.plot(x, _mean(y), color=colour, linestyle=style, linewidth=1.6, label=label, zorder=3)
    if len(y) > 1:
        panel.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.15, linewidth=0, zorder=2)


def _frame(panels: Any, every_mean: np.ndarray, logarithmic: bool) -> None:
    """One scale and one frame for all; the worst of the first epochs leave it."""
    kept = every_mean[np.isfinite(every_mean)]
    if logarithmic:
        kept = kept[kept > 0]
    if not len(kept):
        return
    if logarithmic:
        low, high = np.min(kept) / 1.3, np.quantile(kept, 0.99) * 1.3
    else:
        low, high = np.quantile(kept, 0.1), np.max(kept)
        room = 0.04 * max(high - low, 1e-6)
        low, high = low - room, high + room
    for panel in panels:
        panel.set_yscale("log" if logarithmic else "linear")
        panel.set_ylim(low, high)


def _groups(rows: list[Row]) -> list[list[Row]]:
    """One group of few rows, or a group a family, in the order of the table."""
    if len(rows) <= TOGETHER:
        return [rows]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(family(row.name), []).append(row)
    return [sorted(group, key=lambda row: len(row.name)) for group in groups.values()]


def _of(what: str) -> Any:
    """Steps, and values (seeds, evaluations), of a history."""

    def values(found, row):
        y = np.array([getattr(run, what) for run in row.chosen], float)
        first = 1 if what == "train_loss" else 0
        x = found.config["evaluate_every"] * (first + np.arange(y.shape[1]))
        return np.minimum(x, found.config["steps"]), y

    return values


def _rates(found: Results, row: Row) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(row.rates_applied)), np.array([row.rates_applied], float)


def _mean(y: np.ndarray) -> np.ndarray:
    return np.mean(y, axis=0)
