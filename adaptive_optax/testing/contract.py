"""`check_contract` and `assert_contract`: the contract, on any optax-style transformation."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from adaptive_optax.testing.evidence import NotApplicableError, in_a_line
from adaptive_optax.testing.properties import Property, chosen
from adaptive_optax.testing.report import FAIL, NOT_APPLICABLE, PASS, Report, Row, listed
from adaptive_optax.testing.subject import Subject


def check_contract(
    make_tx: Any,
    *,
    properties: str | Iterable[str] | None = None,
    without: str | Iterable[str] = (),
    learning_rate: float | None = None,
    name: str | None = None,
) -> Report:
    """Tries every property of the contract on a transformation, and reports.

    A property that raises has failed, with the exception for evidence: nothing stops the run. The
    settings of jax are left as they were.

    Args:
      make_tx: a constructor, learning_rate -> transformation, such as `optax.adam`; or one that
        takes no learning rate, or a transformation already built, of which what needs another
        learning rate is not asked.
      properties: names of `PROPERTIES`, in one text with commas or several; None for all.
      without: names to leave out.
      learning_rate: the rate to build with, at least 0; None takes the constructor's own default,
        or 0.01 where it has none.
      name: what the report calls it; None makes one up from make_tx.

    Returns:
      The report: `passed`, `failures`, `rows`, and a table when printed.

    Raises:
      TypeError: where make_tx gives no transformation.
      ValueError: for a name that is no property's.

    >>> import adaptive_optax as ao, optax
    >>> print(check_contract(ao.adam, properties="wide_slots, rate_zero"))
    adaptive_optax.adam: 2 of 2
      wide_slots  pass
      rate_zero   pass
    >>> print(check_contract(optax.adam, properties="wide_slots, rate_zero"))
    optax.adam: 1 of 2
      wide_slots  fail  bfloat16 parameters: state [0].mu['inner']['bias'] is bfloat16
      rate_zero   pass
    """
    wanted = chosen("check_contract", properties, without)
    with _as_jax_comes():
        subject = Subject(make_tx, learning_rate, name)
    return Report(subject.name, tuple(_row(each, subject) for each in wanted))


def assert_contract(
    make_tx: Any,
    *,
    properties: str | Iterable[str] | None = None,
    without: str | Iterable[str] = (),
    learning_rate: float | None = None,
    name: str | None = None,
) -> None:
    """Raises where `check_contract`, which explains the arguments, finds a property broken.

    Raises:
      AssertionError: with a row for each property that failed.

    >>> import adaptive_optax as ao
    >>> assert_contract(ao.sgd, properties=("update_dtype", "rate_zero"))
    """
    report = check_contract(
        make_tx, properties=properties, without=without, learning_rate=learning_rate, name=name
    )
    if not report.passed:
        raise AssertionError(
            f"{report.summary}\n{listed(report.failures)}\n"
            f"To leave properties out on purpose: assert_contract(..., "
            f"without={tuple(row.property for row in report.failures)!r})."
        ) from report.failures[0].error


def _row(each: Property, subject: Subject) -> Row:
    try:
        with _as_jax_comes():
            each.check(subject)
    except NotApplicableError as reason:
        return Row(each.name, NOT_APPLICABLE, str(reason))
    except Exception as error:
        return Row(each.name, FAIL, in_a_line(error), error)
    return Row(each.name, PASS)


@contextlib.contextmanager
def _as_jax_comes() -> Iterator[None]:
    """The settings of a fresh jax inside, without warnings; afterwards those that were before."""
    before = dict(jax.config.values)
    try:
        with (
            warnings.catch_warnings(),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
            jax.debug_nans(False),
            jax.disable_jit(False),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for key, value in jax.config.values.items():
            if value != before[key]:
                jax.config.update(key, before[key])
