"""`adaptive-optax report`: the logs of a directory as one page of HTML."""

import argparse
import os
import sys
from pathlib import Path

from adaptive_optax.monitoring.report_page import all_notes, page
from adaptive_optax.monitoring.report_runs import find_runs

EXAMPLES = """examples:
  adaptive-optax report runs
      every .jsonl and .csv log in runs and its folders, as runs/report.html
  adaptive-optax report runs --out report.html

The exit code is 0 where the report is written and 2 for what you can set right.
"""
MOST_TOLD = 10  # notes in the terminal


def write_report(
    directory: str | os.PathLike[str], out: str | os.PathLike[str] | None = None
) -> Path:
    """Writes one page about all logs in a directory and the folders in it; returns its path.

    The page needs nothing beside it: no network, no other file. Long runs are thinned so that it
    stays under 2 MB; the least and the largest value of each stretch are kept.

    Args:
      directory: where logs of `JSONL` and `CSV` are.
      out: the file to write; None takes report.html in the directory.

    Raises:
      OSError: for a directory that is missing or has no logs, or a file that cannot be written.
      ValueError: for a damaged log, with its line.
    """
    return _written(Path(directory), out)[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the words of the sub-command."""
    parser.add_argument("directory", metavar="DIR", help="where the .jsonl and .csv logs are")
    parser.add_argument("--out", metavar="FILE", help="the page (default DIR/report.html)")


def run(options: argparse.Namespace) -> int:
    """Runs the sub-command.

    Returns:
      The exit code: 0, or 2 for what the user can set right.
    """
    try:
        path, runs, found = _written(Path(options.directory), options.out)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for text in found[:MOST_TOLD]:
        print("".join(c if c.isprintable() else "?" for c in text))
    if len(found) > MOST_TOLD:
        print(f"and {len(found) - MOST_TOLD} more notes")
    print(f"the report on {runs} run{'s' * (runs != 1)} is in {path}")
    return 0


def _written(directory: Path, out: str | os.PathLike[str] | None) -> tuple[Path, int, list[str]]:
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
    return path, len(runs), all_notes(runs)
