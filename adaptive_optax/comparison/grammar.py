"""Expressions for optimizers, as a command line has them: `adam`, `lookahead(radam,every=10)`.

    expression = word | wrapper(members) | wrapper(members,option=value,...)
    members    = expression | expression + expression ... | expression -> expression ...

Only a wrapper of several members has a joint between them: `blend(adam+lion)`, `switch(adam->sgd)`.
A value is a number, a word, true, false, none, or several with colons between: `0.7:0.3`.

An expression has one learning rate, its first member's. Every other member's is that times the
proportion of their usual rates, so that a mixture is tuned by the same grid as one optimizer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from adaptive_optax.comparison.optimizer_names import OPTIMIZERS, WRAPPERS, MakeTx, Wrapper
from adaptive_optax.core.checks import suggestion

STEPS = 1000  # of a run whose length nobody has said


class Entry(NamedTuple):
    """An optimizer to compare."""

    name: str
    make: MakeTx
    centre: float  # middle of its grid of learning rates


def parse(text: str, centres: Mapping[str, float] | None = None, steps: int = STEPS) -> Entry:
    """The optimizer that an expression names.

    Args:
      text: the expression; blanks do not count.
      centres: usual learning rates by name, where a task has its own; of a wrapper that is not
        among them, its first member's.
      steps: updates of the run, at least 1: what is done in the midst of it is done there.

    Raises:
      ValueError: for a word or an option that is not known, with the nearest one; for a stray
        parenthesis; and for what the wrapper itself says of its options.

    >>> parse("lookahead( adam )").name
    'lookahead(adam)'
    >>> parse("lookahead(lion,every=10)", {"lion": 0.002}).centre
    0.002
    """
    return _read("".join(text.split()), centres or {}, steps)


def split(text: str, joint: str = ",") -> list[str]:
    """The parts of a text between its joints, those inside parentheses left alone.

    >>> split("sgd,lookahead(adam,every=10)")
    ['sgd', 'lookahead(adam,every=10)']
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


def _read(text: str, centres: Mapping[str, float], steps: int) -> Entry:
    for name, row in WRAPPERS.items():
        if row.joint and len(split(text, row.joint)) > 1:
            raise ValueError(
                f"compare: {text!r}: {row.joint!r} stands between the members of {name}; "
                f"write {name}({text})."
            )
    word, bracket, rest = text.partition("(")
    if not bracket and word in OPTIMIZERS:
        plain = OPTIMIZERS[word]
        return Entry(word, plain.make, centres.get(word, plain.centre))
    if not bracket or word not in WRAPPERS:
        raise ValueError(_unknown(word, bracket))
    if not rest.endswith(")") or not _balanced(rest[:-1]):
        raise ValueError(f"compare: {text!r}: parentheses do not match; write {word}(adam).")
    wrapper = WRAPPERS[word]
    inside, *settings = split(rest[:-1])
    texts = split(inside, wrapper.joint) if wrapper.joint else [inside]
    members = [_read(part, centres, steps) for part in texts]
    given = _options(text, word, wrapper, settings)
    options = {**wrapper.usual(given, steps, len(members)), **given}

    def make(rate):
        made = [member.make(_proportional(rate, member, members[0])) for member in members]
        inner = dict(zip(_unique(members), made, strict=True)) if wrapper.joint else made[0]
        return wrapper.wrap(inner, **options)

    name = f"{word}({','.join([(wrapper.joint or '').join(m.name for m in members), *settings])})"
    entry = Entry(name, make, centres.get(name, members[0].centre))
    try:
        make(entry.centre)  # what it says of its options is said before any training
    except (TypeError, ValueError) as error:
        raise ValueError(f"compare: {name!r}: {error}") from error
    return entry


def _proportional(rate: Any, member: Entry, first: Entry) -> Any:
    """The rate of a member, a number or a schedule, where the first one's is `rate`."""
    return rate if member.centre == first.centre else (member.centre / first.centre) * rate


def _unique(members: Sequence[Entry]) -> list[str]:
    """The members' names; one that comes again has its number behind it."""
    names = [member.name for member in members]
    times = [names[: k + 1].count(name) for k, name in enumerate(names)]
    return [f"{n}#{k}" if k > 1 else n for n, k in zip(names, times, strict=True)]


def _options(text: str, word: str, wrapper: Wrapper, settings: list[str]) -> dict[str, Any]:
    """The keyword arguments that `name=value` texts are."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not value:
            members = f", and members are joined by {wrapper.joint!r}" if wrapper.joint else ""
            raise ValueError(
                f"compare: {text!r}: {setting!r} is no option; write name=value{members}."
            )
        if name not in wrapper.keywords:
            near = suggestion(name, wrapper.keywords)
            if "did you mean" not in near:
                near = f"; it has {', '.join(wrapper.keywords) or 'none'}."
            raise ValueError(f"compare: {text!r}: {word} has no option {name!r} here{near}")
        if name in found:
            raise ValueError(f"compare: {text!r}: {name} is given twice; leave one out.")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    if ":" in text:
        return tuple(_value(part) for part in text.split(":"))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _unknown(word: str, bracket: str) -> str:
    if word in OPTIMIZERS:
        return f"compare: {word!r} takes no optimizer inside; write {word}, or lookahead({word})."
    if word == "sophia":
        return (
            "compare: 'sophia' needs estimates of the Hessian, which no task gives; leave it out."
        )
    if word in WRAPPERS:
        example = (WRAPPERS[word].joint or "").join(
            ("adam", "lion")[: 2 if WRAPPERS[word].joint else 1]
        )
        return f"compare: {word!r} needs an optimizer inside; write {word}({example})."
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
