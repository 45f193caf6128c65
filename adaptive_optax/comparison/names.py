"""The names of optimizers, as a command line has them: `adam`, `lookahead(radam)`.

    expression = word | wrapper(expression) | wrapper(expression JOINT expression ...)

A wrapper of one inner optimizer has no joint. To add one of several, such as a mixture written
with "+", add its row to WRAPPERS: the parser splits at the joint outside of parentheses.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import adaptive_optax as ao
from adaptive_optax.core.checks import check_positive, suggestion

MakeTx = Callable[[Any], Any]  # learning rate (traced), or a schedule -> transformation


class Entry(NamedTuple):
    """An optimizer to compare."""

    name: str
    make: MakeTx
    centre: float  # middle of its grid of learning rates


class Optimizer(NamedTuple):
    """What a plain word stands for."""

    make: MakeTx
    centre: float


class Wrapper(NamedTuple):
    """What a word before a parenthesis stands for."""

    wrap: Callable[[list[Any]], Any]  # inner transformations -> transformation
    joint: str | None  # what stands between the inner ones; None where there is one only


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


def _over_one(wrapper: Callable[[Any], Any]) -> Wrapper:
    return Wrapper(lambda inner: wrapper(*inner), None)


WRAPPERS: dict[str, Wrapper] = {
    "lookahead": _over_one(ao.lookahead),
    "schedule_free": _over_one(ao.schedule_free),
    "averaged": _over_one(ao.averaged),
    "cautious": _over_one(ao.cautious),
}

DEFAULT = (*SUBJECT, *(f"lookahead({name})" for name in SUBJECT))

OWN_CENTRE = 1e-3  # for a constructor that comes without one


def entries(optimizers: str | Iterable[str] | Mapping[str, Any] | None) -> list[Entry]:
    """What to compare, each name once; None is all of DEFAULT.

    Args:
      optimizers: expressions, in one text with commas or several; or a dict from a name to a
        constructor, or to a pair of it and its centre.

    Raises:
      TypeError, ValueError: for a name that is not known, a value of the wrong kind, or nothing.
    """
    if optimizers is None:
        optimizers = DEFAULT
    if isinstance(optimizers, Mapping):
        found = {name: _own(name, value) for name, value in optimizers.items()}
    else:
        texts = split(optimizers) if isinstance(optimizers, str) else optimizers
        found = {entry.name: entry for entry in map(parse, texts)}
    if not found:
        raise ValueError("compare(optimizers=[]): give at least one optimizer, such as 'adam'.")
    return list(found.values())


def parse(text: str) -> Entry:
    """The optimizer that an expression names.

    Raises:
      ValueError: for a word that is not known, with the nearest one, or a stray parenthesis.

    >>> parse("lookahead( adam )").name
    'lookahead(adam)'
    >>> parse("lookahead(lion)").centre
    0.0003
    """
    text = "".join(text.split())
    word, bracket, rest = text.partition("(")
    if not bracket and word in OPTIMIZERS:
        return Entry(word, *OPTIMIZERS[word])
    if not bracket or word not in WRAPPERS:
        raise ValueError(_unknown(word, bracket))
    if not rest.endswith(")") or not _balanced(rest[:-1]):
        raise ValueError(f"compare: {text!r}: parentheses do not match; write {word}(adam).")
    wrap, joint = WRAPPERS[word]
    inside = rest[:-1]
    members = [parse(part) for part in (split(inside, joint) if joint else [inside])]

    def make(rate):
        return wrap([member.make(rate) for member in members])

    between = (joint or "").join(member.name for member in members)
    return Entry(f"{word}({between})", make, members[0].centre)


def split(text: str, joint: str = ",") -> list[str]:
    """The parts of a text between its joints, those inside parentheses left alone.

    >>> split("sgd,lookahead(adam)")
    ['sgd', 'lookahead(adam)']
    """
    parts, depth, start, at = [], 0, 0, 0
    while at < len(text):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0 and text.startswith(joint, at):
            parts.append(text[start:at])
            start = at = at + len(joint)
        else:
            at += 1
    return [*parts, text[start:]]


def family(name: str) -> str:
    """The innermost name, which pictures colour by.

    >>> family("lookahead(lookahead(adam))")
    'adam'
    """
    return name.rpartition("(")[2].rstrip(")")


def centre(entry: Entry, centres: Mapping[str, float]) -> float:
    """Where its grid starts: the task's word on its name or on its family, or its own."""
    return centres.get(entry.name, centres.get(family(entry.name), entry.centre))


def _own(name: str, value: Any) -> Entry:
    make, centre = value if isinstance(value, tuple) else (value, OWN_CENTRE)
    if not callable(make):
        raise TypeError(
            f"compare(optimizers={{{name!r}: {make!r}}}): the value must be a constructor, "
            f"learning_rate -> optax transformation, such as optax.adam."
        )
    check_positive("compare", **{f"centre of {name!r}": centre})
    return Entry(name, make, float(centre))


def _unknown(word: str, bracket: str) -> str:
    if word in OPTIMIZERS:
        return f"compare: {word!r} takes no optimizer inside; write {word}, or lookahead({word})."
    if word == "sophia":
        return (
            "compare: 'sophia' needs estimates of the Hessian, which no task gives; leave it out."
        )
    if word in WRAPPERS:
        return f"compare: {word!r} needs an optimizer inside; write {word}(adam)."
    known = tuple(WRAPPERS) if bracket else (*OPTIMIZERS, *WRAPPERS)
    near = suggestion(word, known)
    if "did you mean" not in near:
        near = f"; known are {', '.join((*OPTIMIZERS, *WRAPPERS))}."
    return f"compare: unknown optimizer {word!r}{near}"


def _balanced(text: str) -> bool:
    depth = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            return False
    return depth == 0
