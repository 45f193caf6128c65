"""Wrong variants of the library, each a change of a line or two, and what must catch it.

They stand in `mutants.txt`. `altered` loads the whole package afresh under another name with one
file changed, so that a change in `core` reaches every optimizer, and nothing on disk or in the
package itself is touched. The checks are those that the true rules pass, on eight steps.
"""

import contextlib
import importlib
import importlib.abc
import importlib.util
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import test_goldens
import test_numerics
import test_oracles

import adaptive_optax as ao

ROOT = Path(ao.__file__).parent
STEPS = 8


class Mutant(NamedTuple):
    """A change of one file, and the check that catches it."""

    fault: str
    file: str
    old: str  # occurs once in the file
    new: str
    check: str  # of CHECKS


class _Copy(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and runs the package's modules under another name, with one file's text changed."""

    def __init__(self, name: str, file: str, old: str, new: str):
        self.name, self.file, self.old, self.new = name, ROOT / file, old, new

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] != self.name:
            return None
        place = ROOT.joinpath(*fullname.split(".")[1:])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        return importlib.util.spec_from_loader(
            fullname, self, origin=str(file), is_package=place.is_dir()
        )

    def exec_module(self, module):
        file = Path(module.__spec__.origin)
        text = file.read_text()
        if file == self.file:
            text = text.replace(self.old, self.new)
        text = re.sub(rf"\b{ao.__name__}\b", self.name, text)
        exec(compile(text, str(file), "exec"), module.__dict__)


_numbers = itertools.count()


@contextlib.contextmanager
def altered(file: str = "", old: str = "", new: str = "") -> Iterator[Any]:
    """The package, loaded afresh, with `old` as `new` in one file."""
    if file and (found := (ROOT / file).read_text().count(old)) != 1:
        raise LookupError(f"{old!r} occurs {found} times in {file}; bring the mutant up to date")
    copy = _Copy(f"altered_{next(_numbers)}", file, old, new)
    sys.meta_path.insert(0, copy)
    try:
        yield importlib.import_module(copy.name)
    finally:
        sys.meta_path.remove(copy)
        for name in [name for name in sys.modules if name.split(".")[0] == copy.name]:
            del sys.modules[name]


def _oracle(name: str) -> Callable[[Any], None]:
    """Eight steps of every row of options, with the large eps and the rate that changes."""
    cases = [
        case
        for case in test_oracles.GROUPS[name]
        if case.options.get("eps", 1e-2) == 1e-2
        and (case.options["learning_rate"] is test_oracles.WAVES or case.around)
        and (case.around or {}).get("every") != 5
    ]
    return partial(_each, test_oracles.check, cases)


def _golden(name: str) -> Callable[[Any], None]:
    """Eight steps of every golden of the name."""
    goldens = [golden for golden in test_goldens.GOLDENS if golden.name == name]
    return partial(_each, test_goldens.check, goldens)


def _each(check: Callable, rows: list, library: Any) -> None:
    """One by one, so that the first may catch, and not compiled, which takes longer than to run."""
    with jax.disable_jit():
        for row in rows:
            check(library, [row], steps=STEPS)


CHECKS: dict[str, Callable[[Any], None]] = {
    **{name: _oracle(name) for name in test_oracles.GROUPS},
    **{f"golden {name}": _golden(name) for name in ("adam", "adagrad", "nadam", "radam")},
    "centered": test_numerics.check_centered,
    "first step": test_numerics.check_first_step,
    "recovery": test_numerics.check_recovery,
    "rectifier": test_numerics.check_rectifier,
    "slopes": partial(test_numerics.check_slopes, names=("adam",)),
}


def _read(table: str) -> list[Mutant]:
    """The mutants of a table, in blocks that stand apart.

    `@ file: check` is the file of what follows, and what catches it; then each mutant is
    `* fault` or `* fault: its own check`, the old text after `- ` and the new after `+ `.
    """
    mutants = []
    for block in table.strip().split("\n\n"):
        if block.startswith("@ "):
            file, usual = block[2:].split(": ")
            continue
        first, *lines = block.splitlines()
        fault, _, check = first.removeprefix("* ").partition(": ")
        old, new = (
            "\n".join(line[2:] for line in lines if line.startswith(sign)) for sign in ("- ", "+ ")
        )
        mutants.append(Mutant(fault, file, old, new, check or usual))
    return mutants


MUTANTS = _read((Path(__file__).parent / "mutants.txt").read_text())
