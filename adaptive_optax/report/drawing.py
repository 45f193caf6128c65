"""Draw a picture of the report with matplotlib, as SVG that stands inside the page.

The file holds each number once: the page's script reads values back from the points of the curves,
by the limits in `Picture.data`. Text and grid take their colours from the page's style.
"""

import io
import re
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib import style, ticker
from matplotlib.figure import Figure

from adaptive_optax.report.panels import Panel

WIDTH, HEIGHT = 440, 220  # user units of the SVG
LEFT, RIGHT, TOP, BOTTOM = 64, 430, 10, 180  # the frame of the curves
# Okabe and Ito's colours, which colour-blind readers can tell apart; brown in place of their
# yellow, which is hard to see on white. Black is the colour of the page's text.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
DASHES = ((), (5, 3), (1.5, 3))
MOST_MARKS = 40  # of values that are not finite
LARGEST = 1e150  # drawn no higher: limits and differences stay finite

_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "adaptive_optax",
    "path.simplify": False,  # `thinned` has done it
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.edgecolor": "none",
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    **dict.fromkeys(("xtick.bottom", "ytick.left", "ytick.minor.left"), False),
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


class Picture(NamedTuple):
    """What stands inside an svg element, and what the script needs to read values back."""

    body: Markup
    data: dict[str, float]  # limits x0, x1, y0, y1 (of logarithms if log); log; zero


def draw(panel: Panel, steps: tuple[int, int], points: int) -> Picture:
    """Draw a picture.

    Args:
      panel: what it shows.
      steps: the first and the last step of the axis, which all pictures share.
      points: of each line at most; the least and the largest value of each stretch are kept.
    """
    low, high, zero = _limits(panel)
    x0, x1 = steps if steps[1] > steps[0] else (steps[0] - 0.5, steps[0] + 0.5)
    with style.context(_STYLE, after_reset=True):
        figure = Figure((WIDTH / 72, HEIGHT / 72))
        frame = (LEFT, HEIGHT - BOTTOM, RIGHT - LEFT, BOTTOM - TOP)
        axes = figure.add_axes(tuple(np.divide(frame, (WIDTH, HEIGHT, WIDTH, HEIGHT))))
        locator: ticker.Locator = ticker.MaxNLocator(6)
        ends = (low, high)
        if panel.log:
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(ticker.NullLocator())
            ends = (10**low, 10**high)
            locator = ticker.LogLocator(subs=(1, 2, 5) if high - low < 2 else (1,), numticks=7)
        marks = np.asarray(locator.tick_values(*ends))
        if zero:
            clear = 10 ** (low + 0.08 * (high - low))  # of the mark of 0
            marks = np.append(zero, marks[marks > clear])
        axes.set_yticks(marks)
        axes.set(xlim=(x0, x1), ylim=ends)
        axes.yaxis.set_major_formatter(lambda v, _: "0" if v == zero else _short(v))
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        axes.set(xlabel="step", ylabel=panel.axis)
        axes.grid(axis="y", gid="grid", clip_on=False)
        if panel.guide is not None:
            axes.axhline(panel.guide, gid="guide", clip_on=False)
        bad = np.zeros(0)
        for number, line in enumerate(panel.lines):
            series = line.series
            kept = thinned(series.steps, series.values, points)
            missing = np.cumsum(~np.isfinite(series.values))[kept]
            # Each stretch begins with a gap and its first point twice: one point alone is a dot.
            begin = np.flatnonzero(np.diff(missing, prepend=-1))
            x = np.insert(series.steps[kept].astype(np.float64), begin, np.nan)
            y = np.clip(series.values[kept], -LARGEST, LARGEST)
            if panel.log:
                y = np.where(y > 0, np.maximum(y, 1 / LARGEST), zero)
            y = np.insert(y, begin, np.nan)
            twice = np.flatnonzero(np.isnan(x)) + 1
            colour, dash = look(number)
            axes.plot(
                *(np.insert(each, twice, each[twice]) for each in (x, y)),
                color=colour,
                linestyle=(0, dash) if dash else "-",
                gid="curve",
                clip_on=False,
            )
            bad = np.append(bad, series.steps[~np.isfinite(series.values)])
        for place in np.unique(np.round((bad - x0) / (x1 - x0) * MOST_MARKS)) / MOST_MARKS:
            axes.text(place, 1, "\N{MULTIPLICATION SIGN}", transform=axes.transAxes, gid="bad")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=_NO_METADATA)
    data = {"x0": x0, "x1": x1, "y0": low, "y1": high, "log": int(panel.log), "zero": zero}
    return Picture(_inside(text.getvalue()), data)


