"""What a property finds, and the report of all of them as text and as Markdown.

A property that is kept returns. A property that is broken raises `BrokenError` with one line of
evidence. A property that does not apply raises `NotApplicableError` with the reason.
"""

import contextlib
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

LONGEST = 240  # characters of evidence
WIDTH = 100  # columns of text


class BrokenError(Exception):
    """A promise is broken; the text is the evidence."""


class NotApplicableError(Exception):
    """A promise does not apply to this transformation or this machine; the text is the reason."""


@contextlib.contextmanager
def during(situation: str) -> Iterator[None]:
    """Put the situation before the evidence of every exception inside."""
    try:
        yield
    except NotApplicableError:
        raise
    except Exception as error:
        raise BrokenError(f"{situation}: {in_a_line(error)}") from error


def in_a_line(error: BaseException) -> str:
    """Return the evidence of a `BrokenError`; type and first line of any other exception.

    >>> in_a_line(ZeroDivisionError("division by zero"))
    'ZeroDivisionError: division by zero'
    """
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if not isinstance(error, BrokenError):
        text = f"{type(error).__name__}: {text}"
    return textwrap.shorten(text.rstrip(": "), LONGEST, placeholder=" ...")


@dataclass(frozen=True)
class Row:
    """One property of one transformation."""

    property: str
    verdict: str  # "pass", "fail", or "n/a" if the property does not apply
    evidence: str = ""  # what was seen ("fail"), or the reason ("n/a")
    error: BaseException | None = field(default=None, repr=False, compare=False)  # of a failure


@dataclass(frozen=True)
class Report:
    """All properties of one transformation; `print` it."""

    name: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """True if no property failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.verdict == "fail")

    @property
    def summary(self) -> str:
        """One line: how many of the properties that apply are kept.

        >>> Report("mine", (Row("vmap", "pass"), Row("orbax", "n/a", "missing"))).summary
        'mine: 1 of 1, 1 n/a'
        """
        left_out = sum(row.verdict == "n/a" for row in self.rows)
        return f"{self.name}: {kept(self.rows)}" + (f", {left_out} n/a" if left_out else "")

    def __getitem__(self, name: str) -> Row:
        """Return the row of the property of this name."""
        for row in self.rows:
            if row.property == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        return f"{self.summary}\n{listed(self.rows)}"

    def markdown(self) -> str:
        """Return the report as a Markdown table.

        >>> print(Report("mine", (Row("vmap", "pass"),)).markdown())
        | mine: 1 of 1 | verdict | evidence |
        |---|---|---|
        | `vmap` | pass |  |
        """
        rows = [(f"`{row.property}`", row.verdict, in_a_cell(row.evidence)) for row in self.rows]
        return table([self.summary, "verdict", "evidence"], rows)


def kept(rows: Iterable[Row]) -> str:
    """Count the rows that are kept among those that apply.

    >>> kept([Row("vmap", "pass"), Row("orbax", "n/a"), Row("descends", "fail")])
    '1 of 2'
    """
    verdicts = [row.verdict for row in rows]
    return f"{verdicts.count('pass')} of {len(verdicts) - verdicts.count('n/a')}"


def listed(rows: Sequence[Row]) -> str:
    """Return the rows as aligned text; long evidence continues under its column.

    >>> print(listed([Row("vmap", "pass"), Row("descends", "fail", "stands still")]))
      vmap      pass
      descends  fail  stands still
    """
    wide = max((len(row.property) for row in rows), default=0)
    return "\n".join(hung(f"  {r.property:{wide}}  {r.verdict:4}  ", r.evidence) for r in rows)


def hung(head: str, text: str) -> str:
    """Return the text after the head; its further lines are indented to its first.

    >>> print(hung("a  ", "word " * 30))  # doctest: +ELLIPSIS
    a  word word ... word
       word ... word
    """
    lines = textwrap.wrap(
        text, max(WIDTH - len(head), 40), break_long_words=False, break_on_hyphens=False
    )
    return (head + f"\n{' ' * len(head)}".join(lines)).rstrip()


def table(head: Sequence[str], rows: Iterable[Sequence[str]], marks: Sequence[str] = ()) -> str:
    """Return a Markdown table; `marks` align its last columns.

    >>> print(table(["property", "adam"], [["vmap", "pass"]], [":-:"]))
    | property | adam |
    |---|:-:|
    | vmap | pass |
    """
    ruler = "|".join(["---"] * (len(head) - len(marks)) + list(marks))
    first, *rest = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([first, f"|{ruler}|", *rest])


def in_a_cell(text: str) -> str:
    """Escape text for a Markdown table.

    >>> in_a_cell("a | b * c")
    'a &#124; b &#42; c'
    """
    marks = {"|": "&#124;", "*": "&#42;", "<": "&lt;", ">": "&gt;", "`": "&#96;"}
    return "".join(marks.get(letter, letter) for letter in text)
