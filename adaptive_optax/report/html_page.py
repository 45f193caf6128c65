"""The report as one page of HTML: notes, table and pictures, from the template `page.html`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from adaptive_optax.logging.read_log import printable
from adaptive_optax.report import drawing
from adaptive_optax.report.notes import notes
from adaptive_optax.report.panels import panels
from adaptive_optax.report.runs import Run, find_runs, summary

POINTS = 700  # per line, about two per pixel
BYTES_OF_LINES = 1_400_000  # of all lines together
BYTES_OF_POINT = 14


def write_report(
    directory: str | os.PathLike[str], out: str | os.PathLike[str] | None = None
) -> Path:
    """Write one page about all logs in a directory and its folders; return the page's path.

    The page needs nothing beside it: no network, no other file. Long runs are thinned so that it
    stays under 2 MB; the least and the largest value of each stretch are kept.

    Args:
      directory: where logs of `JSONL` and `CSV` are.
      out: the file to write; None takes report.html in the directory.

    Raises:
      OSError: for a directory that is missing or has no logs, or a file that cannot be written.
      ValueError: for a damaged log, with its line.
    """
    return report_on(Path(directory), out)[0]


def report_on(
    directory: Path, out: str | os.PathLike[str] | None
) -> tuple[Path, list[Run], list[str]]:
    """Write the page as `write_report`; return its path, the runs, and the notes on them."""
    name = f"report({os.fspath(directory)!r})"
    if not directory.is_dir():
        raise FileNotFoundError(f"{name}: there is no such directory; give one that has logs.")
    runs, others = find_runs(directory)
    if not runs:
        raise FileNotFoundError(
            f"{name}: there is no .jsonl or .csv log in it; write one with "
            f'ao.sinks.JSONL("run.jsonl").'
        )
    path = directory / "report.html" if out is None else Path(out)
    text = page(directory.resolve().name or "report", runs, others)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise OSError(
            f"report(out={os.fspath(path)!r}): cannot write there ({error.strerror or error}); "
            f"give another file."
        ) from error
    return path, runs, all_notes(runs)


def all_notes(runs: Sequence[Run]) -> list[str]:
    """Return the notes on all runs, each with the run's name if there are several."""
    return [f"{run.name}: {text}" if len(runs) > 1 else text for run in runs for text in notes(run)]


def page(title: str, runs: Sequence[Run], others: Sequence[str]) -> str:
    """Return the page; every text from a log is escaped.

    Args:
      title: its heading.
      runs: what it is about, at least one.
      others: files beside them that are not logs, to be named at the end.
    """
    made, left_out = panels(runs)
    every = [line.series.steps for panel in made for line in panel.lines]
    pictures = []
    if every:
        steps = int(min(s[0] for s in every)), int(max(s[-1] for s in every))
        points = max(4, min(POINTS, BYTES_OF_LINES // (BYTES_OF_POINT * len(every))))
        pictures = [(panel, drawing.draw(panel, steps, points)) for panel in made]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("adaptive_optax.report", "."),
        autoescape=True,
        finalize=_cleaned,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html").render(
        title=title,
        notes=all_notes(runs),
        table=[(run.name, summary(run)) for run in runs],
        pictures=pictures,
        left_out=left_out,
        others=others,
        drawing=drawing,
        last_finite=_last_finite,
    )


def _cleaned(value: Any) -> Any:
    """Replace characters that HTML may not hold, and those that turn the direction of text."""
    return printable(value, "\N{REPLACEMENT CHARACTER}") if type(value) is str else value


def _last_finite(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite[-1] + 0.0:.4g}" if len(finite) else ""
