"""Does training end where float32's does when the state is kept in few bytes?

    python benchmarks/storage_quality.py            tables, some 25 minutes on two cores
    python benchmarks/storage_quality.py --quick    a few steps of some rows, to try it

Writes `benchmarks/results/storage_quality.md`. Each row is the relative difference of a loss to
that of the same optimizer with a float32 state, with the same weights and batches at each of three
seeds: their mean, and each. The gate is a mean within 0.1 %, above or below, at the end of a run of
4,000 steps. Two rows say what a difference can mean at all: float32 against itself, with initial
weights moved by a thousandth, and with the sums over each batch in the other order. `factored` is
another second moment, and `int4` is experimental: both are told, but not put to the gate.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import storage_moments
import storage_tasks
import storage_training
from storage_tasks import TASKS
from storage_training import Losses, Size, differences, program, schedule

import adaptive_optax as ao

ROOT = Path(__file__).parents[1]
GATE = 0.1  # percent
FORMATS = {
    "bfloat16": ao.bfloat16(),
    "int8": ao.int8(),
    "minifloat8": ao.minifloat8(),
    "factored": ao.factored(),
    "int4 (experimental)": ao.int4(),
}
GATED = ("bfloat16", "int8", "minifloat8")
MOVED = "float32, weights moved"
FLOOR = {MOVED: {"perturbed": 1e-3}, "float32, other sums": {"reverse": True}}
Make = Callable[[Any], Any]  # learning rate -> transformation


class Trained(NamedTuple):
    """An optimizer, its rate, and the formats that are tried."""

    make: Make
    rate: float
    formats: tuple[str, ...]
    tasks: tuple[str, ...] = tuple(TASKS)


class Plan(NamedTuple):
    """What is run."""

    size: Size
    gated: dict[str, Trained]
    others: dict[str, Trained]
    moments: tuple[int, int]  # steps of decay and of rise
    moments_of: tuple[str, ...]  # formats


def _adamw(b2: float) -> Make:
    return lambda rate: optax.adamw(rate, b2=b2)


BYTES = ("int8", "minifloat8")
OTHERS = {
    "ao.adamw": Trained(ao.adamw, 2e-3, BYTES),
    "ao.lion": Trained(ao.lion, 2e-4, BYTES),
    "ao.rmsprop": Trained(ao.rmsprop, 1e-3, BYTES),
    "ao.sgd, momentum 0.9": Trained(lambda rate: ao.sgd(rate, momentum=0.9), 0.1, BYTES),
    "ao.adafactor": Trained(ao.adafactor, 1e-2, BYTES),  # factored: nothing left to compress
    "ao.muon": Trained(ao.muon, 5e-3, BYTES, ("dense",)),  # on a table of words it takes minutes
}
FULL = Plan(
    Size(steps=4000, seeds=3, examples=2**15),
    {f"b2 {b2}": Trained(_adamw(b2), 2e-3, tuple(FORMATS)) for b2 in (0.95, 0.999)},
    OTHERS,
    moments=(2000, 1000),
    moments_of=tuple(FORMATS),
)
QUICK = Plan(
    Size(steps=12, seeds=2, examples=2**9),
    {"b2 0.999": Trained(_adamw(0.999), 2e-3, ("minifloat8",))},
    {},
    moments=(20, 20),
    moments_of=("minifloat8",),
)


def compared(
    task_name: str, row: Trained, size: Size, floor: Sequence[str]
) -> list[tuple[str, Any, Losses]]:
    """Runs of an optimizer: name, bytes a parameter, losses; float32 first."""
    task = TASKS[task_name]()
    params = jax.eval_shape(task.init, jax.random.key(0))
    count = sum(x.size for x in jax.tree.leaves(params))
    plain = row.make(schedule(row.rate, size))
    each = ao.state_bytes(plain, params) / count
    run = program(task, plain, size)
    found = [("float32", each, run())]

    def tell(name, each, losses):
        found.append((name, each, losses))
        print(
            f"{task_name}: {name} {cell(differences(losses.final, found[0][2].final))}", flush=True
        )

    for name in floor:
        tell(name, each, run(**FLOOR[name]))
    for name in row.formats:
        tx = ao.stored(plain, FORMATS[name])
        tell(name, ao.state_bytes(tx, params) / count, program(task, tx, size)())
    return found


def rows(found: Sequence[tuple[str, Any, Losses]], *before: str) -> list[list[str]]:
    """Lines of a table."""
    (_, _, truth), lines = found[0], []
    for name, each, losses in found:
        start = [*before, name, f"{each:.2f}"]
        if losses is truth:
            lines.append([*start, *(f"{np.mean(x):.4f}" for x in losses), ""])
            continue
        constant, final = (differences(*pair) for pair in zip(losses, truth, strict=True))
        inside = "yes" if abs(final.mean()) <= GATE else "no"
        judged = name in GATED or name in FLOOR
        lines.append([*start, cell(constant), cell(final), inside if judged else "not gated"])
    return lines


def cell(values: np.ndarray) -> str:
    """The mean, and each seed's."""
    return f"{values.mean():+.3f} % ({', '.join(f'{x:+.3f}' for x in values)})"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table."""
    every = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in every)


HEAD = ["state", "bytes a parameter", "at the constant rate", "final", f"within {GATE} %"]
MOMENTS = ["state", "decay", "error", "spread", "rise", "error", "spread", "within 10 %"]


def report(plan: Plan) -> str:
    """All tables."""
    sections = []
    for task in TASKS:
        for name, row in plan.gated.items():
            title = f"## {task}, optax.adamw, {name}"
            lines = rows(compared(task, row, plan.size, tuple(FLOOR)))
            sections.append(f"{title}\n\n{markdown(HEAD, lines)}")
    lines = []
    for name, row in plan.others.items():
        for task in row.tasks:
            lines += rows(compared(task, row, plan.size, (MOVED,)), f"{name}, {task}")
    if lines:
        sections.append(f"## Other optimizers\n\n{markdown(['', *HEAD], lines)}")
    kinds = {"float32": None} | {name: FORMATS[name] for name in plan.moments_of}
    title, _, said = (storage_moments.__doc__ or "").partition("\n")
    table = markdown(MOMENTS, storage_moments.table(kinds, plan.moments))
    sections.append(f"## {title}\n{said}\n{table}\n\nDecay is told as a share of the start.")
    return "\n\n".join(sections)


def page(text: str, plan: Plan, minutes: float) -> str:
    """The tables with what they mean."""
    title, _, said = (__doc__ or "").partition("\n")
    protocol = said.split("storage_quality.md`.")[1].strip()
    tasks = (storage_tasks.__doc__ or "").partition("\n")[2].strip("\n")
    rates = (storage_training.__doc__ or "").partition("\n")[2].strip("\n")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, jax {jax.__version__}"
    foot = (
        f"{plan.size.seeds} seeds, {plan.size.steps:,} steps; {minutes:.0f} minutes on {machine}."
    )
    return "\n\n".join([f"# {title}", protocol, tasks, rates, text, foot]) + "\n"


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command; words are those after its name, None takes the process's own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps of some rows, to try it")
    parser.add_argument("--out", default=str(ROOT / "benchmarks" / "results"), metavar="DIR")
    options = parser.parse_args(words)
    plan, began = QUICK if options.quick else FULL, time.perf_counter()
    text = page(report(plan), plan, (time.perf_counter() - began) / 60)
    print(text)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"storage_quality{'_quick' * options.quick}.md").write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
