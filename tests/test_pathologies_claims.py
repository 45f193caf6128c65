"""Who solves which of the problems of `test_pathologies.py`, and who does not at any rate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import OPTIMIZERS, by_id
from test_pathologies import PROBLEMS, constant, paths, quadratic, rotation

import adaptive_optax as ao


def of(name: str, **options) -> Callable:
    """From a learning rate to the optimizer."""
    return lambda rate: getattr(ao, name)(rate, **options)


def over(wrapper: Callable, name: str, **options) -> Callable:
    return lambda rate: wrapper(getattr(ao, name)(rate, **options))


def sophia_on(left: np.ndarray, right: np.ndarray) -> Callable:
    """Sophia with the exact diagonal of the quadratic's Hessian."""
    diagonal = np.outer(*(np.diag(factor) for factor in quadratic(left, right)))
    return of("sophia", hessian=lambda p: jnp.asarray(diagonal))


SGD = of("sgd")
MOMENTUM = of("sgd", momentum=0.9)
SIGN = of("lion", b1=0.0, b2=0.0)
NO_MOMENTUM = {"b1": 0.0, "eps": 0.0}
PLAIN = {
    "sgd": SGD,
    "momentum": MOMENTUM,
    **{name: of(name) for name in ("adagrad", "rmsprop", "adadelta", "adam", "lion", "amsgrad")},
    **{name: of(name) for name in ("adamax", "adabelief", "yogi", "lamb", "adafactor", "adan")},
    **{name: of(name) for name in ("adopt", "mars", "muon", "soap", "prodigy", "dog", "dowg")},
}


def plain(names: str) -> dict[str, Callable]:
    return {name: PLAIN[name] for name in names.split()}


SOLVED = {
    "reddi": {
        **{f"amsgrad-{c}": of("amsgrad", b2=0.1, bias_correction=c, **NO_MOMENTUM) for c in ("none", "after", "before")},
        "adopt": of("adopt", b1=0.0, b2=0.1),
        "adopt-long": of("adopt", b1=0.0, b2=0.01),
        "yogi": of("yogi", b1=0.0, b2=0.1),
        "yogi-long": of("yogi", b1=0.0, b2=0.99),
        "adamax-long": of("adamax", b1=0.0, b2=0.999),
    },
    "aligned": {
        **plain("adam rmsprop adagrad lion amsgrad adopt adan muon soap prodigy"),
        "sophia": sophia_on(np.eye(4), np.eye(4)),
    },
    "rotated": plain("soap muon"),
    "zipf": plain("adagrad adam rmsprop amsgrad adamax adabelief yogi prodigy"),
    "cauchy": {**plain("lion rmsprop adopt mars"), "sign": SIGN},
    "absolute": {
        "averaged(adam)": over(ao.averaged, "adam"),
        "schedule_free(sgd)": over(ao.schedule_free, "sgd"),
        "schedule_free(adam)": over(ao.schedule_free, "adam", b1=0.0),
    },
    "hinge": {},
    "saddle": plain("adam rmsprop adagrad lion adopt mars lamb yogi adan adabelief muon soap"),
    "drift": {
        **{name: of(name, b2=0.99) for name in ("adam", "adamax", "adopt", "adabelief")},
        **plain("rmsprop lion adan mars adafactor"),
    },
}
NOT_SOLVED = {
    "reddi": {
        "adam": of("adam", b2=0.1, **NO_MOMENTUM),
        "adamax": of("adamax", b2=0.1, b1=0.0),
        "mars": of("mars", b2=0.999, **NO_MOMENTUM),
    },
    "aligned": plain("sgd momentum dog dowg"),
    "rotated": {
        **plain("sgd momentum dog dowg adam rmsprop adagrad lion amsgrad adopt adan prodigy"),
        "sophia": sophia_on(rotation(0, 4), rotation(1, 4)),
        "soap-no-basis": of("soap", max_size=1),
    },
    "zipf": {**plain("sgd"), "averaged(sgd)": over(ao.averaged, "sgd")},
    "cauchy": {
        **plain("sgd momentum"),
        "averaged(sgd)": over(ao.averaged, "sgd"),
        "adopt-unclipped": of("adopt", clip_power=None),
    },
    "absolute": {**plain("sgd lion momentum"), "sign": SIGN, "lookahead(lion)": over(ao.lookahead, "lion")},
    "hinge": {},
    "saddle": {**plain("sgd momentum adadelta dog dowg"), "nesterov": of("sgd", momentum=0.9, nesterov=True)},
    "drift": {
        **plain("adagrad sgd dog"),
        **{name: of(name, b2=0.99) for name in ("amsgrad", "yogi")},
    },
}
