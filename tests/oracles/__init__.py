"""NumPy float64 references, written from the papers and not from our code. See README.md."""

from .adadelta import adadelta
from .adagrad import adagrad
from .adam import adam, adamw
from .lion import lion
from .lookahead import lookahead_adam, lookahead_sgd
from .nadam import nadam
from .radam import radam
from .rmsprop import rmsprop
from .sgd import sgd

ORACLES = {
    f.__name__: f for f in (sgd, adagrad, rmsprop, adadelta, adam, adamw, nadam, radam, lion)
}

__all__ = ["ORACLES", *ORACLES, "lookahead_adam", "lookahead_sgd"]
