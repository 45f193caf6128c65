"""Write one page of HTML about the logs in a directory.

  adaptive-optax report runs
      every .jsonl and .csv log in runs and its folders, as runs/report.html
  adaptive-optax report runs --out report.html

The exit code is 0 if the report is written and 2 for what you can set right.
"""

import argparse
import sys
from pathlib import Path

MOST_PRINTED = 10  # notes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command."""
    parser.add_argument("directory", metavar="DIR", help="where the .jsonl and .csv logs are")
    parser.add_argument("--out", metavar="FILE", help="the page (default DIR/report.html)")


def run(options: argparse.Namespace) -> int:
    """Run the sub-command; return the exit code."""
    from adaptive_optax.logging.read_log import printable
    from adaptive_optax.report.html_page import report_on

    try:
        path, runs, notes = report_on(Path(options.directory), options.out)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for text in notes[:MOST_PRINTED]:
        print(printable(text))
    if len(notes) > MOST_PRINTED:
        print(f"and {len(notes) - MOST_PRINTED} more notes")
    print(f"the report on {len(runs)} run{'s' * (len(runs) != 1)} is in {path}")
    return 0
