"""The optimizers of the gallery, and the middle of each one's grid of learning rates."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import adaptive_optax as ao
from adaptive_optax.comparison.grammar import parse
from adaptive_optax.optimizers.record import records

STEPS = 500


class Row(NamedTuple):
    """One optimizer."""

    name: str
    make: Callable[[Any], Any]  # learning rate -> transformation
    centre: float  # middle of its grid of learning rates
    note: str = ""  # for its panels
    shape: tuple[int, ...] = (2,)  # of the parameter


COLUMN = {"note": "as a (2, 1) matrix", "shape": (2, 1)}


def optimizers() -> list[Row]:
    """The optimizers of the records, and their variants that have a panel."""
    found = []
    for name, record in records().items():
        more = COLUMN if record.family == "matrix" else {"note": record.note}
        found.append(Row(name, record.constructor, record.gallery_rate, **more))
        for word, variant in record.variants.items():
            if variant.gallery_rate is not None:
                make = functools.partial(record.constructor, **variant.options)
                found.append(Row(word, make, variant.gallery_rate, **more))
    return found


TABLE = (
    *optimizers(),
    Row("lookahead(adam)", lambda rate: ao.lookahead(ao.adam(rate)), 0.1),
    Row("averaged(sgd)", lambda rate: ao.averaged(ao.sgd(rate)), 0.3),
    Row("schedule_free(sgd)", lambda rate: ao.schedule_free(ao.sgd(rate)), 1.0),
    Row("schedule_free(adam)", lambda rate: ao.schedule_free(ao.adam(rate, b1=0.0)), 0.1),
    Row("blend(adam+lion)", parse("blend(adam+lion)").make, 0.1),
    Row("switch(adam->lion)", parse("switch(adam->lion)", steps=STEPS).make, 0.1),
    Row("cautious(adam)", lambda rate: ao.cautious(ao.adam(rate)), 0.1),
    Row("cautious(lion)", lambda rate: ao.cautious(ao.lion(rate)), 0.03),
    Row("guarded(adam)", lambda rate: ao.guarded(ao.adam(rate), norm_sigmas=6.0), 0.1),
)
