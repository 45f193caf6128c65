"""The page of the contract in Markdown: what each property promises, and who keeps it."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence

from adaptive_optax.testing.case import Property
from adaptive_optax.testing.result import Report, in_a_cell, kept, table

MARKS = {"pass": "✓", "fail": "✗", "n/a": "n/a"}
COLUMNS = 10  # optimizers per table, so that it fits a screen

HEAD = """# The contract, kept and not kept

A right formula is not all that a user may expect of an optimizer. Below are {count} properties that
any optax-style transformation can keep, and which optimizers keep them. Each cell is one run of one
check, on the CPU and with default options. Nothing here is written by hand: {command}
makes this page again.

Versions: {versions}.

The same checks run on your own transformation:

```python
import adaptive_optax.testing

print(adaptive_optax.testing.check_contract(my_optimizer))  # learning_rate -> transformation
adaptive_optax.testing.assert_contract(my_optimizer, without=("orbax",))  # in a test
```

or `adaptive-optax contract my_module.my_optimizer`, which prints the evidence for each failure.
A property that cannot be asked, such as learning rate 0 of a transformation that has none, counts
neither way (n/a).
"""


def page(
    libraries: Mapping[str, Sequence[Report]], properties: Sequence[Property], command: str
) -> str:
    """Return all reports as one page.

    Args:
      libraries: the reports of each library, each over all properties, named as their columns.
      properties: the properties of the reports.
      command: the command that makes the page.
    """
    rows, before = [], ""
    for each in properties:
        counts = [kept([report[each.name] for report in reports]) for reports in libraries.values()]
        theme = "" if each.theme == before else each.theme
        rows.append([theme, f"`{each.name}`", each.promise, *counts])
        before = each.theme
    all_rows = [
        [row for report in reports for row in report.rows] for reports in libraries.values()
    ]
    rows.append(["", "**all**", "", *(f"**{kept(each)}**" for each in all_rows)])
    parts = [
        HEAD.format(count=len(properties), command=f"`{command}`", versions=versions()),
        "## What is promised, and how many keep it\n",
        table(["theme", "property", "promise", *libraries], rows, ["---:"] * len(libraries)) + "\n",
    ]
    for library, reports in libraries.items():
        parts.append(f"## {library}\n")
        for start in range(0, len(reports), COLUMNS):
            some = reports[start : start + COLUMNS]
            rows = [
                [f"`{each.name}`", *(MARKS[report[each.name].verdict] for report in some)]
                for each in properties
            ]
            rows.append(["**kept**", *(kept(report.rows) for report in some)])
            head = ["", *(in_a_cell(report.name) for report in some)]
            parts.append(table(head, rows, [":-:"] * len(some)) + "\n")
    for library, reports in libraries.items():
        parts.append(f"## What was seen: {library}\n")
        before_evidence = len(parts)
        for each in properties:
            seen: dict[str, list[str]] = {}  # evidence -> the optimizers that fail with it
            for report in reports:
                row = report[each.name]
                if row.verdict == "fail":
                    seen.setdefault(row.evidence, []).append(report.name)
            if seen:
                parts.append(f"`{each.name}`: {each.promise}\n")
                parts += [
                    f"- {', '.join(names)}: {in_a_cell(text)}" for text, names in seen.items()
                ]
                parts.append("")
        if len(parts) == before_evidence:
            parts.append("No failure.\n")
    return "\n".join(parts).replace("|  |", "| |").rstrip() + "\n"


def versions() -> str:
    """Return the versions that the verdicts depend on."""
    found = [f"Python {platform.python_version()}"]
    for name in ("adaptive_optax", "optax", "jax", "jaxlib", "flax", "orbax-checkpoint"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)
