"""The table, and the one sentence that says which optimizer to take."""

import math
import re
from typing import Any

from rich.console import Console
from rich.table import Table

from adaptive_optax.comparison.results import Results, Row
from adaptive_optax.comparison.statistics import mean, spread

NAME = 30  # columns of an optimizer's name; a longer one takes several lines
WIDE = 100  # columns of a terminal from which on the table has all of its own


def show(found: Results, console: Any = None) -> None:
    """Prints table, listed losses and sentence."""
    console = console or Console()
    if not console.is_terminal and console.width < WIDE:
        console = Console(file=console.file, width=WIDE + 20)
    if found.rows:
        console.print(table(found, console.width))
    for line in listed_losses(found):
        console.print(line, highlight=False)
    console.print(sentence(found), highlight=False, markup=False)


def table(found: Results, width: int = WIDE) -> Table:
    """The rows, best first; "=" marks those tied with the first."""
    config, ties = found.config, found.ties()
    runs = f"{config['steps']} steps a run, {len(config['seeds'])} seeds, batch"
    made = Table(
        title=f"{config['task']}: {runs} of {config['batch_size']}, {config['schedule']} rate",
        caption="= tied with the first" if ties else None,
        caption_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    made.add_column("optimizer", no_wrap=True)
    columns = ["rate", f"test {config['metric']}", "train loss", "valid. loss", "steps to target"]
    more = ["ms a step", "compile s", "state KiB"] if width >= WIDE else ["ms a step"]
    for title in [*columns, *more, "diverged"]:
        made.add_column(title, justify="right", no_wrap=title.startswith(("rate", "test")))
    for row in found.rows:
        mark = " =" if row.name in ties else ""
        cells = [f"{row.learning_rate:g}", score(found, row), *_losses(row), _steps(row)]
        cells.append(f"{row.milliseconds_per_step:.2f}")
        if width >= WIDE:
            cells += [f"{row.compile_seconds:.1f}", f"{row.state_bytes / 1024:.0f}"]
        made.add_row(in_lines(row.name) + mark, *cells, f"{row.divergences}/{len(row.runs)}")
    return made


def in_lines(name: str) -> str:
    """A name in lines of at most NAME columns, if it has places to break at.

    >>> print(in_lines("lookahead(blend(adam+lion,weights=0.7:0.3))"))
    lookahead(blend(adam+lion,
    weights=0.7:0.3))
    """
    lines = [""]
    for piece in re.findall(r"[^(,+>]*[(,+>]|[^(,+>]+$", name):
        if lines[-1] and len(lines[-1] + piece) > NAME:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def sentence(found: Results) -> str:
    """Which optimizer to take, and whether that is more than luck."""
    if not found.rows:
        return "No optimizer was finished; nothing to tell."
    best, ties = found.rows[0], found.ties()
    metric = found.config["metric"]
    if not math.isfinite(mean(best.test_metric)):
        return "No optimizer trained: every run ended in numbers that are not finite."
    take = f"Take {best.name} at {best.learning_rate:g} (test {metric} {score(found, best)})"
    seeds = len(found.config["seeds"])
    if len(found.rows) == 1:
        return f"{take}; it was alone."
    if seeds == 1:
        return f"{take}; with one seed, nothing tells its lead from luck: give more seeds."
    if not ties:
        return f"{take}; it beats all others, paired over {seeds} shared seeds."
    names = ", ".join(ties[:4]) + (f" and {len(ties) - 4} more" if len(ties) > 4 else "")
    level = [best, *(found[name] for name in ties)]
    light = min(level, key=lambda row: row.state_bytes)
    thrift = f"; of these {light.name} needs the least memory" if light is not best else ""
    return f"{take}, but it is a tie with {names}, paired over {seeds} shared seeds{thrift}."


def listed_losses(found: Results) -> list[str]:
    """Training losses of the first seed, every so many evaluations, where the task lists them."""
    every = found.config["list_losses_every"]
    if not every:
        return []
    lines = []
    for row in found.rows:
        lines.append(f"training loss of {row.name} at {row.learning_rate:g}:")
        losses = row.chosen[0].train_loss
        for at in range(0, len(losses), every):
            epoch = at * found.config["evaluate_every"] * found.config["epochs"]
            lines.append(f"  epoch {epoch // found.config['steps']:4}  {losses[at]!r}")
    return lines


def score(found: Results, row: Row) -> str:
    """Mean and spread over seeds of the test metric; an accuracy in percent."""
    middle, around = mean(row.test_metric), spread(row.test_metric)
    if not math.isfinite(middle):
        return "not finite"
    more = f" ± {_number(found, around)}" if math.isfinite(around) else ""
    return _number(found, middle).removesuffix(" %" if more else "") + more


def _number(found: Results, value: float) -> str:
    if found.config["metric"].endswith("accuracy"):
        return f"{100 * value:.1f} %"
    return f"{value:.3g}"


def _losses(row: Row) -> list[str]:
    return [f"{mean(row.final(what)):.3g}" for what in ("train_loss", "validation_loss")]


def _steps(row: Row) -> str:
    """Mean over the seeds that got there, and how many where not all did."""
    reached, seeds = row.reached, len(row.chosen)
    if not reached:
        return "-"
    return f"{mean(reached):.0f}" + (f" ({len(reached)}/{seeds})" if len(reached) < seeds else "")
