"""A property of the contract, and the case it is tried on: a transformation and its builder."""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from adaptive_optax.core.checks import check_rate
from adaptive_optax.testing.result import NotApplicableError, in_a_line

RATE = 0.01  # for a constructor without a default learning rate
RATES = ("learning_rate", "lr", "rate", "step_size")  # usual names of a learning rate
THEMES = (  # in the order of reports
    *("state", "numbers", "leaves", "shapes", "sharding"),
    *("company", "strictness", "sense", "lasting", "targets"),
)


class Property(NamedTuple):
    """One promise of the contract: one row of a report."""

    name: str
    theme: str
    promise: str
    check: Callable[["Case"], None]  # raises BrokenError with evidence, or NotApplicableError


CONTRACT: list[Property] = []  # all properties, by theme


def promise(theme: str, text: str) -> Callable[[Callable], Callable]:
    """Decorate a check: its name becomes a property of the contract, with this promise."""

    def add(check: Callable) -> Callable:
        CONTRACT.append(Property(check.__name__, theme, text, check))
        CONTRACT.sort(key=lambda each: THEMES.index(each.theme))
        return check

    return add


class Case:
    """A transformation under test.

    Attributes:
      name: the name in reports.
      tx: the transformation as it is built by default.
      rate: the learning rate of `tx`, a number; a usual one if it is unknown.
      fixed: True if the learning rate cannot be varied.
      default: True if the learning rate is the constructor's own.
      traces: how often `step` was traced.
      step: the jitted update.
    """

    def __init__(self, make_tx: Any, learning_rate: float | None = None, name: str | None = None):
        """Build the transformation.

        Args:
          make_tx: constructor, or a transformation.
          learning_rate: learning rate to build with; None takes the constructor's own, or `RATE`.
          name: the name in reports; None makes one up.

        Raises:
          TypeError, ValueError: if that gives no transformation.
        """
        self.name = name or label(make_tx)
        self._make, own = _constructor(make_tx)
        self.fixed = own is _FIXED
        if learning_rate is not None:
            check_rate("check_contract", learning_rate=learning_rate)
            if self.fixed:
                raise ValueError(
                    f"check_contract(learning_rate={learning_rate}): {self.name} takes no learning "
                    f"rate; give a constructor, learning_rate -> transformation."
                )
        self.default = self.fixed or (learning_rate is None and own is not inspect.Parameter.empty)
        usual = own if isinstance(own, int | float) and not isinstance(own, bool) else RATE
        self.rate = float(usual if learning_rate is None else learning_rate)
        self.traces = 0
        self.tx = self.fresh()

        def update(grads, state, params):
            self.traces += 1
            return self.tx.update(grads, state, params)

        self.step = jax.jit(update)

    def fresh(self) -> Any:
        """Build the transformation once more."""
        rate = () if self.default else (self.rate,)
        try:
            tx = self._make(*rate)
        except Exception as error:
            given = f"with learning rate {self.rate}" if rate else "without arguments"
            raise TypeError(
                f"check_contract(make_tx={self.name}): calling it {given} raised "
                f"{in_a_line(error)}; give a constructor, learning_rate -> transformation, such "
                f"as lambda rate: optax.sgd(rate, momentum=0.9)."
            ) from error
        if not is_transformation(tx):
            raise TypeError(
                f"check_contract(make_tx={self.name}): it must give an optax transformation, "
                f"and gave {_short(tx)}."
            )
        return tx

    def at(self, rate: Any) -> Any:
        """Build the transformation at another learning rate: number, array (traced) or schedule.

        Raises:
          NotApplicableError: if the learning rate is fixed.
        """
        if self.fixed:
            raise NotApplicableError(
                "takes no learning rate; give a constructor, learning_rate -> transformation"
            )
        return self._make(rate)


def is_transformation(value: Any) -> bool:
    """Return True if value has init and update; the contract needs no more."""
    return not isinstance(value, type) and hasattr(value, "init") and hasattr(value, "update")


def label(make_tx: Any) -> str:
    """Return a name for reports.

    >>> import optax
    >>> label(optax.adam), label(functools.partial(optax.sgd, momentum=0.9))
    ('optax.adam', 'optax.sgd(momentum=0.9)')
    >>> label(optax.adam(0.1)), label(lambda rate: optax.sgd(rate))
    ('the transformation', 'the lambda')
    """
    if isinstance(make_tx, functools.partial):
        words = [_short(x) for x in make_tx.args]
        words += [f"{key}={_short(value)}" for key, value in make_tx.keywords.items()]
        return f"{label(make_tx.func)}({', '.join(words)})"
    if is_transformation(make_tx):
        return "the transformation"
    name = getattr(make_tx, "__qualname__", type(make_tx).__name__)
    if name.endswith("<lambda>"):
        return "the lambda"
    parts = (getattr(make_tx, "__module__", None) or "").split(".")
    for place in (parts[0], ".".join(parts[:2])):  # the public place, if there is one
        if getattr(sys.modules.get(place), name, None) is make_tx:
            return f"{place}.{name}"
    return name.rpartition(".<locals>.")[2]


_FIXED = object()  # instead of a default: there is no learning rate


def _constructor(make_tx: Any) -> tuple[Callable[..., Any], Any]:
    """Return a function of no arguments or of a learning rate, and the rate's default."""
    if is_transformation(make_tx):
        return lambda: make_tx, _FIXED
    if not callable(make_tx):
        raise TypeError(
            f"check_contract(make_tx={_short(make_tx)}): make_tx must be a constructor, "
            f"learning_rate -> transformation, such as optax.adam, or a transformation."
        )
    try:
        parameters = list(inspect.signature(make_tx).parameters.values())
    except (TypeError, ValueError):  # written in C, without a signature
        return make_tx, inspect.Parameter.empty
    positional = ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD", "VAR_POSITIONAL")
    named = [p for p in parameters if p.name in RATES]
    needed = [p for p in parameters if p.default is p.empty and p.kind.name in positional]
    if not named and not needed:
        return make_tx, _FIXED
    rate = (named or needed)[0]
    if rate.kind in (rate.POSITIONAL_ONLY, rate.VAR_POSITIONAL):
        return make_tx, rate.default
    return lambda *value: make_tx(**dict(zip([rate.name], value, strict=False))), rate.default


def _short(value: Any) -> str:
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
