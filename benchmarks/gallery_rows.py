"""The optimizers of the gallery, and the middle of each one's grid of learning rates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import adaptive_optax as ao
from adaptive_optax.comparison.grammar import parse

STEPS = 500


class Row(NamedTuple):
    """One optimizer."""

    name: str
    make: Callable[[Any], Any]  # learning rate -> transformation
    centre: float  # middle of its grid of learning rates
    note: str = ""  # for its panels
    shape: tuple[int, ...] = (2,)  # of the parameter


COLUMN = {"note": "as a (2, 1) matrix", "shape": (2, 1)}

AS_ADAM = ("adam", "amsgrad", "adamax", "adamw", "nadam", "nadamw", "radam", "adabelief", "yogi")
TABLE = (
    Row("sgd", lambda rate: ao.sgd(rate), 0.3),
    Row("momentum", lambda rate: ao.sgd(rate, momentum=0.9), 0.1),
    Row("nesterov", lambda rate: ao.sgd(rate, momentum=0.9, nesterov=True), 0.1),
    Row("adagrad", lambda rate: ao.adagrad(rate), 0.3),
    Row("adadelta", lambda rate: ao.adadelta(rate), 10.0),
    Row("rmsprop", lambda rate: ao.rmsprop(rate), 0.01),
    *(Row(name, getattr(ao, name), 0.1) for name in AS_ADAM),
    Row("adan", lambda rate: ao.adan(rate), 0.1),
    Row("ademamix", lambda rate: ao.ademamix(rate), 0.03),
    Row("adopt", lambda rate: ao.adopt(rate), 0.1),
    Row("mars", lambda rate: ao.mars(rate), 0.1),
    Row("lion", lambda rate: ao.lion(rate), 0.03),
    Row("lars", lambda rate: ao.lars(rate), 1.0),
    Row("lamb", lambda rate: ao.lamb(rate), 0.1),
    Row("adafactor", lambda rate: ao.adafactor(rate), 0.1),
    Row("sophia", lambda rate: ao.sophia(rate), 0.1, "exact Hessian diagonal"),
    Row("muon", lambda rate: ao.muon(rate), 0.1, **COLUMN),
    Row("soap", lambda rate: ao.soap(rate), 0.1, **COLUMN),
    Row("dadapt_adam", lambda rate: ao.dadapt_adam(rate), 1.0),
    Row("prodigy", lambda rate: ao.prodigy(rate), 1.0),
    Row("dog", lambda rate: ao.dog(rate), 1.0),
    Row("dowg", lambda rate: ao.dowg(rate), 1.0),
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
