"""`check_contract` and `assert_contract`: the contract, on any optax-style transformation."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from adaptive_optax.core.checks import suggestion
from adaptive_optax.testing import (  # each adds its properties to CONTRACT
    interop,  # noqa: F401
    leaves,  # noqa: F401
    numbers,  # noqa: F401
    sanity,  # noqa: F401
    serialization,  # noqa: F401
    sharding,  # noqa: F401
    tracing,  # noqa: F401
)
from adaptive_optax.testing.case import CONTRACT, Case, Property
from adaptive_optax.testing.result import NotApplicableError, Report, Row, in_a_line, listed

PROPERTIES = {each.name: each.promise for each in CONTRACT}


def check_contract(
    make_tx: Any,
    *,
    properties: str | Iterable[str] | None = None,
    without: str | Iterable[str] = (),
    learning_rate: float | None = None,
    name: str | None = None,
) -> Report:
    """Try every property of the contract on a transformation, and report.

    A property that raises has failed, with the exception as evidence: nothing stops the run. The
    settings of jax are restored afterwards.

    Args:
      make_tx: a constructor, learning_rate -> transformation, such as `optax.adam`; or one that
        takes no learning rate, or a transformation. Of these two, properties that need another
        learning rate are not asked.
      properties: names of `PROPERTIES`, in one text with commas or several; None for all.
      without: names to leave out.
      learning_rate: the learning rate to build with, at least 0; None takes the constructor's own
        default, or 0.01 if it has none.
      name: the name in the report; None makes one up from make_tx.

    Returns:
      The report: `passed`, `failures`, `rows`, and a table when printed.

    Raises:
      TypeError: if make_tx gives no transformation.
      ValueError: if a name is not that of a property.

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
    with _default_settings():
        case = Case(make_tx, learning_rate, name)
    rows = []
    for each in wanted:
        try:
            with _default_settings():
                each.check(case)
        except NotApplicableError as reason:
            rows.append(Row(each.name, "n/a", str(reason)))
        except Exception as error:
            rows.append(Row(each.name, "fail", in_a_line(error), error))
        else:
            rows.append(Row(each.name, "pass"))
    return Report(case.name, tuple(rows))


def assert_contract(
    make_tx: Any,
    *,
    properties: str | Iterable[str] | None = None,
    without: str | Iterable[str] = (),
    learning_rate: float | None = None,
    name: str | None = None,
) -> None:
    """Raise if `check_contract`, which explains the arguments, finds a property broken.

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


def chosen(
    function: str, properties: str | Iterable[str] | None, without: str | Iterable[str]
) -> list[Property]:
    """Return the properties of these names, in the contract's order.

    Args:
      function: the name in errors.
      properties: names, in one text with commas or several; None for all.
      without: names to leave out.

    Raises:
      ValueError: if a name is unknown, or nothing is left.

    >>> [each.name for each in chosen("check_contract", "vmap,descends", "vmap")]
    ['descends']
    """
    asked = {"properties": PROPERTIES if properties is None else properties, "without": without}
    names = {}
    for argument, value in asked.items():
        words = value.split(",") if isinstance(value, str) else list(value)
        names[argument] = words = [word.strip() for word in words if word != ""]
        for word in words:
            if word not in PROPERTIES:
                near = suggestion(word, tuple(PROPERTIES))
                if "did you mean" not in near:
                    near = "; ao.testing.PROPERTIES lists them."
                raise ValueError(
                    f"{function}({argument}={word!r}): no property has this name{near}"
                )
    left = [p for p in CONTRACT if p.name in names["properties"] and p.name not in names["without"]]
    if not left:
        raise ValueError(f"{function}(properties={properties!r}): no property is left to check.")
    return left


@contextlib.contextmanager
def _default_settings() -> Iterator[None]:
    """Use jax's default settings without warnings; restore the user's settings afterwards."""
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
