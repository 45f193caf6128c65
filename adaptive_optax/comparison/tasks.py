"""The tasks that come with the package, by name. Each module is imported when it is asked for."""

from pathlib import Path

from adaptive_optax.comparison.task import Task
from adaptive_optax.core.checks import check_choice

TASKS = ("digits", "cifar10", "regression")


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
    if name == "cifar10":
        from adaptive_optax.comparison.cifar10 import cifar10

        return cifar10(data_dir)
    if data_dir is not None:
        raise ValueError(f"compare(data_dir={str(data_dir)!r}): task {name!r} reads no files.")
    if name == "regression":
        from adaptive_optax.comparison.regression import regression

        return regression()
    from adaptive_optax.comparison.digits import digits

    return digits()
