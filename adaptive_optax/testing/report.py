"""What a run of the contract found: a row a property, as text and as Markdown."""

import textwrap
from dataclasses import dataclass, field
from typing import Any

PASS, FAIL, NOT_APPLICABLE = "pass", "fail", "n/a"
WIDTH = 100  # columns of the text


@dataclass(frozen=True)
class Row:
    """One property of one transformation."""

    property: str
    verdict: str  # "pass", "fail" or "n/a", which is neither
    evidence: str = ""  # for "fail" what was seen, for "n/a" why, else empty
    error: BaseException | None = field(default=None, repr=False, compare=False)  # of a failure


@dataclass(frozen=True)
class Report:
    """All properties of one transformation; `print` it."""

    name: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether no property failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.verdict == FAIL)

    @property
    def summary(self) -> str:
        """How many of the properties that apply were kept, in a line.

        >>> Report("mine", (Row("vmap", "pass"), Row("orbax", "n/a", "missing"))).summary
        'mine: 1 of 1, 1 n/a'
        """
        left = sum(row.verdict == NOT_APPLICABLE for row in self.rows)
        applied = len(self.rows) - left
        kept = applied - len(self.failures)
        return f"{self.name}: {kept} of {applied}" + (f", {left} n/a" if left else "")

    def __getitem__(self, name: str) -> Row:
        """The row of a property, by its name."""
        for row in self.rows:
            if row.property == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        return f"{self.summary}\n{listed(self.rows)}"

    def markdown(self) -> str:
        """The report as a table of Markdown.

        >>> print(Report("mine", (Row("vmap", "pass"),)).markdown())
        | mine: 1 of 1 | verdict | evidence |
        |---|---|---|
        | `vmap` | pass |  |
        """
        lines = [f"| {self.summary} | verdict | evidence |", "|---|---|---|"]
        for row in self.rows:
            lines.append(f"| `{row.property}` | {row.verdict} | {in_a_cell(row.evidence)} |")
        return "\n".join(lines)


def listed(rows: Any) -> str:
    """The rows as aligned text; long evidence goes on under its column.

    >>> print(listed([Row("vmap", "pass"), Row("descends", "fail", "stands still")]))
      vmap      pass
      descends  fail  stands still
    """
    wide = max((len(row.property) for row in rows), default=0)
    return "\n".join(hung(f"  {r.property:{wide}}  {r.verdict:4}  ", r.evidence) for r in rows)


def hung(head: str, text: str) -> str:
    """The text after the head; its further lines under its first.

    >>> print(hung("a  ", "word " * 30))  # doctest: +ELLIPSIS
    a  word word ... word
       word ... word
    """
    indent = " " * len(head)
    width = max(WIDTH, len(head) + 40)
    lines = textwrap.wrap(
        text, width - len(head), break_long_words=False, break_on_hyphens=False
    ) or [""]
    return "\n".join([f"{head}{lines[0]}".rstrip(), *(indent + line for line in lines[1:])])


def in_a_cell(text: str) -> str:
    """Text that a table of Markdown shows as it is.

    >>> in_a_cell("a | b * c")
    'a &#124; b &#42; c'
    """
    marks = {"|": "&#124;", "*": "&#42;", "<": "&lt;", ">": "&gt;", "`": "&#96;"}
    return "".join(marks.get(letter, letter) for letter in text)
