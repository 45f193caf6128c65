"""A finished optimizer as one line of JSON, and back bit for bit: data only."""

import base64
import json
from dataclasses import asdict, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.comparison.results import Row, Run


def as_text(row: Row, seconds: float) -> str:
    """A row before its test split is read, its parameters included.

    Args:
      row: of an optimizer that is finished.
      seconds: that its search took.

    >>> run = Run(0.1, 0, [1.0], [1.0, float("nan")], [0.5, 0.75], False, None)
    >>> row = Row("adam", 0.1, [0.1], [run], 0, 1.5, 2.5, 8, params=[np.ones(2, np.float32)])
    >>> found, seconds = from_text(as_text(row, 3.0))
    >>> found.runs == row.runs, found.params, seconds
    (False, [array([1., 1.], dtype=float32)], 3.0)
    >>> found.runs[0].validation_loss
    [1.0, nan]
    """
    kept = {each.name: getattr(row, each.name) for each in fields(row)}
    kept["runs"] = [asdict(run) for run in row.runs]
    kept["params"] = [_packed(np.asarray(x)) for x in jax.tree.leaves(row.params)]
    return json.dumps({"seconds": seconds, "row": kept})


def from_text(text: str) -> tuple[Row, float]:
    """The row, its parameters a list of leaves, and how long its search took.

    Raises:
      ValueError: where the text is not one of `as_text`.
    """
    try:
        kept = json.loads(text)
        row, seconds = kept["row"], float(kept["seconds"])
        row["runs"] = [Run(**run) for run in row["runs"]]
        row["params"] = [_unpacked(x) for x in row["params"]]
        return Row(**row), seconds
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"it holds no finished optimizer ({error!r:.200})") from error


def _packed(x: np.ndarray) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(x).tobytes()).decode()
    return {"dtype": str(x.dtype), "shape": list(x.shape), "data": data}


def _unpacked(kept: dict[str, Any]) -> np.ndarray:
    data = base64.b64decode(kept["data"], validate=True)
    return np.frombuffer(data, jnp.dtype(kept["dtype"])).reshape(kept["shape"]).copy()
