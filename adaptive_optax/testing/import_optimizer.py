"""Import what a command line names: `package.module.attribute`, or `module:attribute`."""

import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from adaptive_optax.testing.result import in_a_line

USUAL = ("optax", "adaptive_optax")


@contextlib.contextmanager
def from_here() -> Iterator[None]:
    """Make modules of the current directory importable inside."""
    here = os.getcwd()
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)


def resolve(target: str) -> Any:
    """Return the object that the text names.

    Args:
      target: `module.attribute` or `module:attribute`, either with more dots.

    Raises:
      ValueError: if there is no such thing, with the nearest name; or if importing it raised.

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
    for count in range(most, most - 1 if colon else 0, -1):  # the longest module that there is
        name = ".".join(names[:count])
        try:
            value = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and f"{name}.".startswith(f"{error.name}."):
                continue
            raise ValueError(f"contract: {target}: importing {name} needs {error.name}.") from error
        except Exception as error:
            raise ValueError(
                f"contract: {target}: importing {name} raised {in_a_line(error)}"
            ) from error
        break
    else:
        root = module if colon else names[0]
        here = [path.stem for path in Path.cwd().glob("*.py")]
        here += [path.parent.name for path in Path.cwd().glob("*/__init__.py")]
        near = _near(root, [*USUAL, *here])
        raise ValueError(f"contract: {target}: there is no module {root!r}{near}")
    for name in names[count:]:
        if not hasattr(value, name):
            owner = getattr(value, "__name__", type(value).__name__)
            near = _near(name, dir(value))
            raise ValueError(f"contract: {target}: {owner} has no attribute {name!r}{near}")
        value = getattr(value, name)
    return value


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, [word for word in known if word[:1] != "_"], n=1)
    return f"; did you mean {near[0]!r}?" if near else "."
