"""What curves of loss say: where training blows up, and which rates to take. NumPy, no jax."""

from typing import NamedTuple

import numpy as np

SHARE = 0.15  # of the best descent that a rate on the plateau may miss


class Choice(NamedTuple):
    """Rates read off smoothed losses."""

    best: float  # the lowest smoothed loss
    low: float  # the ends of the plateau around it
    high: float
    suggestion: float


def last_part(steps: int) -> range:
    """The steps that the mean at a run's end is over: the last fifth of them."""
    return range(steps - max(1, steps // 5), steps)


def end_losses(curves: np.ndarray) -> np.ndarray:
    """The mean of each run's last part, (rates, steps) to (rates,); inf where it was lost."""
    return np.mean(curves[:, last_part(curves.shape[1])], axis=1)


def limit_above(start: np.ndarray, lowest: float) -> float:
    """The loss from which on a run counts as diverged.

    As far above the loss at the start as the best run got below it, or as losses vary from batch
    to batch where that is more. It neither changes with the scale of the loss nor with its zero.

    Args:
      start: losses at the first parameters, a batch each.
      lowest: loss of the best run.

    >>> limit_above(np.array([3.0]), lowest=1.0)
    5.0
    """
    first = float(np.mean(start))
    return first + max(first - lowest, float(np.std(start)), 0.0)


def clipped(losses: np.ndarray, limit: float) -> np.ndarray:
    """The losses, those above the limit or not finite at the limit."""
    return np.where(losses < limit, losses, limit)  # NaN compares as False


def smooth(losses: np.ndarray, reach: int = 1) -> np.ndarray:
    """Means over the neighbours up to `reach` away, with weights that fall in a line; finite in.

    >>> smooth(np.array([0.0, 4.0, 0.0, 0.0])).tolist()
    [1.0, 2.0, 1.0, 0.0]
    """
    weights = reach + 1.0 - np.abs(np.arange(-reach, reach + 1))
    padded = np.pad(losses, reach, mode="edge")
    return np.convolve(padded, weights / weights.sum(), mode="valid")


def plateau(rates: np.ndarray, smoothed: np.ndarray, first: float) -> tuple[float, float]:
    """The rates around the best between which a run does nearly as well as the best.

    That is, it gets at least 1 - SHARE of the best run's descent; and where losses are above 0, at
    least half of it in orders of magnitude, which counts where the loss falls towards 0. Where
    the smoothed loss crosses that height is interpolated in the logarithm of the rate.

    >>> rates, losses = np.array([0.01, 0.1, 1.0, 10.0]), np.array([4.0, 2.0, 0.0, 0.8])
    >>> [round(rate, 3) for rate in plateau(rates, losses - 1, first=3.0)]
    [0.501, 5.623]
    """
    logs, best = np.log(rates), int(np.argmin(smoothed))
    lowest = smoothed[best]
    height = lowest + SHARE * max(first - lowest, 0.0)
    if lowest >= 0:
        height = max(lowest, min(height, np.sqrt(lowest * max(first, 0.0))))

    def edge(step: int) -> float:
        at = best
        while 0 <= at + step < len(smoothed) and smoothed[at + step] <= height:
            at += step
        if not 0 <= at + step < len(smoothed):
            return float(rates[at])
        part = (height - smoothed[at]) / (smoothed[at + step] - smoothed[at])
        return float(np.exp(logs[at] + part * (logs[at + step] - logs[at])))

    return edge(-1), edge(1)


def first_diverged(ends: np.ndarray, limit: float) -> int | None:
    """The index of the least rate above the best one whose run diverged; None where all hold."""
    best = int(np.argmin(clipped(ends, limit)))
    above = np.flatnonzero(~(ends[best:] <= limit))
    return best + int(above[0]) if len(above) else None


def rise(losses: np.ndarray, limit: float) -> int | None:
    """Where the last rise of one curve above the limit began; None where it ends below it.

    >>> rise(np.array([3.0, 1.0, 2.0, 0.5, 0.6, 4.0, 9.0]), limit=3.0)
    3
    """
    if losses[-1] <= limit:
        return None
    below = np.flatnonzero(losses <= limit)
    at = int(below[-1]) if len(below) else 0
    while at > 0 and losses[at - 1] < losses[at]:
        at -= 1
    return at


def choose(rates: np.ndarray, smoothed: np.ndarray, first: float, holds: float) -> Choice:
    """The choice from a grid: the plateau below the edge of divergence, and its middle.

    Args:
      rates: increasing, (n,).
      smoothed: losses, (n,).
      first: loss at the start.
      holds: the largest rate known not to diverge.
    """
    low, high = plateau(rates, smoothed, first)
    high = max(low, min(high, holds))
    best = float(rates[int(np.argmin(smoothed))])
    return Choice(best, low, high, float(np.sqrt(low * high)))


def choose_in_sweep(rates: np.ndarray, smoothed: np.ndarray, first: float, edge: float) -> Choice:
    """The choice from a sweep: a fifth of the rate with the lowest loss.

    That rate itself is too large: there what going on gains and what going too fast loses are in
    balance. fastai takes a tenth; a fifth came nearer on digits. The range begins where the
    first tenth of the descent is done.
    """
    at = int(np.argmin(smoothed))
    best = min(float(rates[at]), edge)
    height = smoothed[at] + 0.9 * max(first - smoothed[at], 0.0)
    above = np.flatnonzero(smoothed[: at + 1] > height)
    low = float(rates[above[-1]]) if len(above) else float(rates[0])
    suggestion = max(best / 5, float(rates[0]))
    return Choice(best, min(low, suggestion), max(best / 2, suggestion), suggestion)
