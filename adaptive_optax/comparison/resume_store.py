"""Optimizers that are finished, kept one by one as they are, for a comparison that is gone on with.

    <out>/finished/configuration.json       what is compared, with the data's SHA-256 and versions
    <out>/finished/000_adam.json            an optimizer: its runs, and the chosen ones' parameters

Each file is whole or not there, and tells when it was damaged. The test split is not in them.
"""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.checkpoint.checksummed_file import DamagedError, read_signed, write_signed
from adaptive_optax.comparison import resume_store
from adaptive_optax.comparison.results import Row, Run
from adaptive_optax.comparison.tasks.task import Task

FOLDER, ASIDE = "finished", "finished.old"
CONFIGURATION = "configuration.json"


class Finished:
    """The folder of finished optimizers of one comparison.

    Args:
      out: the comparison's folder, which exists; None keeps nothing.
      names: the optimizers, in their order.
      configuration: all that the results depend on, as JSON has it.
      resume: whether to take up what is there; else it is set aside, as `finished.old`.

    Raises:
      ValueError: where what is there is of another configuration, or damaged.
      OSError: where the folder cannot be read or written.
    """

    def __init__(
        self, out: Path | None, names: list[str], configuration: dict[str, Any], resume: bool
    ):
        self._folder = None if out is None else out / FOLDER
        self._names = names
        self.rows: dict[str, Row] = {}  # taken up; parameters are lists of leaves
        self.seconds = 0.0  # that these took
        if self._folder is None:
            return
        if resume:
            self._take_up(configuration)
        elif self._folder.exists():
            shutil.rmtree(self._folder.with_name(ASIDE), ignore_errors=True)
            self._folder.rename(self._folder.with_name(ASIDE))
        self._folder.mkdir(exist_ok=True)
        write_signed(self._folder / CONFIGURATION, json.dumps(configuration))

    def add(self, row: Row, seconds: float) -> None:
        """Keeps an optimizer that took so long.

        Raises:
          OSError: where it cannot be written, such as on a full disk.
        """
        if self._folder is None:
            return
        path = self._path(row.name)
        try:
            write_signed(path, resume_store.as_text(row, seconds))
        except OSError as error:
            raise OSError(
                f"compare(out={str(path.parent.parent)!r}): cannot write {path} "
                f"({error.strerror or error}); what was finished before is kept: make room, and go "
                f"on with resume."
            ) from error

    def taken_up(self, name: str, one: Any) -> Row:
        """The row of that optimizer, its parameters in a tree as `one`, the parameters of one run.

        Raises:
          ValueError: where they are of another model.
        """
        row = self.rows[name]
        leaves, treedef = jax.tree.flatten(one)
        if [x.shape[2:] for x in row.params] != [np.shape(x) for x in leaves]:
            raise _damaged(self._path(name), "its parameters are those of another model")
        row.params = jax.tree.unflatten(treedef, row.params)
        return row

    def _take_up(self, configuration: dict[str, Any]) -> None:
        """Reads what is there; nothing is there before the first start."""
        assert self._folder is not None
        kept = self._folder / CONFIGURATION
        if not kept.exists() and not any(self._folder.glob("*.json")):
            return
        found = _read(kept, json.loads)
        here = json.loads(json.dumps(configuration))
        if found != here:
            raise ValueError(
                f"compare(resume=True): {self._folder} is of another configuration: "
                f"{'; '.join(_differences(found, here))}. Give the words that it was begun with, "
                f"or leave resume out to begin anew."
            )
        for name in self._names:
            path = self._path(name)
            if path.exists():
                row, seconds = _read(path, resume_store.from_text)
                if row.name != name:
                    raise _damaged(path, f"it is of {row.name!r}, and not of {name!r}")
                self.rows[name] = row
                self.seconds += seconds

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        plain = re.sub(r"\W+", "_", name).strip("_")[:60]
        return self._folder / f"{self._names.index(name):03}_{plain}.json"


def data_digest(task: Task) -> str:
    """The SHA-256 of the examples that an optimizer is trained and chosen on.

    The test split is not among them: it is read when all are trained, at one time for all.

    >>> from adaptive_optax.comparison.tasks.regression import regression
    >>> data_digest(regression()) == data_digest(regression())
    True
    """
    found = hashlib.sha256()
    for split in (task.train, task.validation):
        for x in jax.tree.leaves((split.inputs, split.targets)):
            array = np.asarray(x)
            found.update(f"{array.dtype}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _read(path: Path, parse: Any) -> Any:
    try:
        return parse(read_signed(path))
    except FileNotFoundError:
        raise _damaged(path, "it is missing, beside others") from None
    except (DamagedError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, why: Any) -> ValueError:
    out = (
        "leave resume out to begin anew"
        if path.name == CONFIGURATION
        else "remove it, and this optimizer is trained again"
    )
    return ValueError(f"compare(resume=True): {path} is damaged: {why}; {out}.")


def _differences(there: Any, here: Any, name: str = "") -> list[str]:
    """What differs, as texts; dicts are looked into."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = dict.fromkeys((*there, *here))
        return [
            text
            for key in keys
            if there.get(key) != here.get(key)
            for text in _differences(there.get(key), here.get(key), f"{name} {key}".strip())
        ]
    return [f"{name or 'it'} is {there!r:.200} there and {here!r:.200} here"]


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
