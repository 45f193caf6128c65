"""Speed against optax and against what memory allows: a table and a plot.

    python benchmarks/speed.py                        everything, about half an hour on 2 cores
    python benchmarks/speed.py step "formats kept"    some sections; others stay as they are known
    python benchmarks/speed.py step --only sgd adam   of a section, some optimizers anew
    python benchmarks/speed.py --toy --out DIR        tiny sizes, to see that it runs

It writes speed_cpu.json, speed_cpu.md and speed_cpu.png to --out, benchmarks/results by default.
Each section runs in a process of its own; one such as "step kept" in one that keeps its memory
(`speed_machine.py` says why). All contestants take turns in one process; ratios are of the same
round, and given as median with quartiles. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import speed_machine
import speed_measures
import speed_page
import speed_plot
import speed_stages
import storage_speed

OUT = Path(__file__).parent / "results"
SECTIONS: dict[str, tuple[Callable, object]] = {
    "step": (speed_measures.steps, speed_measures),
    "eager": (speed_measures.eager, speed_measures),
    "import": (speed_measures.imports, speed_measures),
    "trace": (speed_stages.traces, speed_stages),
    "leaves": (speed_stages.leaf_counts, speed_stages),
    "sizes": (speed_stages.leaf_sizes, speed_stages),
    "formats": (storage_speed.updates, storage_speed),
    "training": (storage_speed.steps, storage_speed),
    "compile": (storage_speed.compilations, storage_speed),
}
KEPT = " kept"  # after the name of a section: in a process that keeps its memory
ALL = (*SECTIONS, *(name + KEPT for name in ("step", "sizes", "formats", "training")))


def measured(section: str, only: Sequence[str], *, toy: bool) -> dict:
    """One section's numbers, taken in this process."""
    measure, module = SECTIONS[section]
    size = module.TOY if toy else module.FULL  # type: ignore[attr-defined]
    return measure(size | ({"names": tuple(only)} if only else {}))


def fresh(section: str, only: Sequence[str]) -> dict:
    """One section's numbers, taken in a process of its own."""
    settings = os.environ | (speed_machine.KEPT if section.endswith(KEPT) else {})
    command = [sys.executable, __file__, section.removesuffix(KEPT), "--raw", "--only", *only]
    return json.loads(subprocess.check_output(command, env=settings))


def main(arguments: list[str] | None = None) -> int:
    """Measures, and writes the page and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("section", nargs="*", help=f"of {', '.join(ALL)}; all by default")
    parser.add_argument("--toy", action="store_true", help="tiny sizes")
    parser.add_argument("--only", nargs="*", default=[], help="of step, trace, eager: optimizers")
    parser.add_argument("--raw", action="store_true", help="one section here, printed as JSON")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.section) - set(ALL):
        parser.error(f"no section {min(unknown)!r}; there are {', '.join(ALL)}")
    sections = chosen.section or ALL
    if chosen.raw:
        print(json.dumps(measured(sections[0], chosen.only, toy=chosen.toy)))
        return 0
    chosen.out.mkdir(parents=True, exist_ok=True)
    file = chosen.out / "speed_cpu.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for section in sections:
        if chosen.toy:
            new = measured(section.removesuffix(KEPT), chosen.only, toy=True)
        else:
            new = fresh(section, chosen.only)
        found[section] = found.get(section, {}) | new if chosen.only else new
        found["machine"] = speed_machine.described()
        file.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{section}: done", flush=True)
    (chosen.out / "speed_cpu.md").write_text(speed_page.page(found))
    speed_plot.plot(found, chosen.out / "speed_cpu.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
