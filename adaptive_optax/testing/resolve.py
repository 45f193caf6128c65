"""From the text `package.module.attribute`, or `module:attribute`, to what it names."""

import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from adaptive_optax.testing.evidence import in_a_line

USUAL = ("optax", "adaptive_optax")


@contextlib.contextmanager
def from_here() -> Iterator[None]:
    """Modules of the current directory can be imported inside."""
    here = os.getcwd()
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)


def resolve(target: str) -> Any:
    """What the text names.

    Args:
      target: `module.attribute` or `module:attribute`, either with more dots.

    Raises:
      ValueError: where there is no such thing, with the nearest name; or importing it raised.

    >>> resolve("optax.contrib.muon") is resolve("optax.contrib:muon")
    True
    """
    module, colon, rest = target.partition(":")
    names = [*module.split("."), *(rest.split(".") if colon else [])]
    if len(names) < 2 or not all(name.isidentifier() for name in names):
        raise ValueError(
            f"contract: {target!r} names nothing in a module; write module.attribute, such as "
            f"optax.adam, or module:attribute."
        )
    most = len(module.split(".")) if colon else len(names) - 1
    least = most if colon else 1
    for count in range(most, least - 1, -1):
        found = _imported(target, ".".join(names[:count]))
        if found is not None:
            return _attribute(target, found, names[count:])
    root = module if colon else names[0]
    raise ValueError(f"contract: {target}: there is no module {root!r}{_near(root, _known())}")


def _imported(target: str, module: str) -> ModuleType | None:
    """The module; None where there is none of this name."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module == missing or module.startswith(f"{missing}."):
            return None
        raise ValueError(f"contract: {target}: importing {module} needs {missing}.") from error
    except Exception as error:
        raise ValueError(
            f"contract: {target}: importing {module} raised {in_a_line(error)}"
        ) from error


def _attribute(target: str, value: Any, names: list[str]) -> Any:
    for name in names:
        if not hasattr(value, name):
            owner = getattr(value, "__name__", type(value).__name__)
            raise ValueError(
                f"contract: {target}: {owner} has no attribute {name!r}{_near(name, dir(value))}"
            )
        value = getattr(value, name)
    return value


def _known() -> list[str]:
    """Top-level modules that are likely meant: the usual, and those of the current directory."""
    here = Path.cwd()
    files = [path.stem for path in here.glob("*.py")]
    folders = [path.parent.name for path in here.glob("*/__init__.py")]
    return [*USUAL, *files, *folders]


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, [word for word in known if word[:1] != "_"], n=1)
    return f"; did you mean {near[0]!r}?" if near else "."
