"""Do mixtures, switches and filters do better than the optimizers that they are made of?

    python benchmarks/many_optimizers.py            Markdown tables, some 25 minutes on two cores
    python benchmarks/many_optimizers.py --page     writes them to docs/many_optimizers.md too
    python benchmarks/many_optimizers.py --quick    one epoch of one task, to try it

Every entry gets the same tuning: learning rates half a decade apart, three at a time and widened
while the best is at an edge, at three seeds; validation at the end of the run chooses. A mixture or
switch has no more of it than one optimizer: its one rate moves all members', in the proportion of
their usual rates. At the chosen rate it is trained again at ten fresh seeds, which all entries
share, so that differences are paired.

A contest is between an entry and the best of its members alone, chosen at the tuning seeds: for
steps the one that needs the fewest to the task's target (a validation metric), for quality the one
with the best validation metric at the end. Steps are counted in gradient evaluations, two a step
for `variance_reduced`. A run that never gets there counts with all its steps. Intervals are
bootstraps over seeds, each with 99 %: of the mean ratio of steps, and of the mean difference of the
test metric, where positive is better. A gain or a loss is an interval without 1, or without 0;
anything else is a tie. With ten seeds such an interval holds less often than it says, about 96 % of
the time, and there are many of them: a few verdicts are luck. Two contests tell how far to trust
the rest: AdamW against itself, tuned and trained at other seeds, has to be a tie, and Lion against
Adam is what two different optimizers look like.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adaptive_optax.comparison import entries, rate_grid, tasks
from adaptive_optax.comparison.evaluation import chunked
from adaptive_optax.comparison.progress import Silent
from adaptive_optax.comparison.search import search
from adaptive_optax.comparison.statistics import interval, steps_to_target
from adaptive_optax.comparison.training import Trainer

ROOT = Path(__file__).parents[1]
CONFIDENCE = 0.99


class Size(NamedTuple):
    """How long a task's runs are."""

    epochs: int
    every: int  # steps from one evaluation to the next: the resolution of steps to target
    target: float | None = None  # validation metric; None is the task's


class Plan(NamedTuple):
    """What is run."""

    sizes: dict[str, Size]  # by task
    seeds: int  # fresh ones
    tuning_seeds: int
    grid: int  # learning rates at a time; 1 tunes nothing


class Contest(NamedTuple):
    """An entry, and what it has to beat the best of."""

    name: str
    rivals: tuple[str, ...]
    gradients: int = 1  # a step


SIZES = {"digits_mlp": Size(15, 11), "digits": Size(8, 11, target=0.95)}
SIZES |= {"text": Size(1, 25), "imbalanced": Size(25, 13)}
FULL = Plan(SIZES, seeds=10, tuning_seeds=3, grid=3)
QUICK = Plan({"digits_mlp": Size(1, 11)}, seeds=2, tuning_seeds=1, grid=1)

AGAIN = "adamw, other seeds"
TREBLED = "momentum at 3 times the rate"  # smoothed's gain at frequency 0: its honest control
CONTESTS = (
    Contest(AGAIN, ("adamw",)),
    Contest("lion", ("adam",)),
    Contest("blend(adam+lion)", ("adam", "lion")),
    Contest("blend(adam+lion,adapt=hedge)", ("adam", "lion")),
    Contest("blend(adam+lion,adapt=hypergradient)", ("adam", "lion")),
    Contest("blend(adam+momentum)", ("adam", "momentum")),
    Contest("blend(adam+lion+momentum,adapt=hedge)", ("adam", "lion", "momentum")),
    Contest("switch(adam->momentum)", ("adam", "momentum")),
    Contest("switch(adam->momentum,when=swats)", ("adam", "momentum")),
    Contest("switch(adam->momentum,when=plateau)", ("adam", "momentum")),
    Contest("switch(adam->momentum,when=bandit)", ("adam", "momentum")),
    Contest("smoothed(adam)", ("adam",)),
    Contest("smoothed(momentum)", ("momentum",)),
    Contest("smoothed(momentum)", (TREBLED,)),
    Contest("variance_reduced(momentum)", ("momentum",), gradients=2),
)
PLAIN = ("adam", "lion", "momentum", "rmsprop", "adamw")


class Runs(NamedTuple):
    """One entry on one task: at the tuning seeds, and then at the fresh ones."""

    rate: float
    tuned_score: tuple[float, ...]  # the larger the better
    tuned_steps: float  # mean
    steps: list[int]  # one a seed
    reached: int  # seeds that got to the target
    validation: list[float]
    test: list[float]
    milliseconds: float  # a step of one run


