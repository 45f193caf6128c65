"""NumPy float64 references, written from the papers and not from our code. See README.md."""

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
ORACLES = {f.__name__: f for f in (*FIRST, *FIELD)}

__all__ = ["ORACLES", *ORACLES, "lookahead_adam", "lookahead_sgd"]
