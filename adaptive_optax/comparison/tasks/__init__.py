"""The tasks that come with the package, by name. Each module is imported when it is asked for."""

import importlib
from pathlib import Path

from adaptive_optax.comparison.tasks.task import Task
from adaptive_optax.core.checks import check_choice

MODULES = {  # the function of that name in this module makes it
    "digits": "digits",
    "digits_mlp": "digits_mlp",
    "text": "text",
    "imbalanced": "imbalanced",
    "imbalanced_weighted": "imbalanced",
    "cifar10": "cifar10",
    "regression": "regression",
}
TASKS = tuple(MODULES)
FROM_SKLEARN = ("digits", "digits_mlp", "imbalanced", "imbalanced_weighted")  # their data are its


def load(name: str, data_dir: str | Path | None = None) -> Task:
    """The task of that name.

    Args:
      name: one of TASKS.
      data_dir: where the files of "cifar10" are.

    Raises:
      ValueError: for an unknown name, or a folder for a task that reads none.
      FileNotFoundError, ValueError: where data are missing or damaged.
    """
    check_choice("compare", TASKS, task=name)
    module = importlib.import_module(f"adaptive_optax.comparison.tasks.{MODULES[name]}")
    make = getattr(module, name)
    if name == "cifar10":
        return make(data_dir)
    if data_dir is not None:
        raise ValueError(f"compare(data_dir={str(data_dir)!r}): task {name!r} reads no files.")
    return make()
