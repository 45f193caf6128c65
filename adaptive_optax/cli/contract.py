"""Try the contract on any optax-style transformation.

  adaptive-optax contract optax.adam
      every property of the contract, with evidence of broken ones: 10 seconds
  adaptive-optax contract my_module:my_optimizer adaptive_optax.lion
      several side by side; my_module may be a file in the current directory
  adaptive-optax contract optax.adam --properties fixed_point,huge_gradients
  adaptive-optax contract --list
  adaptive-optax contract --page docs/contract.md
      the page of all optimizers, here and in optax: a quarter of an hour

The exit code is 0 where all is kept, 1 where a property failed and 2 for misuse.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_optax.testing.case import Property
    from adaptive_optax.testing.result import Report

MARKS = {"pass": "ok", "fail": "FAIL", "n/a": "n/a"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command."""
    add = parser.add_argument
    add("targets", nargs="*", metavar="TARGET", help="module.attribute, or module:attribute")
    add("--properties", metavar="A,B", help="names of properties; all by default")
    add("--without", metavar="A,B", help="names of properties to leave out")
    add("--list", action="store_true", help="only list the properties")
    add("--page", metavar="FILE", help="write a page of Markdown; without targets, on all we know")


def run(options: argparse.Namespace) -> int:
    """Run the sub-command.

    Returns:
      The exit code: 0 if all is kept, 1 if a property failed, 2 for what the user can set right.
      For the page of all optimizers only ours count.
    """
    from adaptive_optax.testing import libraries
    from adaptive_optax.testing.case import CONTRACT
    from adaptive_optax.testing.contract import chosen
    from adaptive_optax.testing.import_optimizer import from_here, resolve
    from adaptive_optax.testing.page import page
    from adaptive_optax.testing.result import hung
    from adaptive_optax.testing.sharding import FLAG

    if options.list:
        wide = max(len(each.name) for each in CONTRACT)
        for at, each in enumerate(CONTRACT):
            if at == 0 or each.theme != CONTRACT[at - 1].theme:
                print(each.theme)
            print(hung(f"  {each.name:{wide}}  ", each.promise))
        return 0
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAG.partition("=")[0] not in flags:  # devices for the properties of sharding
        os.environ["XLA_FLAGS"] = f"{flags} {FLAG}".strip()
    path = None if options.page is None else Path(options.page)
    try:
        properties = chosen("contract", options.properties, options.without or ())
        if path:
            _check_writable(path)
        elif not options.targets:
            raise ValueError("contract: give a target, such as optax.adam; --help has examples.")
        with from_here():
            targets = {target: resolve(target) for target in options.targets}
        if not path:
            reports = _reports(targets, properties, verbose=True)
        else:
            groups: dict[str, Mapping[str, Any]] = {"the targets": targets}
            if not targets:
                groups = {"adaptive_optax": libraries.ours(), "optax": libraries.optaxs()}
            found = {
                title: _reports(makers, properties, prefix=f"{title} ")
                for title, makers in groups.items()
            }
            words = ["adaptive-optax contract", *options.targets]
            for option in ("properties", "without", "page"):
                value = getattr(options, option)
                words += [f"--{option} {value}"] if value else []
            path.write_text(page(found, properties, " ".join(words)), "utf-8")
            print(f"the page is in {path}")
            reports = next(iter(found.values()))
    except (ValueError, TypeError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if len(reports) > 1 and not path:
        print(f"\n{matrix(reports)}")
    return int(not all(report.passed for report in reports))


def matrix(reports: "Sequence[Report]") -> str:
    """Return a table of properties by transformations, as aligned text.

    >>> from adaptive_optax.testing.result import Report, Row
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


def _reports(
    makers: Mapping[str, Any], properties: "list[Property]", verbose: bool = False, prefix: str = ""
) -> "list[Report]":
    """Return one report each; print its summary, and with `verbose` all that is broken."""
    from adaptive_optax.testing.contract import check_contract
    from adaptive_optax.testing.import_optimizer import from_here
    from adaptive_optax.testing.result import listed

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


def _check_writable(path: Path) -> None:
    """Fail before the run, and not after it, if the file cannot be written."""
    try:
        path.open("a").close()
    except OSError as error:
        raise OSError(
            f"contract(page={str(path)!r}): cannot write there ({error.strerror or error}); "
            f"give another file."
        ) from error
