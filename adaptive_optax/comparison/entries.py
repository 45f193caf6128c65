"""What to compare: expressions such as `adam` and `lookahead(radam)`, or constructors of one's own.

`grammar` says how expressions are written, `words` what their words stand for.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from adaptive_optax.comparison.grammar import STEPS, Entry, parse, split
from adaptive_optax.comparison.optimizer_names import OPTIMIZERS as OPTIMIZERS
from adaptive_optax.comparison.optimizer_names import SUBJECT
from adaptive_optax.comparison.optimizer_names import WRAPPERS as WRAPPERS
from adaptive_optax.core.checks import check_positive

DEFAULT = (*SUBJECT, *(f"lookahead({name})" for name in SUBJECT))

OWN_CENTRE = 1e-3  # for a constructor that comes without one


def entries(
    optimizers: str | Iterable[str] | Mapping[str, Any] | None,
    centres: Mapping[str, float] | None = None,
    steps: int = STEPS,
) -> list[Entry]:
    """What to compare, each name once; None is all of DEFAULT.

    Args:
      optimizers: expressions, in one text with commas or several; or a dict from a name to a
        constructor, or to a pair of it and its centre.
      centres: of the task, for expressions; as in `grammar.parse`.
      steps: updates of a run; likewise.

    Raises:
      TypeError, ValueError: for a name that is not known, a value of the wrong kind, or nothing.
    """
    if optimizers is None:
        optimizers = DEFAULT
    if isinstance(optimizers, Mapping):
        found = {name: _own(name, value) for name, value in optimizers.items()}
    else:
        texts = split(optimizers) if isinstance(optimizers, str) else optimizers
        found = {entry.name: entry for entry in (parse(text, centres, steps) for text in texts)}
    if not found:
        raise ValueError("compare(optimizers=[]): give at least one optimizer, such as 'adam'.")
    return list(found.values())


def family(name: str) -> str:
    """The innermost name, of several the first, which pictures colour by.

    >>> family("lookahead(lookahead(adam,every=10))"), family("switch(adam->sgd)")
    ('adam', 'adam')
    """
    inner = re.match(r"(?:\w+\()+(\w+)", name)
    return inner[1] if inner else name


def _own(name: str, value: Any) -> Entry:
    make, centre = value if isinstance(value, tuple) else (value, OWN_CENTRE)
    if not callable(make):
        raise TypeError(
            f"compare(optimizers={{{name!r}: {make!r}}}): the value must be a constructor, "
            f"learning_rate -> optax transformation, such as optax.adam."
        )
    check_positive("compare", **{f"centre of {name!r}": centre})
    return Entry(name, make, float(centre))
