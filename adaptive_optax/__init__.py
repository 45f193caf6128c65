"""Adaptive-learning-rate optimizers as composable optax transformations.

`__init__.pyi` lists the public names, for type checkers and for this file: the module of a name is
loaded when the name is first used, so that importing the library costs next to nothing.
"""

import difflib
import importlib
import re
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_MODULES = {
    name: module
    for module, name in re.findall(
        r"^from (\S+) import (\w+) as", Path(__file__).with_suffix(".pyi").read_text(), re.M
    )
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Load the module of a public name."""
    if name not in _MODULES:
        near = difflib.get_close_matches(name.lower(), _MODULES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near and not name.startswith("_") else ""
        raise AttributeError(f"module 'adaptive_optax' has no attribute {name!r}{hint}")
    place = _MODULES[name]
    value = None if place == "." else getattr(importlib.import_module(place, __name__), name, None)
    if value is None:  # a module itself
        value = importlib.import_module(f"{place.rstrip('.')}.{name}", __name__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
