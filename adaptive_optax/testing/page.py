"""The page of the contract in Markdown: what each property promises, and who keeps it."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence

from adaptive_optax.testing.properties import Property
from adaptive_optax.testing.report import FAIL, NOT_APPLICABLE, Report, in_a_cell

MARKS = {"pass": "✓", FAIL: "✗", NOT_APPLICABLE: "n/a"}
COLUMNS = 10  # optimizers side by side in a table

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
    """All reports on one page.

    Args:
      libraries: the reports of each library, each over all properties, named as their columns.
      properties: what they are about.
      command: what makes the page.
    """
    parts = [
        HEAD.format(count=len(properties), command=f"`{command}`", versions=versions()),
        "## What is promised, and how many keep it\n",
        _promises(libraries, properties),
    ]
    for library, reports in libraries.items():
        parts += [f"## {library}\n", *_matrices(reports, properties)]
    for library, reports in libraries.items():
        parts += [f"## What was seen: {library}\n", _evidence(reports, properties)]
    return "\n".join(parts).rstrip() + "\n"


def versions() -> str:
    """Of all that the verdicts depend on."""
    names = ("adaptive_optax", "optax", "jax", "jaxlib", "flax", "orbax-checkpoint")
    found = [f"Python {platform.python_version()}"]
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


def _promises(libraries: Mapping[str, Sequence[Report]], properties: Sequence[Property]) -> str:
    lines = [
        f"| theme | property | promise | {' | '.join(libraries)} |",
        f"|---|---|---|{'---:|' * len(libraries)}",
    ]
    theme = ""
    for each in properties:
        counts = [
            _kept([report[each.name].verdict for report in reports])
            for reports in libraries.values()
        ]
        shown = "" if each.theme == theme else each.theme
        lines.append(f"| {shown} | `{each.name}` | {each.promise} | {' | '.join(counts)} |")
        theme = each.theme
    totals = [
        _kept([row.verdict for report in reports for row in report.rows])
        for reports in libraries.values()
    ]
    lines.append(f"| | **all** | | {' | '.join(f'**{total}**' for total in totals)} |")
    return "\n".join(lines) + "\n"


def _kept(verdicts: Sequence[str]) -> str:
    applied = [verdict for verdict in verdicts if verdict != NOT_APPLICABLE]
    return f"{len(applied) - applied.count(FAIL)} of {len(applied)}"


def _matrices(reports: Sequence[Report], properties: Sequence[Property]) -> list[str]:
    """Tables of property by optimizer, side by side no more than fit a screen."""
    tables = []
    for start in range(0, len(reports), COLUMNS):
        some = reports[start : start + COLUMNS]
        lines = [
            f"| | {' | '.join(in_a_cell(report.name) for report in some)} |",
            f"|---|{':-:|' * len(some)}",
        ]
        for each in properties:
            marks = [MARKS[report[each.name].verdict] for report in some]
            lines.append(f"| `{each.name}` | {' | '.join(marks)} |")
        kept = [_kept([row.verdict for row in report.rows]) for report in some]
        lines.append(f"| **kept** | {' | '.join(kept)} |")
        tables.append("\n".join(lines) + "\n")
    return tables


def _evidence(reports: Sequence[Report], properties: Sequence[Property]) -> str:
    """For each property the optimizers that fail, those with the same evidence together."""
    parts = []
    for each in properties:
        seen: dict[str, list[str]] = {}
        for report in reports:
            row = report[each.name]
            if row.verdict == FAIL:
                seen.setdefault(row.evidence, []).append(report.name)
        if seen:
            parts.append(f"`{each.name}`: {each.promise}\n")
            parts += [f"- {', '.join(names)}: {in_a_cell(text)}" for text, names in seen.items()]
            parts.append("")
    return "\n".join(parts) if parts else "No failure.\n"
