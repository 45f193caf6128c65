"""Optional packages, imported where they are used."""

import importlib
from typing import Any

EXTRA = 'pip install "adaptive-optax[monitor]"'


def optional(function: str, module: str) -> Any:
    """The module; where its package is missing, an ImportError that says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{function}: {package} is missing; install it with: {EXTRA}") from error
