"""What the words of an expression stand for: the optimizers, and the wrappers around them."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import optax

import adaptive_optax as ao
from adaptive_optax.introspection.structure import parts, structure

MakeTx = Callable[[Any], Any]  # learning rate (traced), or a schedule -> transformation


class Optimizer(NamedTuple):
    """What a plain word stands for."""

    make: MakeTx
    centre: float  # middle of its grid of learning rates


class Wrapper(NamedTuple):
    """What a word before a parenthesis stands for."""

    wrap: Callable[..., Any]  # inner, or where there is a joint {name: inner}, and options
    joint: str | None = None  # what stands between the inner ones; None where there is one only
    keywords: tuple[str, ...] = ()  # the options that an expression can give
    usual: Callable[[dict[str, Any], int, int], dict[str, Any]] = lambda given, steps, members: {}
    previous: bool = False  # whether its update needs previous_grads


SUBJECT: dict[str, Optimizer] = {
    "sgd": Optimizer(ao.sgd, 0.1),
    "momentum": Optimizer(lambda rate: ao.sgd(rate, momentum=0.9), 0.03),
    "nesterov": Optimizer(lambda rate: ao.sgd(rate, momentum=0.9, nesterov=True), 0.03),
    "adagrad": Optimizer(ao.adagrad, 0.01),
    "rmsprop": Optimizer(ao.rmsprop, 1e-3),
    "adadelta": Optimizer(ao.adadelta, 1.0),
    "adam": Optimizer(ao.adam, 1e-3),
    "adamw": Optimizer(ao.adamw, 1e-3),
    "nadam": Optimizer(ao.nadam, 1e-3),
    "radam": Optimizer(ao.radam, 1e-3),
    "lion": Optimizer(ao.lion, 3e-4),
}

OPTIMIZERS = {
    **SUBJECT,
    "amsgrad": Optimizer(ao.amsgrad, 1e-3),
    "adamax": Optimizer(ao.adamax, 2e-3),
    "adabelief": Optimizer(ao.adabelief, 1e-3),
    "yogi": Optimizer(ao.yogi, 3e-3),
    "nadamw": Optimizer(ao.nadamw, 1e-3),
    "adan": Optimizer(ao.adan, 3e-3),
    "ademamix": Optimizer(ao.ademamix, 1e-3),
    "adopt": Optimizer(ao.adopt, 1e-3),
    "mars": Optimizer(ao.mars, 3e-3),
    "lamb": Optimizer(ao.lamb, 1e-2),
    "lars": Optimizer(ao.lars, 3.0),
    "adafactor": Optimizer(ao.adafactor, 3e-2),
    "muon": Optimizer(ao.muon, 1e-2),
    "soap": Optimizer(ao.soap, 3e-3),
    "prodigy": Optimizer(ao.prodigy, 1.0),
    "dadapt_adam": Optimizer(ao.dadapt_adam, 1.0),
    "dog": Optimizer(ao.dog, 1.0),
    "dowg": Optimizer(ao.dowg, 1.0),
}


def _keywords(function: Callable[..., Any], after: int = 1) -> tuple[str, ...]:
    """A function's keywords, those after its first ones; the rate is the grid's to give."""
    names = list(inspect.signature(function).parameters)[after:]
    return tuple(name for name in names if name != "learning_rate")


def _wrapper(function: Callable[..., Any], joint: str | None = None, **traits: Any) -> Wrapper:
    return Wrapper(function, joint, _keywords(function), **traits)


def _switch(members: dict[str, Any], at: Any = None, **options: Any) -> Any:
    steps = list(at) if isinstance(at, tuple | list) else at and [at]
    return ao.switch(members, steps, **options)


def _switch_usual(given: dict[str, Any], steps: int, members: int) -> dict[str, Any]:
    """Equal shares of the run; a criterion gets windows short enough for it."""
    if "when" in given:
        return {"window": max(4, min(50, steps // 20))}
    if "at" in given:
        return {}
    return {"at": [max(k, steps * k // members) for k in range(1, members)]}


def _plateau(inner: Any, **options: Any) -> Any:
    return optax.chain(inner, ao.reduce_on_plateau(**options))


def _plateau_usual(given: dict[str, Any], steps: int, members: int) -> dict[str, Any]:
    """What it watches here is the loss of one batch, too noisy to be judged at each step."""
    return {"accumulation_size": max(1, steps // 20), "patience": 2}


WRAPPERS: dict[str, Wrapper] = {
    "lookahead": _wrapper(ao.lookahead),
    "schedule_free": _wrapper(ao.schedule_free),
    "averaged": _wrapper(ao.averaged),
    "cautious": _wrapper(ao.cautious),
    # The additive mode's step has a unit, so that no number suits all optimizers and rates.
    "hypergradient": _wrapper(ao.hypergradient, usual=lambda *_: {"mode": "multiplicative"}),
    "plateau": Wrapper(
        _plateau, None, _keywords(ao.reduce_on_plateau, after=0), usual=_plateau_usual
    ),
    "multi_steps": _wrapper(ao.multi_steps, usual=lambda *_: {"every": 2}),
    "smoothed": _wrapper(ao.smoothed),
    "variance_reduced": _wrapper(ao.variance_reduced, previous=True),
    "blend": _wrapper(ao.blend, "+"),
    "switch": Wrapper(_switch, "->", _keywords(ao.switch), usual=_switch_usual),
}


def needs_previous(tx: Any) -> bool:
    """Whether anything inside a transformation needs the gradient at the previous parameters.

    >>> needs_previous(ao.lookahead(ao.adam(0.1)))
    False
    """
    needing = {word for word, wrapper in WRAPPERS.items() if wrapper.previous}
    return any(part.name in needing for part in parts(structure(tx)))
