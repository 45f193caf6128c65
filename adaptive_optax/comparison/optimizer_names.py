"""What the words of an expression stand for: the optimizers, and the wrappers around them."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import optax

import adaptive_optax as ao
from adaptive_optax.introspection.structure import parts, structure
from adaptive_optax.optimizers.record import SUBJECT as SUBJECT_NAMES
from adaptive_optax.optimizers.record import records

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


def _optimizers() -> dict[str, Optimizer]:
    """What each plain word stands for: the optimizers of the records, and their named variants."""
    found = {}
    for name, record in records().items():
        if record.needs:  # what a task cannot give
            continue
        found[name] = Optimizer(record.constructor, record.learning_rate)
        for word, variant in record.variants.items():
            if variant.formula:
                make = functools.partial(record.constructor, **variant.options)
                found[word] = Optimizer(make, variant.learning_rate or record.learning_rate)
    return found


OPTIMIZERS = _optimizers()
SUBJECT = {
    word: optimizer
    for word, optimizer in OPTIMIZERS.items()
    if word in (*SUBJECT_NAMES, "momentum", "nesterov")
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
