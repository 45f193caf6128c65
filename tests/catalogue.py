"""Every case that the library is tested on, one row each.

A row says how the optimizer is built and what is known about it. The contract runs over all rows,
README's table is made of them, and `test_catalogue.py` holds that every public name is here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

import adaptive_optax as ao


class Case(NamedTuple):
    """One optimizer with its options."""

    id: str
    make: Callable[..., optax.GradientTransformation]  # learning rate -> optimizer
    names: tuple[str, ...]  # the public names that the row covers
    slots: int  # arrays of the parameter's size in the state
    rate: float  # a learning rate at which it descends on a unit quadratic
    rule: str = ""  # README: update rule; empty where the row is a variant
    when: str = ""  # README: when to use it
    needs_params: bool = False


def case(title: str, name: str, slots: int, rate: float, /, *, also=(), **about) -> Case:
    options = about.pop("options", {})
    constructor = getattr(ao, name)

    def make(learning_rate: Any = rate) -> optax.GradientTransformation:
        return constructor(learning_rate, **options)

    return Case(title, make, (name, *also), slots, rate, **about)


def over(title: str, inner: Case, slots: int, **options) -> Case:
    def make(learning_rate: Any = inner.rate) -> optax.GradientTransformation:
        return ao.lookahead(inner.make(learning_rate), **options)

    return Case(title, make, ("lookahead", "eval_params"), slots, inner.rate, needs_params=True)


OPTIMIZERS = [
    case(
        "sgd",
        "sgd",
        0,
        0.1,
        also=("scale_by_sgd", "descend", "leafwise"),
        rule="d = g",
        when="convolutions with a tuned schedule; no memory for slots",
    ),
    case(
        "momentum",
        "sgd",
        1,
        0.05,
        options={"momentum": 0.9},
        rule="trace = m trace + g, d = trace",
        when="the classic for convolutions",
    ),
    case(
        "nesterov",
        "sgd",
        1,
        0.05,
        options={"momentum": 0.9, "nesterov": True},
        rule="trace = m trace + g, d = g + m trace",
        when="as momentum, a little faster on smooth losses",
    ),
    case(
        "adagrad",
        "adagrad",
        1,
        0.1,
        also=("scale_by_adagrad", "scale_by_rss"),
        rule="nu = nu + g², d = g / (√nu + eps)",
        when="sparse features, convex problems",
    ),
    case(
        "rmsprop",
        "rmsprop",
        1,
        0.01,
        also=("scale_by_rmsprop", "scale_by_rms"),
        rule="nu = r nu + (1-r) g², d = g / (√nu + eps)",
        when="recurrent nets, reinforcement learning recipes",
    ),
    case("rmsprop-centered", "rmsprop", 2, 0.01, options={"centered": True, "eps": 1e-3}),
    case("rmsprop-momentum", "rmsprop", 2, 0.003, options={"momentum": 0.9}),
    case(
        "adadelta",
        "adadelta",
        2,
        1.0,
        also=("scale_by_adadelta",),
        rule="d = g √(nu_step + eps) / √(nu + eps)",
        when="no learning rate to set; starts slowly",
    ),
    case(
        "adam",
        "adam",
        2,
        0.05,
        also=("scale_by_adam",),
        rule="d = mu_hat / (√nu_hat + eps)",
        when="the first to try",
    ),
    case("adam-l2", "adam", 2, 0.05, options={"l2": 0.01}, needs_params=True),
    case(
        "adamw",
        "adamw",
        2,
        0.05,
        also=("scale_by_adamw",),
        rule="Adam's d + weight_decay p",
        when="the default for transformers and whatever is regularized",
        needs_params=True,
    ),
    case(
        "adamw-independent",
        "adamw",
        2,
        0.05,
        options={"weight_decay": 1e-3, "independent_decay": True},
        needs_params=True,
    ),
    case(
        "nadam",
        "nadam",
        2,
        0.05,
        also=("scale_by_nadam",),
        rule="Adam with Nesterov's look ahead and a momentum schedule",
        when="where Adam works and a faster start helps",
    ),
    case(
        "radam",
        "radam",
        2,
        0.05,
        also=("scale_by_radam",),
        rule="Adam times a rectifier r(t); mu_hat before it is defined",
        when="instead of tuning a warm-up",
    ),
    case("radam-skip", "radam", 2, 0.05, options={"before_rectification": "skip"}),
    case(
        "lion",
        "lion",
        1,
        0.01,
        also=("scale_by_lion", "scale_by_sign_momentum"),
        rule="d = sign(b1 mu + (1-b1) g), mu = b2 mu + (1-b2) g",
        when="large batches; one slot; a 3 to 10 times smaller rate",
    ),
    case("lion-decay", "lion", 1, 0.01, options={"weight_decay": 0.1}, needs_params=True),
]

_BY_ID = {row.id: row for row in OPTIMIZERS}

WRAPPED = [
    over("lookahead(momentum)", _BY_ID["momentum"], 2),
    over("lookahead(adam)", _BY_ID["adam"], 3)._replace(
        rule="every k steps: anchor += s (p - anchor), p = anchor",
        when="over any optimizer that oscillates",
    ),
    over("lookahead(adam)-reset", _BY_ID["adam"], 3, at_sync="reset"),
    over("lookahead(momentum)-pullback", _BY_ID["momentum"], 3, at_sync="pullback"),
]

CASES = [*OPTIMIZERS, *WRAPPED]

# Public names that are no optimizers of their own; their tests stand where named.
ELSEWHERE = {
    "ema": "test_parts.py",
    "bias_correction": "test_parts.py",
    "preset": "test_goldens.py",
    "schedules": "test_schedules.py",
}


def by_id(row: Case) -> str:
    """The row's name in a test's id."""
    return row.id
