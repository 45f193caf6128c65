"""Who solves which of the problems of `test_pathologies.py`, and who does not at any rate.

Only what has a reason is claimed. So SGD's average is not in "absolute", since the cycle that it
averages lies to one side of the target, and neither is Adam's in "tilted".
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import every
from test_pathologies import PROBLEMS, TARGET, kinked, paths, quadratic, rotation

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
NAMES = (
    "sgd adagrad rmsprop adadelta adam nadam radam lion amsgrad adamax adabelief yogi "
    "lamb lars adafactor adan ademamix adopt mars muon soap prodigy dadapt_adam dog dowg "
    "novograd rprop"
)
PLAIN = {"momentum": MOMENTUM, **{name: of(name) for name in NAMES.split()}}
UNCLIPPED = {"adopt-unclipped": of("adopt", clip_power=None)}
FREE = {
    "schedule_free(sgd)": over(ao.schedule_free, "sgd"),
    "schedule_free(adam)": over(ao.schedule_free, "adam", b1=0.0),
}


def plain(names: str) -> dict[str, Callable]:
    return {name: PLAIN[name] for name in names.split()}


SOLVED = {
    "reddi": {
        **{
            f"amsgrad-{c}": of("amsgrad", b2=0.1, bias_correction=c, **NO_MOMENTUM)
            for c in ("none", "after", "before")
        },
        "adopt": of("adopt", b1=0.0, b2=0.1),
        "adopt-long": of("adopt", b1=0.0, b2=0.01),
        "yogi": of("yogi", b1=0.0, b2=0.1),
        "yogi-long": of("yogi", b1=0.0, b2=0.99),
        "adamax-long": of("adamax", b1=0.0, b2=0.999),
    },
    "aligned": {
        **plain("adam rmsprop adagrad lion adan muon soap prodigy"),
        "sophia": sophia_on(np.eye(4), np.eye(4)),
    },
    "rotated": plain("soap muon"),
    "zipf": plain("adagrad adam rmsprop amsgrad adamax adabelief yogi prodigy"),
    "cauchy": {**plain("lion rmsprop adopt mars"), "sign": SIGN},
    # A constant rate, and a gradient that does not shrink: an average that settles it is.
    "absolute": {"averaged(adam)": over(ao.averaged, "adam"), **FREE},
    "tilted": FREE,
    "saddle": plain("adam rmsprop adagrad lion adopt lamb adan muon soap"),
    "zero-layer": plain(NAMES),
    "drift": {
        **{name: of(name, b2=0.99) for name in ("adam", "adabelief")},
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
        **plain("sgd momentum dog dowg adam rmsprop adagrad lion adan prodigy"),
        "sophia": sophia_on(rotation(0, 4), rotation(1, 4)),
        "soap-no-basis": of("soap", max_size=1),
    },
    "zipf": {**plain("sgd lion dog"), "averaged(sgd)": over(ao.averaged, "sgd")},
    "cauchy": {
        **plain("sgd momentum amsgrad yogi dog"),
        "averaged(sgd)": over(ao.averaged, "sgd"),
        **UNCLIPPED,
    },
    "absolute": {
        **plain("sgd lion momentum"),
        "sign": SIGN,
        "lookahead(lion)": over(ao.lookahead, "lion"),
    },
    "tilted": {**plain("sgd lion adam"), "sign": SIGN},
    "saddle": {
        **plain("sgd momentum adadelta dog dowg"),
        "nesterov": of("sgd", momentum=0.9, nesterov=True),
    },
    # Its first gradient in the first layer is 0, its second is divided by eps.
    "zero-layer": UNCLIPPED,
    "drift": {
        **plain("adagrad sgd momentum dog"),
        **{name: of(name, b2=0.99) for name in ("amsgrad", "yogi")},
    },
}


def pairs(claims: dict) -> list:
    return [(problem, name) for problem, makers in claims.items() for name in makers]


def solves(problem: str, make: Callable) -> list[bool]:
    """Of each learning rate, whether it solves the problem with it."""
    with np.errstate(all="ignore"):  # who diverges overflows
        return [PROBLEMS[problem].solved(path) for path in paths(PROBLEMS[problem], make)]


@pytest.mark.parametrize("claim", every(2, pairs(SOLVED)), ids="-".join)
def test_solves_it_at_some_rate(claim):
    problem, name = claim
    assert any(solves(problem, SOLVED[problem][name]))


@pytest.mark.parametrize("claim", every(2, pairs(NOT_SOLVED)), ids="-".join)
def test_solves_it_at_no_rate(claim):
    problem, name = claim
    assert not any(solves(problem, NOT_SOLVED[problem][name]))


def test_every_problem_tells_somebody_apart():
    assert SOLVED.keys() == NOT_SOLVED.keys() == PROBLEMS.keys()


def test_every_optimizer_trains_a_net_whose_last_layer_starts_at_0():
    rules = {name.removeprefix("scale_by_") for name in ao.__all__ if name.startswith("scale_by_")}
    others = {"rms", "rss", "sign_momentum", "adamw", "nadamw"}  # parts, and the same with decay
    assert rules - others - {"sophia"} == PLAIN.keys() - {"momentum"}  # it needs a curvature


@pytest.mark.parametrize("name", ["sgd", "sign", "lion"])
def test_steps_that_do_not_shrink_cycle_at_the_size_of_the_rate(name):
    """And an average over the same steps comes ten times as near."""
    make = {"sgd": SGD, "sign": SIGN, "lion": of("lion")}[name]
    problem = kinked(-1.0, 1.0)._replace(rates=(0.1, 0.01))
    for rate, rough, fine in zip(
        problem.rates, paths(problem, make), paths(problem, FREE["schedule_free(sgd)"]), strict=True
    ):
        cycle, rest = (np.abs(path[-200:] - TARGET).max(0) / rate for path in (rough, fine))
        assert 0.3 < cycle.min() < cycle.max() < 3
        assert rest.max() < 0.1