def look(number: int) -> tuple[str, tuple[float, ...]]:
    """Return the colour and the dashes of a line, by its place in the picture."""
    return COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]


def thinned(places: np.ndarray, values: np.ndarray, points: int) -> np.ndarray:
    """Return indices of at most `points` finite points: first, last, each stretch's extremes.

    Args:
      places: rising, such as steps.
      values: as many; values that are not finite are left out.
      points: at least 4.

    >>> thinned(np.arange(100), np.where(np.arange(100) == 42, 9.0, 0.0), 4).tolist()
    [0, 42, 99]
    """
    known = np.flatnonzero(np.isfinite(values))
    if len(known) <= points:
        return known
    stretches = (points - 2) // 2
    begin, end = float(places[known[0]]), float(places[known[-1]])
    share = (places[known] - begin) / (end - begin)
    stretch = np.minimum((share * stretches).astype(np.int64), stretches - 1)
    starts = np.flatnonzero(np.diff(stretch, prepend=-1))
    kept = [known[0], known[-1]]
    for part in np.split(known, starts[1:]):
        kept += [part[np.argmin(values[part])], part[np.argmax(values[part])]]
    return np.unique(kept)


def _limits(panel: Panel) -> tuple[float, float, float]:
    """Return the limits of the y axis, as logarithms if it is one, and where 0 stands on it.

    A log axis shows values up to 0 at its lower end, where the third number is their place. It is
    0.0 if there is none.
    """
    guide = [] if panel.guide is None else [np.array([panel.guide])]
    known = np.concatenate([line.series.values for line in panel.lines] + guide)
    known = np.clip(known[np.isfinite(known)], -LARGEST, LARGEST)
    has_zero = panel.log and (known <= 0).any()
    if panel.log:
        known = np.log10(np.maximum(known[known > 0], 1 / LARGEST))
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    room = (high - low) * 0.04 or (0.5 if panel.log else abs(high) * 0.1 or 1.0)
    low -= 3 * room if has_zero else room
    return low, high + room, 10**low if has_zero else 0.0


def _inside(svg: str) -> Markup:
    """Return what stands inside matplotlib's svg element, small and without ids.

    Several pictures stand in one page, so ids would come twice; ours become classes.
    """
    svg = svg[svg.index("</defs>") + len("</defs>") : svg.rindex("</svg>")]
    svg = re.sub(r' id="(curve|grid|guide|bad)"', r' class="\1"', svg)
    svg = re.sub(r' id="[^"]*"| transform="rotate\(-0 [^"]*"| font-family: [^;"]*;', "", svg)
    svg = re.sub(r'="[^"]*"', _one_decimal, svg)  # in attributes; texts stay as they are
    svg = svg.replace("#000000", "var(--ink)").replace("<g/>", "")
    return Markup(re.sub(r"\s+", " ", svg))


def _one_decimal(attribute: re.Match[str]) -> str:
    return re.sub(r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}", attribute[0])


def _short(value: float) -> str:
    """Return a tick's value in few characters.

    >>> [_short(value) for value in (0.25, 1e-07, 300.0, 0.0)]
    ['0.25', '1e-7', '300', '0']
    """
    digits, _, power = f"{value:.5g}".partition("e")
    return f"{digits}e{int(power)}" if power else digits
