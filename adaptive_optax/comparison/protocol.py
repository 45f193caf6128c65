"""`compare`: one task, several optimizers, one protocol.

Each optimizer gets a grid of learning rates around its centre, widened while the best rate lies at
an edge; each rate the same number of steps at the same seeds. The validation split chooses the rate
and only then, after all training, the test split is read, once an optimizer.
"""

import contextlib
import platform
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from adaptive_optax.comparison import entries, rate_grid, result_files, results, tasks
from adaptive_optax.comparison.evaluation import chunked
from adaptive_optax.comparison.interrupts import CtrlC
from adaptive_optax.comparison.outcome import Comparison
from adaptive_optax.comparison.progress import Silent
from adaptive_optax.comparison.resume_store import Finished, data_digest
from adaptive_optax.comparison.search import search
from adaptive_optax.comparison.tasks.task import Task
from adaptive_optax.comparison.training import Trainer
from adaptive_optax.core.checks import check_steps


def compare(
    task: str | Task = "digits",
    optimizers: str | Iterable[str] | Mapping[str, Any] | None = None,
    *,
    seeds: int | None = None,
    epochs: int | None = None,
    grid: int = 3,
    evaluate_every: int | None = None,
    learning_rate: float | str | None = None,
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Any = None,
) -> Comparison:
    """Trains one model with several optimizers and says which to take.

    Args:
      task: one of `tasks.TASKS`, such as "digits", or a `Task` of your own.
      optimizers: names such as "adam", "lookahead(adam)" or "switch(adam->sgd,at=200)", in a list
        or with commas between, as `grammar` reads them; or a dict from a name to a constructor of
        your own, `make(learning_rate)`, or to a pair of it and the centre of its grid (0.001 by
        default). The learning rate comes as a traced scalar or a schedule. None takes all the
        subject's optimizers, and Lookahead over each.
      seeds: runs a learning rate, at least 1; the task's number by default.
      epochs: passes over the training examples, at least 1; the task's number by default.
      grid: learning rates at a time, half a decade apart, at least 1.
      evaluate_every: steps from one evaluation on the validation split to the next, and so the
        resolution of steps to target, at least 1; the task's number by default.
      learning_rate: a number, for all optimizers, in place of the grid; "exponential" or "step",
        a schedule over the grid's rates; or both, "0.01:step".
      data_dir: where "cifar10" finds its files.
      out: folder for results.json, results.csv and pictures, and for each optimizer as soon as it
        is finished; None writes nothing.
      resume: whether to take up the optimizers that are finished in `out`, after a kill or Ctrl-C,
        and to go on with the others; what is found is equal to that of one run, but for times.
        Where nothing is there it begins. Of constructors of your own only the names are compared.
      progress: told what happens, as `comparison.progress.Silent`, which is the default.

    Returns:
      The rows, best first. Ctrl-C ends training and keeps the optimizers that are finished;
      `interrupted` tells of it. Where none is, KeyboardInterrupt is raised.

    Raises:
      TypeError, ValueError: for an option of the wrong kind or range, or an unknown name; for
        `resume` where `out` is of another configuration, with what differs, or damaged.
      OSError: where `out` cannot be written to; before training.

    >>> import jax.numpy as jnp, numpy as np, optax
    >>> from adaptive_optax.comparison import Split, Task, compare
    >>> x = np.linspace(-1, 1, 60, dtype=np.float32)[:, None]
    >>> parts = [Split(x[k::3], 2 * x[k::3]) for k in range(3)]
    >>> squared = lambda outputs, targets: jnp.square(outputs - targets)[:, 0]
    >>> line = Task("line", lambda seed: jnp.zeros((1, 1)), lambda w, x: x @ w, squared, squared,
    ...             *parts, batch_size=5, metric_name="squared error", larger_is_better=False)
    >>> found = compare(line, {"mine": (optax.sgd, 0.3), "still": (lambda rate: optax.sgd(0.0), 1)})
    >>> [row.name for row in found.rows]
    ['mine', 'still']
    """
    began = time.perf_counter()
    check_steps("compare", grid=grid)
    if evaluate_every is not None:
        check_steps("compare", evaluate_every=evaluate_every)
    fixed, schedule = rate_grid.parse(learning_rate)
    if resume and out is None:
        raise ValueError("compare(resume=True, out=None): give the folder to go on in as out.")
    if out is not None:
        result_files.check_writable(Path(out))
    chosen = task if isinstance(task, Task) else tasks.load(task, data_dir)
    seed_list = list(range(chosen.seeds if seeds is None else _checked("seeds", seeds)))
    length = chosen.epochs if epochs is None else _checked("epochs", epochs)
    chosen_entries = entries.entries(optimizers, chosen.centres, length * chosen.steps_per_epoch)
    points = 1 if fixed is not None else grid
    asked = [entry.name for entry in chosen_entries]
    config = _config(chosen, seed_list, length, points, fixed, schedule, asked)
    config["evaluate_every"] = evaluate_every or chosen.evaluate_every or chosen.steps_per_epoch
    finished = _finished(out, config, chosen, chosen_entries, resume)
    progress = progress or Silent()
    rows: list[results.Row] = []
    interrupted = False
    with _precision(chosen), progress, CtrlC() as ctrl_c:
        try:
            trainer = Trainer(chosen, seed_list, length, points, evaluate_every)
            progress.begin(asked, length)
            for entry in chosen_entries:
                if entry.name in finished.rows:
                    rows.append(finished.taken_up(entry.name, trainer.one))
                    progress.taken_up(rows[-1])
                    continue
                started = time.perf_counter()
                centre = fixed or entry.centre
                rows.append(search(trainer, entry, centre, schedule, progress, ctrl_c.check))
                finished.add(rows[-1], time.perf_counter() - started)
                progress.finished(rows[-1])
        except KeyboardInterrupt:
            if not rows:
                raise
            interrupted = True
        _read_test(trainer, rows)
    config["examples"] = {
        part: getattr(chosen, part).size for part in ("train", "validation", "test")
    }
    found = Comparison(
        results.ranked(rows, chosen.larger_is_better), config, _versions(), interrupted=interrupted
    )
    found.seconds = time.perf_counter() - began + finished.seconds
    if out is not None:
        found.save(out)
    return found


