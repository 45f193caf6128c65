"""Packages of the extras, imported where they are used."""

import importlib
from typing import Any


class MissingPackageError(ImportError):
    """An optional package is not installed; the text says how to install it."""


def optional(function: str, module: str, extra: str = "monitor") -> Any:
    """Import and return a module of an optional package.

    Args:
      function: what needs the module, for the error.
      module: the module's name, with dots.
      extra: the extra of this library that installs the package.

    Raises:
      MissingPackageError: if the package is missing.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        root = module.partition(".")[0]
        raise MissingPackageError(
            f"{function}: {'scikit-learn' if root == 'sklearn' else root} is missing; install it "
            f'with: pip install "adaptive-optax[{extra}]"'
        ) from error
