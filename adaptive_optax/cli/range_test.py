"""Find the learning rates that an optimizer bears on a task.

  adaptive-optax range-test
      five optimizers on digits: about a minute on 2 cores
  adaptive-optax range-test --optimizers "adam,lookahead(adam),optax:adabelief" --steps 500
  adaptive-optax range-test --optimizers my_module:my_optimizer --lowest 1e-4 --highest 100
  adaptive-optax range-test --task regression --method sweep
      one run per optimizer, whose learning rate grows; rough

The exit code is 0 if it has tested, 2 for what you can set right, and 130 after Ctrl-C.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_optax.cli.compare import TASKS
from adaptive_optax.logging.optional_packages import optional

if TYPE_CHECKING:
    from adaptive_optax.learning_rate.range_result import RangeResult

NAME = "range-test"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command."""
    add = parser.add_argument
    add("--task", default="digits", help=TASKS)
    add(
        "--optimizers",
        default="sgd,momentum,rmsprop,adam,lion",
        metavar="A,B",
        help="names with commas between, or module:function (default %(default)s)",
    )
    add("--steps", type=int, default=300, metavar="N", help="updates per run (default %(default)s)")
    add("--lowest", type=float, default=1e-7, metavar="X", help="least rate (default %(default)s)")
    add("--highest", type=float, default=10.0, metavar="X", help="largest (default %(default)s)")
    add("--method", default="grid", help="grid (default, accurate) or sweep (one run, rough)")
    add("--seed", type=int, default=0, metavar="N", help="of parameters and batches (default 0)")
    add("--data-dir", metavar="DIR", help="where the files of cifar10 are")
    out = "adaptive_optax_range_test"
    add("--out", default=out, metavar="DIR", help="for JSON and picture (default %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Run the sub-command; return the exit code."""
    for module in ("rich", "matplotlib"):
        optional(NAME, module, "compare")
    from rich.console import Console

    from adaptive_optax.comparison import result_files, tasks
    from adaptive_optax.comparison.optimizer_names import needs_previous
    from adaptive_optax.comparison.range_task import range_test

    found = {}
    try:
        out = Path(options.out)
        result_files.check_writable(out)
        task = tasks.load(options.task, options.data_dir)
        makers = chosen(options.optimizers, task.centres, options.steps)
        for at, (name, make) in enumerate(makers.items(), 1):
            began = time.perf_counter()
            try:
                if needs_previous(make(1e-3)):
                    raise ValueError(
                        f"{NAME}: {name!r} needs the gradient at the previous parameters, which "
                        f"only compare takes; test what is inside it."
                    )
                found[name] = range_test(
                    task,
                    make,
                    steps=options.steps,
                    seed=options.seed,
                    lowest=options.lowest,
                    highest=options.highest,
                    method=options.method,
                )
            except Exception as error:
                error.add_note(f"{NAME}: while testing {name!r}.")
                raise
            seconds = time.perf_counter() - began
            print(f"[{at:2}/{len(makers)}] {seconds:4.0f} s  {name}", flush=True)
    except (ValueError, OSError) as error:
        message = str(error)
        for other in ("compare", "contract"):  # whose functions this command uses
            if message.startswith(other):
                message = NAME + message.removeprefix(other)
        print(message, file=sys.stderr)
        return 2
    Console().print(table(task.name, found))
    document = {name: result.as_dict() for name, result in found.items()}
    text = json.dumps({"task": task.name, "optimizers": document}, allow_nan=False)
    (out / "range_test.json").write_text(text + "\n", encoding="utf-8")
    draw(task.name, found, out / "range_test.png")
    print(f"results and picture are in {options.out}")
    return 0


def chosen(
    text: str, centres: Mapping[str, float] | None = None, steps: int | None = None
) -> dict[str, Callable[[Any], Any]]:
    """Return constructors by name.

    Args:
      text: names with commas between; one with a colon before any parenthesis, `module:function`,
        is imported.
      centres: of the task, as in `grammar.parse`.
      steps: updates per run.

    Raises:
      ValueError: for a word that names no constructor.

    >>> list(chosen("adam,lookahead(lion),optax:sgd"))
    ['adam', 'lookahead(lion)', 'optax:sgd']
    """
    from adaptive_optax.comparison import grammar
    from adaptive_optax.testing.import_optimizer import from_here, resolve

    found = {}
    for word in grammar.split("".join(text.split())):
        if ":" not in word.partition("(")[0]:
            entry = grammar.parse(word, centres, grammar.STEPS if steps is None else steps)
            found[entry.name] = entry.make
            continue
        with from_here():
            found[word] = resolve(word)
        if not callable(found[word]):
            raise ValueError(
                f"{NAME}: {word} is no function; give one from a learning rate to a "
                f"transformation, such as optax:adam."
            )
    return found


def table(task: str, found: "Mapping[str, RangeResult]") -> Any:
    """Return a rich table with one row per optimizer."""
    from rich.table import Table

    first = next(iter(found.values()))
    made = Table(
        title=f"{task}: learning rates after {first.steps} steps, {first.method}",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    made.add_column("optimizer", no_wrap=True)
    for title in ("take", "good from", "to", "diverges at", "loss before", "at its best"):
        made.add_column(title, justify="right")
    for name, result in found.items():
        rates = (result.suggestion, result.low, result.high, result.diverges_at)
        cells = [f"{rate:.2g}" if math.isfinite(rate) else "-" for rate in rates]
        losses = (f"{loss:.3g}" for loss in (result.first_loss, result.lowest_loss))
        made.add_row(name, *cells, *losses)
    return made


def draw(task: str, found: "Mapping[str, RangeResult]", path: Path) -> None:
    """Write a picture with one panel per optimizer."""
    from matplotlib.figure import Figure

    columns = min(len(found), 3)
    lines = math.ceil(len(found) / columns)
    figure = Figure((max(4.2 * columns, 6.0), 3.0 * lines + 0.5), layout="constrained")
    for at, (name, result) in enumerate(found.items(), 1):
        panel = result.plot(figure.add_subplot(lines, columns, at))
        panel.set_title(name, fontsize=11)
        label = panel.get_ylabel()
        panel.set_ylabel("")
        if at + columns <= len(found):
            panel.set_xlabel("")
    figure.supylabel(label, fontsize=10)
    figure.suptitle(f"{task}: learning-rate range test", fontsize=12)
    figure.savefig(path, dpi=110)
