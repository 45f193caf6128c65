"""The table of the speed benchmark, in Markdown, from its numbers."""

from collections.abc import Iterable, Sequence
from typing import Any

from speed_timing import Ratio

NOTES = """\
Ratios are medians with quartiles, of rounds in which all contestants take turns in one process;
below 1 is faster than optax. "Kept" is a process that keeps its memory: with `MALLOC_ARENA_MAX=1
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000`. Without, the C library gives freed arrays
of more than 32 MB back to the system, and every fresh temporary of XLA is paged in again.
"""
STEP = """\
## A step

A jitted update and its application to 8 leaves of 1024 x 1024, params and state donated. The floor
is a jitted triad `a + b / 2` in place that moves as many bytes as the step must: gradients,
parameters and state read once, parameters and state written once. XLA:CPU has no fusion with
several outputs, so that every slot, and the parameters, are a pass of their own that reads its
inputs anew: of Adam 40 bytes a parameter for 28. optax's programs are bound by the same.
"""
TRACE = """\
## Tracing, lowering, eager updates

Of `jax.jit(tx.update)` for 1,000 leaves of ten shapes, and an update of 100 leaves of 64 x 64
without jit. Where a rule is one or two operations a leaf, optax has as little to trace as we.
"""
GROWTH = """\
## Growth

Seconds of `adamw`, ours and optax's, for leaves of ten shapes; and nanoseconds a parameter of a
step.
"""
FORMATS = """\
## Formats of `stored`

Over `optax.adamw` in float32: `jax.jit(tx.update)` of 16.8 million parameters, as one leaf and as
41; the same with `optax.apply_updates`, in place, where XLA's CPU compiler copies the codes before
it writes over them; a whole training step of a residual MLP of 8.4 million parameters at 512
tokens; tracing, lowering and compiling a step of 300 leaves of 256 x 128. Bytes are those of the
step in place at its peak, a parameter: arguments, outputs and temporaries, without what is aliased.
"""
_OF_FORMATS = ("formats", "training", "compile")


def page(found: dict[str, Any]) -> str:
    """The page of all sections that are there."""
    machine = found["machine"]
    parts = ["# Speed", "; ".join(f"{key}: {value}" for key, value in machine.items()) + ".", NOTES]
    if "step" in found or "step kept" in found:
        parts += [STEP, _steps(found)]
    if "trace" in found or "eager" in found:
        parts += [TRACE, _traces(found)]
    if "import" in found:
        parts.append(f"Import, in fresh processes: {_ratio(found['import']['import']['ratio'])}.")
    if "leaves" in found:
        parts += [GROWTH, _leaves(found["leaves"])]
    if "sizes" in found or "sizes kept" in found:
        parts.append(_sizes(found))
    if any(name.split()[0] in _OF_FORMATS for name in found):
        parts += [FORMATS, _formats(found)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _ratio(x: Sequence[float] | None) -> str:
    return "" if x is None else str(Ratio(*x))


def _steps(found: dict[str, Any]) -> str:
    plain, kept = found.get("step", {}), found.get("step kept", {})
    rows = []
    for name in plain | kept:
        row, again = plain.get(name, {}), kept.get(name, {})
        best = again or row
        ratios = (row.get("ratio"), again.get("ratio"), best["floor"], best["optax_floor"])
        rows.append([name, *map(_ratio, ratios), f"{best['seconds'] * 1e3:.1f}"])
    head = ("", "over optax", "over optax, kept", "over floor", "optax over floor", "ours, ms")
    return table(head, rows)


def _traces(found: dict[str, Any]) -> str:
    trace, eager, rows = found.get("trace", {}), found.get("eager", {}), []
    for name in trace | eager:
        once, often = trace.get(name, {}), eager.get(name, {})
        cells = [once.get("trace"), once.get("lower"), often.get("ratio")]
        rows.append([name, *map(_ratio, cells)])
    return table(("", "trace over optax", "lower over optax", "eager over optax"), rows)


def _leaves(counts: dict[str, Any]) -> str:
    rows = [
        [count, stage, f"{both['ours']:.3g}", f"{both['optax']:.3g}"]
        for count, stages in counts.items()
        for stage, both in stages.items()
    ]
    return table(("leaves", "", "ours, s", "optax, s"), rows)


def _sizes(found: dict[str, Any]) -> str:
    plain, kept = found.get("sizes", {}), found.get("sizes kept", {})
    rows = []
    for size in plain | kept:
        both = [x.get(size, {}).get(who) for x in (plain, kept) for who in ("ours", "optax")]
        each = ("" if x is None else f"{1e9 * x / int(size):.2f}" for x in both)
        rows.append([f"{int(size):,}", *each])
    return table(("parameters", "ours, ns", "optax, ns", "ours, kept", "optax, kept"), rows)


def _formats(found: dict[str, Any]) -> str:
    columns: dict[str, dict] = {}
    for section in _OF_FORMATS:
        columns |= found.get(section, {})
        again = found.get(f"{section} kept", {})
        columns |= {f"{t}, kept": x for t, x in again.items() if not t.startswith("bytes")}
    names = next(iter(columns.values()))
    rows = [[name, *(_cell(column.get(name)) for column in columns.values())] for name in names]
    return table(("", *columns), rows)


def _cell(x: Any) -> str:
    return f"{x:.2f}" if isinstance(x, float) else _ratio(x)
