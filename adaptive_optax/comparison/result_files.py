"""results.json (every run, the protocol, versions) and results.csv (a row an optimizer)."""

import csv
import io
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adaptive_optax.checkpoint.checksummed_file import write_whole
from adaptive_optax.comparison.results import Results, Row
from adaptive_optax.comparison.statistics import mean, spread


def check_writable(out: Path) -> None:
    """Makes the folder, and a file in it that is taken away again.

    Raises:
      OSError: where that fails; says which folder, and what to do.
    """
    probe = out / ".adaptive_optax_probe"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise OSError(
            f"compare(out={str(out)!r}): cannot write there ({error.strerror or error}); "
            f"give another folder."
        ) from error


def write(found: Results, out: Path) -> list[Path]:
    """Writes both files to a folder, which is made where it is missing."""
    out.mkdir(parents=True, exist_ok=True)
    document, table = out / "results.json", out / "results.csv"
    text = json.dumps(_strict(as_json(found)), allow_nan=False)
    write_whole(document, f"{text}\n".encode())
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, COLUMNS)
    writer.writeheader()
    writer.writerows(summary(found, row) for row in found.rows)
    write_whole(table, lines.getvalue().encode())
    return [document, table]


def as_json(found: Results) -> dict[str, Any]:
    """All that was found, as plain lists and dicts."""
    return {
        "config": found.config,
        "versions": found.versions,
        "seconds": found.seconds,
        "interrupted": found.interrupted,
        "optimizers": [
            summary(found, row)
            | {
                "rates_applied": row.rates_applied,
                "test_metric": row.test_metric,
                "runs": [asdict(run) for run in row.runs],
            }
            for row in found.rows
        ],
    }


COLUMNS = (
    "rank",
    "optimizer",
    "learning_rate",
    "test_mean",
    "test_spread",
    "tied_with_best",
    "validation_mean",
    "train_loss",
    "validation_loss",
    "steps_to_target",
    "seeds_at_target",
    "seeds",
    "milliseconds_per_step",
    "compile_seconds",
    "state_bytes",
    "runs",
    "diverged",
    "grid_widened",
)


def summary(found: Results, row: Row) -> dict[str, Any]:
    """The columns of one row; losses and metrics are means over seeds."""
    rank = found.rows.index(row) + 1
    reached = row.reached
    values = (
        rank,
        row.name,
        row.learning_rate,
        mean(row.test_metric),
        spread(row.test_metric),
        rank == 1 or row.name in found.ties(),
        mean(row.final("validation_metric")),
        mean(row.final("train_loss")),
        mean(row.final("validation_loss")),
        mean(reached) if reached else None,
        len(reached),
        len(row.chosen),
        row.milliseconds_per_step,
        row.compile_seconds,
        row.state_bytes,
        len(row.runs),
        row.divergences,
        row.widened,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _strict(value: Any) -> Any:
    """The same with null for numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