class Pair(NamedTuple):
    """The trainers of one task: one to tune with, and one with fresh seeds."""

    tuner: Trainer
    judge: Trainer


def pair(task: Any, size: Size, plan: Plan, shift: int = 0) -> Pair:
    """Trainers whose seeds start at `shift`; none is in both."""
    tuning = range(shift, shift + plan.tuning_seeds)
    fresh = range(shift + 100, shift + 100 + plan.seeds)
    return Pair(
        Trainer(task, tuning, size.epochs, plan.grid, size.every),
        Trainer(task, fresh, size.epochs, 1, size.every),
    )


def measured(trainers: Pair, entry: entries.Entry, rate: float | None = None) -> Runs:
    """Tunes an entry, unless its rate is given, and trains it at the fresh seeds."""
    task = trainers.judge.task
    score, tuned_steps = rate_grid.Score(0, 0.0, 0.0), 0.0
    if rate is None:
        row = search(trainers.tuner, entry, entry.centre, "constant", Silent())
        rate, chosen = row.learning_rate, row.chosen
        lost = [run.diverged for run in chosen]
        last = row.final("validation_metric"), row.final("validation_loss")
        score = rate_grid.score(*last, lost, task.larger_is_better)
        all_steps = trainers.tuner.steps
        tuned_steps = float(np.mean([run.steps_to_target or all_steps for run in chosen]))
    judge = trainers.judge
    trained = judge.train(judge.programs(entry.make), [rate], lambda done: None)
    metrics = trained.validation_metric[0].tolist()
    first = [steps_to_target(m, task.target, task.larger_is_better, judge.every) for m in metrics]
    steps = [judge.steps if at is None else max(1, min(at, judge.steps)) for at in first]
    return Runs(
        rate=rate,
        tuned_score=tuple(score),
        tuned_steps=tuned_steps,
        steps=steps,
        reached=sum(at is not None for at in first),
        validation=[m[-1] for m in metrics],
        test=judge.evaluate(trained.params, chunked(task.test))[1][:, 0].tolist(),
        milliseconds=1e3 * trained.run_seconds / (len(judge.seeds) * judge.steps),
    )


def sized(name: str, plan: Plan) -> tuple[Any, Size]:
    """A task with the plan's target, and its size."""
    task, size = tasks.load(name), plan.sizes[name]
    return (replace(task, target=size.target) if size.target else task), size


def run_task(name: str, plan: Plan, contests: Sequence[Contest]) -> dict[str, Runs]:
    """All entries on one task."""
    task, size = sized(name, plan)
    trainers = pair(task, size, plan)
    own = {contest.name for contest in contests}
    wanted = dict.fromkeys([*PLAIN, *(c.name for c in contests if c.name != AGAIN)])
    found: dict[str, Runs] = {}

    def tell(name, runs):
        found[name] = runs
        print(f"{task.name:12} {name:40} {np.mean(runs.steps):6.0f} steps", flush=True)

    for entry in entries.entries(list(wanted), task.centres, trainers.judge.steps):
        tell(entry.name, measured(trainers, entry))
    if "smoothed(momentum)" in own:
        (entry,) = entries.entries("momentum", task.centres)
        tell(TREBLED, measured(trainers, entry, 3 * found["smoothed(momentum)"].rate))
    if AGAIN in own:
        (entry,) = entries.entries("adamw", task.centres)
        tell(AGAIN, measured(pair(task, size, plan, shift=1000), entry))
    return found


def log_ratios(contest: Contest, found: dict[str, Runs]) -> tuple[str, np.ndarray]:
    """The rival with the fewest steps, and the log of the ratio of gradients to it, by seed.

    Where neither of the two got to the target at any seed, the ratio is nan.
    """
    rival = min(contest.rivals, key=lambda name: found[name].tuned_steps)
    mine, other = found[contest.name], found[rival]
    known = 1.0 if mine.reached or other.reached else np.nan
    return rival, known * np.log(np.array(mine.steps) * contest.gradients / np.array(other.steps))


def differences(contest: Contest, found: dict[str, Runs], sign: int) -> tuple[str, np.ndarray]:
    """The rival with the best validation metric, and by how much the test metric is better."""
    rival = max(contest.rivals, key=lambda name: found[name].tuned_score)
    mine, other = np.array(found[contest.name].test), np.array(found[rival].test)
    return rival, sign * (mine - other)


