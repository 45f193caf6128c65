"""What is under test: a transformation, and how to build it at another learning rate."""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

import jax

from adaptive_optax.core.checks import check_rate
from adaptive_optax.testing.evidence import NotApplicableError, in_a_line

RATE = 0.01  # for a constructor that has no learning rate of its own
RATES = ("learning_rate", "lr", "rate", "step_size")  # names that a learning rate goes by


class Subject:
    """A transformation under test.

    Attributes:
      name: what reports call it.
      tx: the transformation as it is built by default.
      rate: the learning rate that `tx` has, a number, or a usual one where that is not known.
      fixed: whether the learning rate cannot be varied.
      default: whether the rate is the constructor's own.
      traces: how often `step` was traced.
    """

    def __init__(self, make_tx: Any, learning_rate: float | None = None, name: str | None = None):
        """Builds the transformation.

        Args:
          make_tx: constructor, or a transformation.
          learning_rate: the rate to build with; None takes the constructor's own, or `RATE`.
          name: what reports call it; None makes one up.

        Raises:
          TypeError, ValueError: where that gives no transformation.
        """
        self.name = name or label(make_tx)
        self._make, own = _constructor(self.name, make_tx)
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
        self.step = jax.jit(self._update)

    def fresh(self) -> Any:
        """The transformation built once more."""
        return self._built() if self.default else self._built(self.rate)

    def at(self, rate: Any) -> Any:
        """The transformation at another learning rate: a number, an array (traced) or a schedule.

        Raises:
          NotApplicableError: where the rate is fixed.
        """
        if self.fixed:
            raise NotApplicableError(
                "takes no learning rate; give a constructor of one to have it told"
            )
        return self._make(rate)

    def _built(self, *rate: Any) -> Any:
        try:
            tx = self._make(*rate)
        except Exception as error:
            given = f"with learning rate {rate[0]}" if rate else "without arguments"
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

    def _update(self, grads: Any, state: Any, params: Any) -> Any:
        self.traces += 1
        return self.tx.update(grads, state, params)


def is_transformation(value: Any) -> bool:
    """Whether value has init and update, which all that is asked of it needs."""
    return not isinstance(value, type) and hasattr(value, "init") and hasattr(value, "update")


def label(make_tx: Any) -> str:
    """A name for reports.

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
    module = getattr(make_tx, "__module__", None) or ""
    parts = module.split(".")
    for place in (parts[0], ".".join(parts[:2])):  # where it is public, if it is
        if getattr(sys.modules.get(place), name, None) is make_tx:
            return f"{place}.{name}"
    return name.rpartition(".<locals>.")[2]


_FIXED = object()  # in place of a default: there is no learning rate


def _constructor(name: str, make_tx: Any) -> tuple[Callable[..., Any], Any]:
    """A function of no arguments or of a rate, and the rate's default (`empty` for none)."""
    if is_transformation(make_tx):
        return lambda: make_tx, _FIXED
    if not callable(make_tx):
        raise TypeError(
            f"check_contract(make_tx={_short(make_tx)}): make_tx must be a constructor, "
            f"learning_rate -> transformation, such as optax.adam, or a transformation."
        )
    try:
        parameters = list(inspect.signature(make_tx).parameters.values())
    except (TypeError, ValueError):  # written in C: it does not tell
        return make_tx, inspect.Parameter.empty
    named = [p for p in parameters if p.name in RATES]
    needed = [
        p
        for p in parameters
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if not named and not needed:
        return make_tx, _FIXED
    rate = (named or needed)[0]
    if rate.kind in (rate.POSITIONAL_ONLY, rate.VAR_POSITIONAL):
        return make_tx, rate.default
    return lambda *value: make_tx(**dict(zip([rate.name], value, strict=False))), rate.default


def _short(value: Any) -> str:
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
