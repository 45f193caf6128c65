"""Check a row of a log: a step and its metrics, as plain numbers."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from adaptive_optax.logging.read_log import Number, Row

_TRACED = "a traced value cannot be written; inside jit call stream(step, metrics, sink)."


def checked_row(function: str, step: Any, metrics: Any) -> Row:
    """Return the step as an integer and the metrics as Python numbers.

    "step" among the metrics is left out, since each row has its own.

    Raises:
      TypeError, ValueError: for anything that is not a row.
    """
    number = checked_step(function, step)
    check_names(function, metrics)
    row = {name: _number(function, name, v) for name, v in metrics.items() if name != "step"}
    return number, row


def checked_step(function: str, step: Any, name: str = "step") -> int:
    """Return the step as a Python integer of at least 0."""
    if isinstance(step, jax.core.Tracer):
        raise TypeError(f"{function}({name}={step}): {_TRACED}")
    if isinstance(step, jax.Array | np.ndarray) and step.ndim == 0:
        step = np.asarray(step)[()]
    if isinstance(step, bool | np.bool_) or not isinstance(step, int | np.integer):
        raise TypeError(f"{function}({name}={step!r}): {name} must be an integer.")
    if step < 0:
        raise ValueError(f"{function}({name}={step}): {name} must be at least 0.")
    return int(step)


def check_names(function: str, metrics: Any) -> None:
    """Require a mapping from names that are not empty."""
    if not isinstance(metrics, Mapping):
        raise TypeError(
            f"{function}(metrics={type(metrics).__name__}): metrics must be a dict from names to "
            f'scalars, such as {{"loss": loss}}.'
        )
    for name in metrics:
        if not isinstance(name, str):
            raise TypeError(f"{function}: a metric's name must be a string, not {name!r}.")
        if not name:
            raise ValueError(f"{function}(metrics={{'': ...}}): a metric's name must not be empty.")


def _number(function: str, name: str, value: Any) -> Number:
    if isinstance(value, bool | int | float):  # numpy's float64 too
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{function}(metrics[{name!r}]={value}): {_TRACED}")
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        array = np.asarray(value)
        if array.ndim:
            raise ValueError(
                f"{function}(metrics[{name!r}]=array of shape {array.shape}): a metric must be a "
                f"scalar; take its mean, or give each entry a name."
            )
        if array.dtype.kind in "biu":
            return int(array)
        if jax.dtypes.issubdtype(array.dtype, np.floating):
            value = array[()] if array.dtype.itemsize > 4 else array.astype(np.float32)[()]
            return float(str(value))  # the shortest digits: float32's 0.1 is 0.1 in a file
    raise TypeError(
        f"{function}(metrics[{name!r}]={value!r}): a metric must be a real number or scalar array; "
        f"leave out what has no value."
    )