def verdict(low: float, high: float) -> str:
    """Of an interval of a quantity that is the better the larger; 0 is level."""
    return "**gain**" if low > 0 else "**loss**" if high < 0 else "tie"


def as_ratio(logs: np.ndarray) -> str:
    """A cell: mean ratio, interval, verdict."""
    if not np.isfinite(logs).all():
        return "not reached"
    low, high = interval(logs, CONFIDENCE)
    mean, low, high = (float(np.exp(x)) for x in (np.mean(logs), low, high))
    return f"{mean:.2f} ({low:.2f} to {high:.2f}) {verdict(-np.log(high), -np.log(low))}"


def as_difference(values: np.ndarray) -> str:
    """A cell: mean difference, interval, verdict."""
    low, high = interval(values, CONFIDENCE)
    return f"{np.mean(values):+.4f} ({low:+.4f} to {high:+.4f}) {verdict(low, high)}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(found: dict[str, dict[str, Runs]], contests: Sequence[Contest], plan: Plan) -> str:
    """All tables; `found` is by task, then by entry. The rival stands behind the verdict."""
    signs = {name: 1 if tasks.load(name).larger_is_better else -1 for name in found}
    sections, steps, quality = list[str](), [], []
    for contest in contests:
        each = [log_ratios(contest, runs) for runs in found.values()]
        known = [logs for _, logs in each if np.isfinite(logs).all()] or [each[0][1]]
        cells = [f"{as_ratio(logs)}, {rival}" for rival, logs in each]
        steps.append([contest.name, *cells, as_ratio(np.mean(known, axis=0))])
        each = [differences(contest, found[name], sign) for name, sign in signs.items()]
        quality.append([contest.name, *(f"{as_difference(d)}, {rival}" for rival, d in each)])
    head = ["entry", *found, "all, geometric mean"]
    sections.append(f"## Gradients to the target, as a ratio\n\n{markdown(head, steps)}")
    sections.append(f"## Test metric at the end, difference\n\n{markdown(head[:-1], quality)}")
    for name, runs in found.items():
        sections.append(f"## {name}\n\n{_numbers(name, runs, plan)}")
    return "\n\n".join(sections)


def _numbers(name: str, found: dict[str, Runs], plan: Plan) -> str:
    task, size = sized(name, plan)
    rows = []
    for entry, runs in found.items():
        test = f"{np.mean(runs.test):.4f} ± {np.std(runs.test, ddof=1):.4f}"
        reached = f"{np.mean(runs.steps):.0f} ({runs.reached} of {len(runs.steps)})"
        rows.append([entry, f"{runs.rate:g}", reached, test, f"{runs.milliseconds:.2f}"])
    head = ["entry", "rate", "steps to target (got there)", f"test {task.metric_name}", "ms a step"]
    said = (
        f"{size.epochs * task.steps_per_epoch} steps of {task.batch} examples; target "
        f"{task.target:g} {task.metric_name}, looked at every {size.every} steps."
    )
    return f"{said}\n\n{markdown(head, rows)}"


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command; words are those after its name, None takes the process's own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", metavar="A,B", help="some of them only")
    parser.add_argument("--quick", action="store_true", help="one epoch of one task, to try it")
    parser.add_argument("--page", action="store_true", help="write docs/many_optimizers.md too")
    parser.add_argument("--out", default=str(ROOT / "benchmarks" / "results"), metavar="DIR")
    options = parser.parse_args(words)
    plan, began = QUICK if options.quick else FULL, time.perf_counter()
    chosen = options.tasks.split(",") if options.tasks else list(plan.sizes)
    found = {name: run_task(name, plan, CONTESTS) for name in chosen}
    minutes = (time.perf_counter() - began) / 60
    text = report(found, CONTESTS, plan)
    text += f"\n\n{plan.seeds} seeds; {minutes:.0f} minutes on this machine's CPU."
    print(text)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    document = {task: {k: v._asdict() for k, v in runs.items()} for task, runs in found.items()}
    file = out / f"many_optimizers{'_quick' * options.quick}.json"
    file.write_text(json.dumps({"minutes": minutes, "tasks": document}, indent=1) + "\n")
    if options.page:
        title, _, rest = (__doc__ or "").partition("\n")
        protocol = rest.split("to try it")[1].strip()
        page = ROOT / "docs" / "many_optimizers.md"
        page.write_text(f"# {title}\n\n{protocol}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
