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
from adaptive_optax.optimizers.record import OptimizerRecord, records

MakeTx = Callable[..., Any]


def ours() -> dict[str, MakeTx]:
    """The optimizers of adaptive_optax, and their named variants, by name."""
    found = _found(lambda record: record.constructor)
    return found | ({"sophia": sophia} if "sophia" in found else {})


def optaxs() -> dict[str, MakeTx]:
    """The optimizers of optax and optax.contrib that have these names.

    Without Sophia, whose update asks for the loss itself.
    """

    def constructor(record: OptimizerRecord) -> Any:
        name = record.optax_name or record.name
        found: Any = getattr(optax, name, None) or getattr(optax.contrib, name, None)
        if record.name == "adadelta":  # its default learning rate climbs
            return functools.partial(optax.adadelta, learning_rate=1.0)
        return None if record.needs else found

    return _found(constructor)


def sophia(learning_rate: Any) -> optax.GradientTransformationExtraArgs:
    """Our Sophia with ones for the estimate that its update asks for."""
    inner = ao.sophia(learning_rate)

    def update(grads, state, params=None, **extra_args):
        ones = jax.tree.map(jnp.ones_like, params)
        return inner.update(grads, state, params, hessian=ones, **extra_args)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def _found(constructor: Callable[[OptimizerRecord], Any]) -> dict[str, MakeTx]:
    """What a library has of the optimizers and of their variants with a row in the tables."""
    found = {}
    for name, record in records().items():
        make = constructor(record)
        if make is not None:
            found[name] = make
            for word, variant in record.variants.items():
                if variant.formula:
                    found[word] = functools.partial(make, **variant.options)
    return found
