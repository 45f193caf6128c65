"""`adaptive-optax contract`: the contract on what the command line names."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adaptive_optax.testing import libraries
from adaptive_optax.testing.case import CONTRACT, Property
from adaptive_optax.testing.contract import check_contract, chosen
from adaptive_optax.testing.import_optimizer import from_here, resolve
from adaptive_optax.testing.page import page
from adaptive_optax.testing.result import Report, hung, listed
from adaptive_optax.testing.sharding import FLAG

MARKS = {"pass": "ok", "fail": "FAIL", "n/a": "n/a"}


def run(options: argparse.Namespace) -> int:
    """Runs the sub-command.

    Returns:
      The exit code: 0 where all is kept, 1 where a property failed, 2 for what the user can set
      right. For the page of all optimizers only ours count.
    """
    if options.list:
        print(catalogue())
        return 0
    devices_on()
    try:
        properties = chosen("contract", options.properties, options.without or ())
        if options.page:
            return _write_page(options, properties)
        if not options.targets:
            raise ValueError("contract: give a target, such as optax.adam; --help has examples.")
        reports = _reports(_named(options.targets), properties, verbose=True)
    except (ValueError, TypeError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if len(reports) > 1:
        print(f"\n{matrix(reports)}")
    return int(not all(report.passed for report in reports))


def devices_on() -> None:
    """Eight devices on the CPU for the properties of sharding, if jax has not started yet."""
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAG.partition("=")[0] not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {FLAG}".strip()


def catalogue() -> str:
    """The properties by theme, with their promises."""
    wide = max(len(each.name) for each in CONTRACT)
    lines, theme = [], ""
    for each in CONTRACT:
        if each.theme != theme:
            lines.append(each.theme)
            theme = each.theme
        lines.append(hung(f"  {each.name:{wide}}  ", each.promise))
    return "\n".join(lines)


def matrix(reports: Sequence[Report]) -> str:
    """Property by transformation, as aligned text.

    >>> from adaptive_optax.testing.result import Row
    >>> verdicts = {"a.adam": "pass", "mine": "fail"}
    >>> print(matrix([Report(name, (Row("vmap", word),)) for name, word in verdicts.items()]))
          a.adam  mine
    vmap  ok      FAIL
    """
    rows = [row.property for row in reports[0].rows]
    first = max(map(len, rows))
    lines = [" " * first + "".join(f"  {report.name}" for report in reports)]
    for name in rows:
        cells = [f"  {MARKS[report[name].verdict]:{len(report.name)}}" for report in reports]
        lines.append(f"{name:{first}}{''.join(cells)}".rstrip())
    return "\n".join(lines)


def _named(targets: Sequence[str]) -> dict[str, Any]:
    with from_here():
        return {target: resolve(target) for target in targets}


def _reports(
    makers: Mapping[str, Any], properties: Sequence[Property], verbose: bool, prefix: str = ""
) -> list[Report]:
    """One report each, told as it comes: the summary, and with `verbose` all that is not kept."""
    names = [each.name for each in properties]
    reports = []
    for name, make in makers.items():
        with from_here():
            report = check_contract(make, properties=names, name=name)
        reports.append(report)
        alone = verbose and len(makers) == 1
        print(report if alone else prefix + report.summary, flush=True)
        if verbose and not alone and report.failures:
            print(listed(report.failures), flush=True)
    return reports


def _write_page(options: argparse.Namespace, properties: Sequence[Property]) -> int:
    path = Path(options.page)
    _check_writable(path)
    groups: dict[str, Mapping[str, Any]]
    if options.targets:
        groups = {"the targets": _named(options.targets)}
    else:
        groups = {"adaptive_optax": libraries.ours(), "optax": libraries.optaxs()}
    found = {
        title: _reports(makers, properties, verbose=False, prefix=f"{title} ")
        for title, makers in groups.items()
    }
    words = ["adaptive-optax contract", *options.targets]
    for option in ("properties", "without"):
        words += [f"--{option} {getattr(options, option)}"] if getattr(options, option) else []
    path.write_text(page(found, properties, " ".join([*words, f"--page {options.page}"])), "utf-8")
    print(f"the page is in {path}")
    counted = next(iter(found.values()))
    return int(not all(report.passed for report in counted))


def _check_writable(path: Path) -> None:
    """Says before the run, and not after it, that the file cannot be written."""
    try:
        path.open("a").close()
    except OSError as error:
        raise OSError(
            f"contract(page={str(path)!r}): cannot write there ({error.strerror or error}); "
            f"give another file."
        ) from error
