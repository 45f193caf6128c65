"""The optimizers that the page covers: ours, and those of the same names in optax.

A name that a library does not have is left out, so that a new optimizer needs its name here only.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

import adaptive_optax as ao

NAMES = (
    *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw"),
    *("nadam", "nadamw", "radam", "lion", "amsgrad", "adamax", "adabelief", "yogi", "lamb"),
    *("lars", "adafactor", "adan", "ademamix", "adopt", "mars", "muon", "soap", "sophia"),
    *("prodigy", "dadapt_adam", "dog", "dowg"),
)

# Names that stand for another's options, in both libraries.
VARIANTS = {
    "momentum": ("sgd", {"momentum": 0.9}),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
}

# Where optax differs: another name, or the option without which its default climbs.
OPTAX = {"dadapt_adam": ("dadapt_adamw", {}), "adadelta": ("adadelta", {"learning_rate": 1.0})}

MakeTx = Callable[..., Any]


def ours() -> dict[str, MakeTx]:
    """The optimizers of adaptive_optax, by name."""
    found = _constructors((ao,), VARIANTS)
    if "sophia" in found:
        found["sophia"] = sophia
    return found


def optaxs() -> dict[str, MakeTx]:
    """The optimizers of optax and optax.contrib that have these names.

    Without Sophia, whose update asks for the loss itself.
    """
    found = _constructors((optax, optax.contrib), {**VARIANTS, **OPTAX})
    found.pop("sophia", None)
    return found


def sophia(learning_rate: Any) -> optax.GradientTransformationExtraArgs:
    """Our Sophia with ones for the estimate that its update asks for."""
    inner = ao.sophia(learning_rate)

    def update(grads, state, params=None, **extra_args):
        ones = jax.tree.map(jnp.ones_like, params)
        return inner.update(grads, state, params, hessian=ones, **extra_args)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def _constructors(modules: tuple, variants: dict) -> dict[str, MakeTx]:
    found = {}
    for name in NAMES:
        attribute, options = variants.get(name, (name, {}))
        places = [module for module in modules if hasattr(module, attribute)]
        if places:
            constructor = getattr(places[0], attribute)
            found[name] = functools.partial(constructor, **options) if options else constructor
    return found
