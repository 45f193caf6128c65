"""Wrong variants of the library, each with one node of a syntax tree replaced, and what catches it.

They stand in `mutants*.txt`: what all rules share and the wrappers, the rules of the library's
first version with Lookahead, those that see a coordinate or a leaf, those that see matrices or the
whole tree, what is done to gradients, and how state is stored. The old and the new node are written
as code, and compared as trees: layout, comments and strings around them do not matter.
`altered` loads the whole package afresh under another name with one file changed, so that a change
in `core` reaches every optimizer, and nothing on disk or in the package itself is touched. A check
is one case that the true rule passes, for six steps unless it says otherwise.
"""

import ast
import contextlib
import functools
import importlib
import importlib.abc
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import test_blend
import test_goldens
import test_numerics
import test_oracles
import test_oracles_trees
import test_smoothed
import test_storage_oracle
import test_switch
import test_variance_reduced

import adaptive_optax as ao

ROOT = Path(ao.__file__).parent
NAME = "altered"
STEPS = 6


class Mutant(NamedTuple):
    """A change of one file, and the check that catches it."""

    fault: str
    file: str
    old: str  # an expression, or statements, that occur once in the file
    new: str
    check: str  # as `check_of` reads it


class _Copy(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and runs the package's modules under another name, with one file's text changed."""

    def __init__(self, file: str, old: str, new: str):
        self.file, self.old, self.new = ROOT / file, old, new

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] != NAME:
            return None
        place = ROOT.joinpath(*fullname.split(".")[1:])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        return importlib.util.spec_from_loader(
            fullname, self, origin=str(file), is_package=place.is_dir()
        )

    def exec_module(self, module):
        file = Path(module.__spec__.origin)
        module.__file__ = str(file)
        if file == self.file:
            tree = replaced(_tree(file), self.old, self.new)
            exec(compile(tree, str(file), "exec"), module.__dict__)
        else:
            exec(_code(file), module.__dict__)


def _tree(file: Path) -> ast.Module:
    return ast.parse(re.sub(rf"\b{ao.__name__}\b", NAME, file.read_text()))


@functools.cache
def _code(file: Path) -> Any:
    return compile(_tree(file), str(file), "exec")


def replaced(tree: ast.Module, old: str, new: str) -> ast.Module:
    """The tree with one node, or some statements in a row, replaced.

    Raises:
      LookupError: if the old node does not occur exactly once.
    """
    wanted, put = ast.parse(old).body, ast.parse(new).body
    swap = _Swap(wanted, put)
    tree = ast.fix_missing_locations(swap.visit(tree))
    if swap.found != 1:
        raise LookupError(f"{old!r} occurs {swap.found} times; bring the mutant up to date")
    return tree


class _Swap(ast.NodeTransformer):
    """Replaces an expression, or statements in a row."""

    def __init__(self, wanted: list[ast.stmt], put: list[ast.stmt]):
        self.found = 0
        self.expression = len(wanted) == 1 and isinstance(wanted[0], ast.Expr)
        if self.expression:
            self.wanted, self.put = [ast.dump(wanted[0].value)], put[0].value
        else:
            self.wanted, self.put = [ast.dump(each) for each in wanted], put

    def generic_visit(self, node):
        if self.expression:
            if isinstance(node, ast.expr) and ast.dump(node) == self.wanted[0]:
                self.found += 1
                return self.put
            return super().generic_visit(node)
        for name, field in ast.iter_fields(node):
            if isinstance(field, list) and field and isinstance(field[0], ast.stmt):
                dumps = [ast.dump(each) for each in field]
                size = len(self.wanted)
                for i in range(len(field) - size, -1, -1):
                    if dumps[i : i + size] == self.wanted:
                        self.found += 1
                        getattr(node, name)[i : i + size] = self.put
        return super().generic_visit(node)


@contextlib.contextmanager
def altered(file: str = "", old: str = "", new: str = "") -> Iterator[Any]:
    """The package, loaded afresh, with `old` as `new` in one file."""
    if file:
        replaced(_tree(ROOT / file), old, new)
    copy = _Copy(file, old, new)
    sys.meta_path.insert(0, copy)
    try:
        yield importlib.import_module(NAME)
    finally:
        sys.meta_path.remove(copy)
        for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
            del sys.modules[name]


def _views(library: Any) -> None:
    with jax.disable_jit():
        test_oracles_trees.check_views(library, "muon", {}, steps=2)


def _plainly(check: Callable, library: Any) -> None:
    with jax.disable_jit():
        check(library)


NAMED: dict[str, Callable[[Any], None]] = {
    "blend": test_blend.check,
    "centered": test_numerics.check_centered,
    "first step": test_numerics.check_first_step,
    "norms": test_numerics.check_norms,
    "recovery": test_numerics.check_recovery,
    "rectifier": test_numerics.check_rectifier,
    "slopes": partial(test_numerics.check_slopes, names=("adam",)),
    "smoothed": partial(_plainly, test_smoothed.check),
    "switch": test_switch.check,
    "variance_reduced": partial(_plainly, test_variance_reduced.check),
    "views": _views,
    **test_storage_oracle.CHECKS,
}


def check_of(words: str) -> Callable[[Any], None]:
    """The check of that name, a function of the library.

    It is one of NAMED; or `golden id`; or an oracle's name and options, `adam l2` or `adamw
    weight_decay=schedule`: the first case that has those options, for as many steps as a last word
    like `steps=20` says. Not compiled, which takes longer than to run, but for SOAP.
    """
    if words in NAMED:
        return NAMED[words]
    name, *options = words.split()
    if name == "golden":
        (golden,) = (golden for golden in test_goldens.GOLDENS if golden.id == options[0])
        return partial(_uncompiled, test_goldens.check, [golden], STEPS)
    last = options[-1] if options else ""
    steps = int(options.pop().removeprefix("steps=")) if last.startswith("steps=") else STEPS
    tree = name in test_oracles_trees.OPTIONS
    rows = test_oracles_trees.CASES if tree else test_oracles.GROUPS[name]
    (case, *_) = (row for row in rows if _has(row, name, options))
    if name == "soap":  # eigh and qr run many small programs where nothing is compiled
        return partial(_by, test_oracles_trees.check, case, steps)
    if tree:
        return partial(_uncompiled, test_oracles_trees.check, case, steps)
    return partial(_uncompiled, _in_float64, [case], steps)


def _has(case: Any, name: str, words: list[str]) -> bool:
    """Whether a case has options, a rate that changes, and a large eps; Lookahead any of these."""
    options = case.options
    if name == "lookahead":
        options = {**options, **case.around}
    elif case.name != name or not isinstance(options["learning_rate"], np.ndarray):
        return False
    elif "eps" in test_oracles.DEFAULTS.get(name, {}) and name in test_oracles.OPTIONS:
        words = [*words, "eps=0.01"]
    pairs = (word.partition("=") for word in words)
    return all(key in options and value in ("", _word(options[key])) for key, _, value in pairs)


def _word(value: Any) -> str:
    return "schedule" if isinstance(value, np.ndarray) else str(value)


def _in_float64(library: Any, cases: list, steps: int) -> None:
    test_oracles.check(library, cases, "float64", steps)


def _by(check: Callable, rows: Any, steps: int, library: Any) -> None:
    check(library, rows, steps)


def _uncompiled(check: Callable, rows: Any, steps: int, library: Any) -> None:
    with jax.disable_jit():
        check(library, rows, steps)


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


TABLES = sorted(Path(__file__).parent.glob("mutants*.txt"))
MUTANTS = [mutant for table in TABLES for mutant in _read(table.read_text())]
CHECKS = sorted({mutant.check for mutant in MUTANTS})
