"""Our optimizers, each with optax's of the same name or, for a mode, of the same mathematics."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax
import optax.contrib

import adaptive_optax as ao

RATE = 1e-3


class Pair(NamedTuple):
    """Two makers of what should be the same optimizer."""

    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    elementwise: bool = True  # whether no element of a step depends on another


def _namesakes(name: str, **options: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Ours and optax's optimizer of one name, with the same options."""
    theirs = getattr(optax, name, None) or getattr(optax.contrib, name)
    return lambda: getattr(ao, name)(RATE, **options), lambda: theirs(RATE, **options)


_ELEMENTWISE = (
    *("sgd", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "nadam", "nadamw", "radam"),
    *("amsgrad", "adamax", "adabelief", "yogi", "adan", "ademamix", "adopt"),
)
_WHOLE = ("lamb", "lars", "adafactor", "muon", "prodigy", "dog", "dowg")
_MODES: dict[str, tuple[str, dict[str, Any]]] = {
    "momentum": ("sgd", {"momentum": 0.9}),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
    "rmsprop-centered": ("rmsprop", {"centered": True}),
    "rmsprop-momentum": ("rmsprop", {"momentum": 0.9}),
    "lion": ("lion", {"weight_decay": 0.0}),
}

PAIRS: dict[str, Pair] = {
    **{name: Pair(*_namesakes(name)) for name in _ELEMENTWISE},
    **{name: Pair(*_namesakes(of, **options)) for name, (of, options) in _MODES.items()},
    **{name: Pair(*_namesakes(name), elementwise=False) for name in _WHOLE},
}