def _finished(out: Any, config: Any, task: Task, entries: Any, resume: bool) -> Finished:
    """What is kept of a comparison: all that a finished optimizer depends on says which."""
    if out is None:
        return Finished(None, [], {}, resume)
    more = {
        "centres": {entry.name: entry.centre for entry in entries},
        "data": data_digest(task),
        "versions": _versions(),
    }
    return Finished(Path(out), config["optimizers"], config | more, resume)


def _read_test(trainer: Trainer, rows: list[results.Row]) -> None:
    """The one place that reads the test split."""
    chunks = chunked(trainer.task.test)
    for row in rows:
        row.test_metric = trainer.evaluate(row.params, chunks)[1][:, 0].tolist()


def _checked(name: str, value: int) -> int:
    check_steps("compare", **{name: value})
    return value


def _precision(task: Task) -> Any:
    return jax.enable_x64(True) if task.float64 else contextlib.nullcontext()


def _config(task, seeds, epochs, points, fixed, schedule, asked) -> dict[str, Any]:
    return {
        "task": task.name,
        "optimizers": asked,
        "metric": task.metric_name,
        "larger_is_better": task.larger_is_better,
        "target": task.target,
        "batch_size": task.batch,
        "epochs": epochs,
        "steps": epochs * task.steps_per_epoch,
        "seeds": seeds,
        "grid": points,
        "widenings_at_most": rate_grid.WIDENINGS,
        "learning_rate": fixed,
        "schedule": schedule,
        "list_losses_every": task.list_losses_every,
        "device": str(jax.devices()[0].device_kind),
    }


def _versions() -> dict[str, str]:
    packages = ("adaptive-optax", "jax", "optax", "flax", "numpy")
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
