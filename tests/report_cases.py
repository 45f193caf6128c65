"""Runs for the tests of the report, by their values."""

import numpy as np

from adaptive_optax.logging.read_log import Series
from adaptive_optax.report.runs import known_run

NAN, INF = float("nan"), float("inf")


def series(*values, steps=None):
    values = np.array(values, np.float64)
    return Series(np.arange(len(values)) if steps is None else np.array(steps), values)


def run(name="run", **metrics):
    """A run of metrics by their values; "__" in a name stands for "/"."""
    found = {n.replace("__", "/"): series(*values) for n, values in metrics.items()}
    return known_run(name, found)
