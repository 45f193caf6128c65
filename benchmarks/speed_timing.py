"""How the speed benchmarks take times: all contestants in turns, in one process, as ratios."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

Timer = Callable[[], float]  # does it once, and says how many seconds it took
Taken = dict[str, np.ndarray]  # seconds of each contestant, one a round


class Ratio(NamedTuple):
    """Quartiles of a ratio of times."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        """Such as "1.02 (1.01 to 1.04)"."""
        return f"{self.middle:.2f} ({self.low:.2f} to {self.high:.2f})"


def interleaved(timers: Mapping[str, Timer], rounds: int, *, warm: int = 1) -> Taken:
    """The seconds of each contestant in each round.

    All take turns within a round, and every round begins with another, so that what else the
    machine does falls on all alike.

    Args:
      timers: what is timed, by name.
      rounds: at least 1.
      warm: rounds before them that do not count.
    """
    names = list(timers)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(warm + rounds):
        start = i % len(names)
        for name in names[start:] + names[:start]:
            took = timers[name]()
            if i >= warm:
                seconds[name].append(took)
    return {name: np.array(took) for name, took in seconds.items()}


def over(taken: Taken, name: str, rival: str) -> Ratio:
    """The quartiles of one contestant's seconds over another's of the same round."""
    return Ratio(*(float(x) for x in np.percentile(taken[name] / taken[rival], [25, 50, 75])))


def over_all(taken: Taken, rival: str) -> dict[str, Ratio]:
    """The same of every contestant."""
    return {name: over(taken, name, rival) for name in taken}


def middle(taken: Taken, name: str) -> float:
    """The median of one contestant's seconds."""
    return float(np.median(taken[name]))


def seconds_of(function: Callable, *args: Any) -> tuple[float, Any]:
    """How long a call took until its arrays were there, and what it gave."""
    start = time.perf_counter()
    found = jax.block_until_ready(function(*args))
    return time.perf_counter() - start, found
