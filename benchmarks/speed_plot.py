"""The plot of the speed benchmark, from its numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Blue, vermilion and green of Okabe and Ito, which most colour-blind people tell apart.
OURS, OPTAX, KEPT = "#0072B2", "#D55E00", "#009E73"
GREY = "0.55"


def plot(found: Mapping[str, Any], path: Path) -> None:
    """Four panels: steps, what happens once, growth with the leaves, formats."""
    figure = Figure(figsize=(12.5, 10.5), layout="constrained")
    steps, once, growth, formats = figure.subplots(2, 2).flat
    if "step" in found or "step kept" in found:
        _steps(steps, found.get("step", {}), found.get("step kept", {}))
    if "trace" in found or "eager" in found:
        _once(once, found.get("trace", {}), found.get("eager", {}))
    if "leaves" in found:
        _growth(growth, found["leaves"])
    if "formats" in found:
        _formats(formats, found)
    for axes in (steps, once, growth, formats):
        axes.set_visible(axes.has_data())
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def _dots(
    axes: Axes, names: Sequence[str], series: Mapping[str, tuple[str, Sequence[Any]]]
) -> None:
    """A row a name; of each series the median as a dot and the middle half as a line."""
    series = {k: v for k, v in series.items() if any(row is not None for row in v[1])}
    count = len(series)
    for j, (label, (color, rows)) in enumerate(series.items()):
        known = [(i, row) for i, row in enumerate(rows) if row is not None]
        places = [i + 0.22 * (j - (count - 1) / 2) for i, _ in known]
        axes.hlines(places, [r[0] for _, r in known], [r[2] for _, r in known], color, lw=1.6)
        axes.plot([r[1] for _, r in known], places, "o", color=color, ms=4.5, label=label)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.9", lw=0.8)
    axes.set_axisbelow(True)
    axes.axvline(1, color=GREY, lw=1)


def _log(axes: Axes, ticks: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.minorticks_off()


def _steps(axes: Axes, plain: dict[str, Any], kept: dict[str, Any]) -> None:
    names = list(plain | kept)
    series = {
        "optax's": (GREY, [plain.get(n, {}).get("ratio") for n in names]),
        "optax's, memory kept": (OURS, [kept.get(n, {}).get("ratio") for n in names]),
        "the memory floor": (KEPT, [(kept.get(n) or plain[n])["floor"] for n in names]),
    }
    _dots(axes, names, series)
    _log(axes, [0.25, 0.5, 1, 2, 4])
    axes.set_title("A jitted step of 8.4 million parameters", loc="left", fontsize=11)
    axes.set_xlabel("our time over ..., median and middle half")
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def _once(axes: Axes, trace: dict[str, Any], eager: dict[str, Any]) -> None:
    names = list(trace | eager)
    series = {
        "trace, 1,000 leaves": (OURS, [trace.get(n, {}).get("trace") for n in names]),
        "lower, 1,000 leaves": (KEPT, [trace.get(n, {}).get("lower") for n in names]),
        "eager, 100 leaves": (OPTAX, [eager.get(n, {}).get("ratio") for n in names]),
    }
    _dots(axes, names, series)
    _log(axes, [0.03, 0.1, 0.3, 1])
    axes.set_title("Without and before a compiled step", loc="left", fontsize=11)
    axes.set_xlabel("our time over optax's")
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _growth(axes: Axes, counts: Mapping[str, Any]) -> None:
    leaves = [int(count) for count in counts]
    for stage, style in (("compile", "-"), ("trace", "--"), ("lower", "-."), ("step", ":")):
        for who, color in (("ours", OURS), ("optax", OPTAX)):
            seconds = [counts[count][stage][who] for count in counts]
            axes.loglog(leaves, seconds, style, color=color, marker="o", ms=3.5, lw=1.5)
        axes.annotate(
            stage, (leaves[-1], seconds[-1]), (6, -3), textcoords="offset points", fontsize=9
        )
    for who, color in (("ours", OURS), ("optax", OPTAX)):
        axes.plot([], [], color=color, label=who)
    axes.margins(x=0.12)
    axes.grid(color="0.9", lw=0.8)
    axes.set_title("adamw: seconds against the number of leaves", loc="left", fontsize=11)
    axes.set_xlabel("leaves, of ten shapes")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def _formats(axes: Axes, found: Mapping[str, Any]) -> None:
    plain, kept = found["formats"], found.get("formats kept", {})
    alone, title = "update, many leaves", "in place, many leaves"
    names = list(plain[title])[1:]
    training = found.get("training kept", found.get("training", {})).get("training step", {})
    series = {
        "in place": (GREY, [plain[title][n] for n in names]),
        "in place, memory kept": (OURS, [kept.get(title, {}).get(n) for n in names]),
        "update alone": (OPTAX, [plain[alone][n] for n in names]),
        "whole training step": (KEPT, [training.get(n) for n in names]),
    }
    _dots(axes, names, series)
    _log(axes, [1, 2, 4, 8])
    axes.set_title("Formats of stored, 16.8 million parameters", loc="left", fontsize=11)
    axes.set_xlabel("time over that of optax.adamw in float32")
    axes.legend(frameon=False, fontsize=8)
