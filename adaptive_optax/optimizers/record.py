"""What is known of each optimizer, in one record beside its rule.

Tables, lists, grids, presets, galleries and test cases are made of the records. `records()` finds
the records of all files of this folder, so that a new optimizer needs no entry anywhere else.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from adaptive_optax.core.rule import Rule
from adaptive_optax.core.transformation import Transformation

LIBRARIES = ("paper", "torch", "keras", "optax")  # whose defaults have presets
UNLISTED = ("learning_rate", "mask", "matrices", "rest", "hessian")  # options of a user's own task


class Variant(NamedTuple):
    """An optimizer with options that are worth a row of their own in tables, or a case in tests."""

    options: Mapping[str, Any]
    formula: str = ""  # of the table in README; empty for a variant that is only tested
    when: str = ""  # when to use it
    slots: int | None = None  # None is the record's
    learning_rate: float | None = None  # None is the record's
    quadratic_rate: float | None = None  # None is the record's
    gallery_rate: float | None = None  # None has no panel


class OptimizerRecord(NamedTuple):
    """All that is known of one optimizer.

    The rule says whether it is elementwise and scale invariant; the constructor its options.
    """

    constructor: Callable[..., Transformation]  # learning rate, options -> optimizer
    rule: type[Rule]  # its class
    formula: str  # the update in one line, for tables
    when: str  # when to use it
    presets: Mapping[str, Mapping[str, Any]]  # library -> options that differ from our defaults
    family: str = "adaptive"  # or "gradient", "sign", "layer", "matrix", "curvature", "no rate"
    slots: int = 2  # arrays of the parameter's size in the state
    memory: str = ""  # slots in words, if their number does not say it
    state_leaves: int | None = None  # arrays in the state for a matrix and a vector; None: slots
    learning_rate: float = 1e-3  # a usual one: the middle of grids that are searched
    quadratic_rate: float = 0.05  # one at which it descends on a unit quadratic
    gallery_rate: float = 0.1  # the middle of the grid on the landscapes of the gallery
    needs: str = ""  # what an update needs besides gradients and params, such as "hessian"
    note: str = ""  # of the gallery's panel
    variants: Mapping[str, Variant] = {}
    other_names: tuple[str, ...] = ()  # public names besides x and scale_by_x
    optax_name: str = ""  # of the constructor in optax or optax.contrib; empty if it is the same
    no_reference: str = ""  # why no oracle and no golden trajectory exists; empty if one does

    @property
    def name(self) -> str:
        """The public name."""
        return self.constructor.__name__

    def preset(self, library: str) -> dict[str, Any]:
        """All options with which it does what a library does by default.

        Raises:
          KeyError: if the library does not have it.
        """
        parameters = inspect.signature(self.constructor).parameters.values()
        left_out = {*UNLISTED, "independent_decay"}
        left_out -= {option for each in self.presets.values() for option in each}
        ours = {p.name: p.default for p in parameters if p.name not in left_out}
        return ours | dict(self.presets[library])


@functools.cache
def records() -> dict[str, OptimizerRecord]:
    """The record of each optimizer by name: those of the subject first, in its order."""
    found: dict[str, OptimizerRecord] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        loaded = importlib.import_module(f"adaptive_optax.optimizers.{module.name}")
        found |= {record.name: record for record in getattr(loaded, "RECORDS", ())}
    subject = [name for name in SUBJECT if name in found]
    return {name: found[name] for name in [*subject, *sorted(found.keys() - set(subject))]}


SUBJECT = (
    *("sgd", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "nadam", "radam", "lion"),
)  # the optimizers that textbooks begin with, in their order
