"""A picture of the report as SVG, drawn without any package.

Points are in picture units, one decimal. The script of the page reads values back from them by
the attributes data-x0 ... data-log, so that the numbers stand in the file once.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from adaptive_optax.monitoring.report_panels import Panel

from adaptive_optax.logging.read_log import Series

WIDTH, HEIGHT = 440, 220
LEFT, RIGHT, TOP, BOTTOM = 54, 430, 10, 194  # the frame of the curves
FLOOR = BOTTOM - 10  # where the least value above 0 stands on a log axis that shows 0 too
COLOURS, DASHES = 8, ("", "5 3", "1.5 3")
MOST_MARKS = 40  # of values that are not finite, a line
_LARGEST = 1e300  # drawn no higher: differences stay finite


class Axis(NamedTuple):
    """How values become heights."""

    low: float  # at `bottom`; a logarithm on a log axis
    high: float  # at TOP
    log: bool
    bottom: float  # BOTTOM, or FLOOR where values of 0 stand below it

    def heights(self, values: np.ndarray) -> np.ndarray:
        """From the top, in picture units; NaN for what is not finite."""
        known = np.where(np.isfinite(values), np.clip(values, -_LARGEST, _LARGEST), np.nan)
        if self.log:
            positive = known > 0
            known = np.log10(np.where(positive, known, 1.0), where=positive, out=known.copy())
        share = (known - self.low) / (self.high - self.low)
        found = self.bottom - share * (self.bottom - TOP)
        return np.where(positive | np.isnan(known), found, BOTTOM) if self.log else found


def svg(panel: Panel, steps: tuple[int, int], points: int) -> str:
    """The picture.

    Args:
      panel: what it shows.
      steps: the first and the last step of the axis, which all pictures share.
      points: of each line at most; the least and the largest value of each stretch are kept.
    """
    axis = _axis(panel)
    first, last = steps
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" data-x0="{first}" data-x1="{last}" '
        f'data-y0="{axis.low!r}" data-y1="{axis.high!r}" data-bottom="{axis.bottom}" '
        f'data-log="{int(axis.log)}">'
    ]
    parts += _grid(axis, steps)
    if panel.guide is not None:
        y = float(axis.heights(np.array([panel.guide]))[0])
        parts.append(f'<line class="guide" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for number, line in enumerate(panel.lines):
        parts += _curve(line.series, axis, steps, points, number)
    parts.append(f'<line class="cursor" x1="0" x2="0" y1="{TOP}" y2="{BOTTOM}"/></svg>')
    return "".join(parts)


def look(number: int) -> tuple[str, str]:
    """The class and the dashes of a line, by its place in the picture."""
    return f"c{number % COLOURS}", DASHES[number // COLOURS % len(DASHES)]


def thinned(places: np.ndarray, values: np.ndarray, points: int) -> np.ndarray:
    """Indices of at most so many finite points: first, last, and each stretch's extremes.

    Args:
      places: rising, such as steps.
      values: as many; not finite ones are passed over.
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


def _curve(
    series: Series, axis: Axis, steps: tuple[int, int], points: int, number: int
) -> Iterator[str]:
    colour, dash = look(number)
    kept = thinned(series.steps, series.values, points)
    xs, ys = _across(series.steps[kept], steps), axis.heights(series.values[kept])
    missing = np.cumsum(~np.isfinite(series.values))[kept]
    breaks = np.diff(missing, prepend=-1) > 0  # no line over what is not finite
    words, alone = [], False
    for x, y, new in zip(xs, ys, breaks, strict=True):
        words.append(("h0" if alone and new else "") + ("M" if new else "L") + f"{x:.1f} {y:.1f}")
        alone = bool(new)
    style = f' stroke-dasharray="{dash}"' if dash else ""
    end = "h0" if alone else ""  # a dot
    yield f'<path class="curve {colour}"{style} d="{"".join(words)}{end}"/>'
    bad = _across(series.steps[~np.isfinite(series.values)], steps)
    for x in np.unique(np.round(bad / (RIGHT - LEFT) * MOST_MARKS)) / MOST_MARKS * (RIGHT - LEFT):
        yield f'<text class="bad" x="{x:.1f}" y="{TOP + 5}">&#215;</text>'


def _across(steps: np.ndarray, ends: tuple[int, int]) -> np.ndarray:
    first, last = ends
    return LEFT + (steps - first) / max(last - first, 1) * (RIGHT - LEFT)


def _axis(panel: Panel) -> Axis:
    every = [line.series.values for line in panel.lines]
    known = np.concatenate([values[np.isfinite(values)] for values in every])
    if panel.guide is not None:
        known = np.append(known, panel.guide)
    known = np.clip(known, -_LARGEST, _LARGEST)
    bottom = float(BOTTOM)
    if panel.log:
        if (known <= 0).any():
            bottom = float(FLOOR)
        known = np.log10(known[known > 0])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    room = (high - low) * 0.04 or (0.5 if panel.log else abs(high) * 0.1 or 1.0)
    return Axis(low - room, high + room, panel.log, bottom)


def _grid(axis: Axis, steps: tuple[int, int]) -> Iterator[str]:
    for value in _decades(axis) if axis.log else _round(axis.low, axis.high):
        y = float(axis.heights(np.array([value]))[0])
        if value == 0 or y < BOTTOM - 12 or axis.bottom == BOTTOM:  # else over the 0 below
            yield f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text class="value" x="{LEFT - 5}" y="{y + 4:.1f}">{_word(value)}</text>'
    for value in _round(*steps) if steps[1] > steps[0] else [float(steps[0])]:
        if value == int(value):
            x = float(_across(np.array([value]), steps)[0])
            yield f'<text class="step" x="{x:.1f}" y="{BOTTOM + 15}">{_short(int(value))}</text>'


def _round(low: float, high: float, many: int = 5) -> list[float]:
    """Round numbers from low to high, about so many.

    >>> _round(0, 1000)
    [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]
    """
    apart = (high - low) / many
    decade = 10.0 ** math.floor(math.log10(apart))
    apart = next(m for m in (1, 2, 5, 10) if m * decade >= apart * 0.999) * decade
    return [k * apart for k in range(math.ceil(low / apart), math.floor(high / apart) + 1)]


def _decades(axis: Axis) -> list[float]:
    """Values to mark on a log axis: few decades; within two of them 2 and 5 as well."""
    zero = [0.0] if axis.bottom != BOTTOM else []
    if axis.high - axis.low < 0.7 and abs(axis.high) < 290:
        return zero + _round(10**axis.low, 10**axis.high)
    powers = range(math.floor(axis.low), math.ceil(axis.high) + 1)
    apart = math.ceil(len(powers) / 7)
    many = (1, 2, 5) if axis.high - axis.low < 2 else (1,)
    marks = [float(f"{m}e{power}") for power in powers if power % apart == 0 for m in many]
    return zero + [v for v in marks if v and axis.low <= math.log10(v) <= axis.high]


def _word(value: float) -> str:
    """A mark's value in few characters.

    >>> [_word(value) for value in (0.25, 1e-07, 300.0, 0.0)]
    ['0.25', '1e-7', '300', '0']
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.5g}"
    digits, power = f"{value:.2e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def _short(number: int) -> str:
    """A step in few characters.

    >>> [_short(n) for n in (0, 950, 12_000, 1_500_000)]
    ['0', '950', '12k', '1.5M']
    """
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.6g}{letter}"
    return str(number)
