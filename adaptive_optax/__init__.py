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

_HERE = Path(__file__).parent
_MODULES = {
    name: module
    for module, name in re.findall(
        r"^from (\S+) import (\w+) as", (_HERE / "__init__.pyi").read_text(), re.M
    )
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Load the module of a public name, or a folder of the library such as `ao.storage`."""
    place = _MODULES.get(name, ".")
    if place != "." and hasattr(importlib.import_module(place, __name__), name):
        value = getattr(importlib.import_module(place, __name__), name)
    elif name in _MODULES or (_HERE / name / "__init__.py").exists():  # a module
        value = importlib.import_module(f"{place.rstrip('.')}.{name}", __name__)
    else:
        near = difflib.get_close_matches(name.lower(), _MODULES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near and not name.startswith("_") else ""
        raise AttributeError(f"module 'adaptive_optax' has no attribute {name!r}{hint}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
