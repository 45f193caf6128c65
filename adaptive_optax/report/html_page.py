"""The report as one page of HTML: notes, table and pictures; every text from a file is escaped."""

import html
from collections.abc import Iterator, Sequence

import numpy as np
from adaptive_optax.monitoring.report_notes import notes
from adaptive_optax.monitoring.report_panels import Panel, panels
from adaptive_optax.monitoring.report_runs import Run, summary
from adaptive_optax.monitoring.report_style import SCRIPT, STYLE

from adaptive_optax.monitoring import report_svg

MOST_NOTES = 40
POINTS = 700  # of a line, about two a pixel
BYTES_OF_LINES = 1_400_000  # of all lines together
BYTES_OF_POINT = 12
# Should a name ever get past the escaping: the page may load nothing at all.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(title: str, runs: Sequence[Run], others: Sequence[str]) -> str:
    """The page.

    Args:
      title: its heading.
      runs: what it is about, at least one.
      others: files beside them that are no logs, to be named at the end.
    """
    places = {"left": report_svg.LEFT, "right": report_svg.RIGHT, "width": report_svg.WIDTH}
    script = SCRIPT % {**places, "top": report_svg.TOP, "bottom": report_svg.BOTTOM}
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{safe(title)}</title><style>{STYLE}</style></head>",
        f"<body><h1>{safe(title)}</h1>",
        *_notes(runs),
        *_table(runs),
        *_pictures(runs),
        *_footer(others),
        f"<script>{script}</script></body></html>\n",
    ]
    return "\n".join(parts)


def all_notes(runs: Sequence[Run]) -> list[str]:
    """The notes on all runs, each with the run's name where there are several."""
    return [f"{run.name}: {text}" if len(runs) > 1 else text for run in runs for text in notes(run)]


def safe(text: str) -> str:
    """The text for HTML, without characters that it may not hold.

    >>> safe("<b>&" + chr(0))
    '&lt;b&gt;&amp;�'
    """
    held = "".join(c if c.isprintable() or c == " " else "�" for c in text)
    return html.escape(held, quote=True)


def _notes(runs: Sequence[Run]) -> Iterator[str]:
    found = all_notes(runs)
    yield "<h2>What stands out</h2>"
    if not found:
        yield "<p>Nothing: all values are finite.</p>"
        return
    yield '<ul class="notes">'
    for text in found[:MOST_NOTES]:
        kind = ' class="alarm"' if "not finite" in text else ""
        yield f"<li{kind}>{safe(text)}</li>"
    if len(found) > MOST_NOTES:
        yield f"<li>and {len(found) - MOST_NOTES} more notes</li>"
    yield "</ul>"


def _table(runs: Sequence[Run]) -> Iterator[str]:
    yield '<h2>Runs</h2><div class="wide"><table><thead><tr>'
    heads = ("run", "last step", "rows", "final loss", "best loss", "at step", "last rate")
    yield "".join(f"<th>{head}</th>" for head in (*heads, "skipped", "clipped"))
    yield "</tr></thead><tbody>"
    for run in runs:
        found = summary(run)
        rates = " to ".join(f"{rate:.4g}" for rate in found.last_rates)
        cells = [
            *(_whole(found.last_step), _whole(found.rows)),
            *(_number(found.final_loss), _number(found.best_loss), _whole(found.best_step)),
            *(rates, _number(found.skipped), _number(found.clipped)),
        ]
        yield f"<tr><td>{safe(run.name)}</td>" + "".join(
            f"<td>{c or '&ndash;'}</td>" for c in cells
        )
        yield "</tr>"
    yield "</tbody></table></div>"


def _pictures(runs: Sequence[Run]) -> Iterator[str]:
    made, left_out = panels(runs)
    every = [line.series.steps for panel in made for line in panel.lines]
    if not every:
        return
    steps = int(min(s[0] for s in every)), int(max(s[-1] for s in every))
    points = max(4, min(POINTS, BYTES_OF_LINES // (BYTES_OF_POINT * len(every))))
    yield '<div class="panels">'
    for panel in made:
        yield from _figure(panel, steps, points)
    yield "</div>"
    if left_out:
        yield f'<p class="more">There was no room for {left_out} more pictures.</p>'


def _figure(panel: Panel, steps: tuple[int, int], points: int) -> Iterator[str]:
    scale = " (log)" if panel.log else ""
    yield f"<figure><figcaption>{safe(panel.title)}{scale}<span></span></figcaption>"
    picture = report_svg.svg(panel, steps, points)
    yield picture.replace(' role="img"', f' role="img" aria-label="{safe(panel.title)}"', 1)
    yield '<ul class="legend">'
    for number, line in enumerate(panel.lines):
        colour, dash = report_svg.look(number)
        finite = line.series.values[np.isfinite(line.series.values)]
        last = f"{finite[-1] + 0.0:.4g}" if len(finite) else ""
        yield (
            f'<li><svg viewBox="0 0 22 8" aria-hidden="true"><line class="curve {colour}" x1="1" '
            f'x2="21" y1="4" y2="4" stroke-dasharray="{dash or "none"}"/></svg>'
            f"{safe(line.label)} <b>{last}</b></li>"
        )
    if panel.left_out:
        yield f'<li class="more">and {panel.left_out} more</li>'
    yield "</ul></figure>"


def _footer(others: Sequence[str]) -> Iterator[str]:
    told = (
        "Beside each name stands its last finite value. &times; marks values that are not finite."
    )
    if others:
        names = ", ".join(map(safe, others[:10])) + (" and more" if len(others) > 10 else "")
        told += f" Not logs, since they have no steps: {names}."
    yield f"<footer>{told}</footer>"


def _whole(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"
