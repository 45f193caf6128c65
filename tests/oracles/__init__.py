"""NumPy float64 references, written from the papers and not from our code. See README.md.

A file that has `OPTIONS` is found by its name: it holds the function of that name, the paper's
`DEFAULTS` and the cases, and says whether the rule sees a `WHOLE_LEAF`.
"""

import importlib
import pkgutil

from .adabelief import adabelief
from .adadelta import adadelta
from .adafactor import adafactor
from .adagrad import adagrad
from .adam import adam, adamw
from .adamax import adamax
from .adan import adan
from .ademamix import ademamix
from .adopt import adopt
from .amsgrad import amsgrad
from .lamb import lamb
from .lars import lars
from .lion import lion
from .lookahead import lookahead_adam, lookahead_sgd
from .mars import mars
from .nadam import nadam, nadamw
from .radam import radam
from .rmsprop import rmsprop
from .sgd import sgd
from .sophia import sophia
from .yogi import yogi

FIRST = (sgd, adagrad, rmsprop, adadelta, adam, adamw, nadam, nadamw, radam, lion)
FIELD = (
    *(amsgrad, adamax, adabelief, yogi, adan, ademamix, adopt, sophia),
    *(lamb, lars, adafactor, mars),  # these see a whole leaf, by its norm
)
_MODULES = {
    module.name: importlib.import_module(f"{__name__}.{module.name}")
    for module in pkgutil.iter_modules(__path__)
    if not module.name.startswith("test_")
}
FOUND = {name: module for name, module in _MODULES.items() if hasattr(module, "OPTIONS")}
ORACLES = {f.__name__: f for f in (*FIRST, *FIELD)}
ORACLES |= {name: getattr(module, name) for name, module in FOUND.items()}

__all__ = ["FOUND", "ORACLES", *ORACLES, "lookahead_adam", "lookahead_sgd"]
