"""A curve in one line of text, in memory that does not grow."""

import math

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*#@"


class Sparkline:
    """The course of a value so far; of a long run each character is a mean.

    Args:
      width: characters at most, at least 2.

    >>> line = Sparkline(8)
    >>> for value in range(64):
    ...     line.add(value)
    >>> line.text()
    '▁▂▃▄▅▆▇█'
    """

    def __init__(self, width: int = 32):
        self._width = width
        self._points: list[tuple[float, int, bool]] = []  # sum, how many, all of them finite
        self._share = 1  # values a point

    def add(self, value: float) -> None:
        """Takes the next value; NaN and inf are shown as such."""
        finite = math.isfinite(value)
        if not self._points or self._points[-1][1] == self._share:
            if len(self._points) == 2 * self._width:
                pairs = zip(self._points[::2], self._points[1::2], strict=True)
                self._points = [_joined(a, b) for a, b in pairs]
                self._share *= 2
            self._points.append((0.0, 0, True))
        self._points[-1] = _joined(self._points[-1], (value if finite else 0.0, 1, finite))

    def text(self, blocks: str = BLOCKS) -> str:
        """The line, from the least value in `blocks` to the largest; "!" where one is not finite.

        Args:
          blocks: characters from low to high.
        """
        points = self._points
        if len(points) > self._width:
            last = [points[-1]] if len(points) % 2 else []
            pairs = zip(points[:-1:2], points[1::2], strict=not last)
            points = [_joined(a, b) for a, b in pairs] + last
        means = [total / count if finite else math.nan for total, count, finite in points]
        known = [mean for mean in means if math.isfinite(mean)]
        low, high = min(known, default=0.0), max(known, default=0.0)
        return "".join(_block(mean, low, high, blocks) for mean in means)


def _joined(a: tuple[float, int, bool], b: tuple[float, int, bool]) -> tuple[float, int, bool]:
    return a[0] + b[0], a[1] + b[1], a[2] and b[2]


def _block(value: float, low: float, high: float, blocks: str) -> str:
    if not math.isfinite(value):
        return "!"
    if high == low:
        return blocks[0]
    share = (value / 2 - low / 2) / (high / 2 - low / 2)  # halves: the difference stays finite
    return blocks[min(len(blocks) - 1, int(share * len(blocks)))]
