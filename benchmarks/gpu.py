"""Speed on an accelerator: steps against optax and the memory floor, and 8-bit state at full size.

    python benchmarks/gpu.py                       on a GPU or TPU; refuses where there is none
    python benchmarks/gpu.py --parameters 1e9      so many parameters for the formats
    python benchmarks/gpu.py --tests               and then the tests of state and storage there
    python benchmarks/gpu.py --allow-cpu           tiny sizes, to see that it runs

It writes speed_gpu.md to --out. Where torch with CUDA is installed, its fused AdamW takes part in
the formats, and so does bitsandbytes' 8-bit AdamW: each in torch's own process memory, for which
XLA must leave room (XLA_PYTHON_CLIENT_MEM_FRACTION=0.5).
"""

import argparse
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import speed_machine
import speed_measures
import speed_page
from speed_timing import Timer, interleaved, over_all

import adaptive_optax as ao

OUT = Path(__file__).parent / "results"
RIVAL = "optax adamw"
NAMES = ("sgd", "adamw", "adabelief", "lion", "nadam", "muon")
TESTS = ("tests/test_stored_numbers.py", "tests/test_numerics.py")
CONTESTANTS: dict[str, Callable[[], Any]] = {
    RIVAL: lambda: optax.adamw(1e-3),
    "ours": lambda: ao.adamw(1e-3),
    "minifloat8": lambda: ao.stored(ao.adamw(1e-3), ao.minifloat8()),
    "int8": lambda: ao.stored(ao.adamw(1e-3), ao.int8()),
}


def torch_timer(make: Callable[[Any], Any], parameters: int) -> Timer:
    """A step of one of torch's optimizers, on one tensor."""
    import torch  # only where it is installed

    p = torch.nn.Parameter(torch.ones(parameters, device="cuda"))
    p.grad = torch.full_like(p, 0.5)
    optimizer = make([p])

    def once():
        torch.cuda.synchronize()
        start = time.perf_counter()
        optimizer.step()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    return once


def torch_makers() -> dict[str, Callable[[Any], Any]]:
    """What torch and bitsandbytes have here for a GPU."""
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch

    if not torch.cuda.is_available():
        return {}
    found = {"torch fused AdamW": lambda ps: torch.optim.AdamW(ps, fused=True)}
    if importlib.util.find_spec("bitsandbytes"):
        import bitsandbytes

        found["bitsandbytes AdamW8bit"] = lambda ps: bitsandbytes.optim.AdamW8bit(ps)
    return found


def formats(parameters: int, rounds: int) -> str:
    """A table of the formats' updates over optax's adamw, at that many parameters in one leaf."""
    rows = max(parameters // 8192, 1)
    params = {"0": jnp.ones((rows, 8192))}
    seconds, others = {}, torch_makers()
    for name in [*CONTESTANTS, *others][1:]:  # in pairs, since not all fit side by side
        timers = {RIVAL: speed_measures.step_timer(CONTESTANTS[RIVAL](), params)}
        if name in others:
            timers[name] = torch_timer(others[name], rows * 8192)
        else:
            timers[name] = speed_measures.step_timer(CONTESTANTS[name](), params)
        seconds[name] = over_all(interleaved(timers, rounds, warm=3), RIVAL)[name]
    cells = [[name, str(ratio)] for name, ratio in seconds.items()]
    title = f"over {RIVAL}, {rows * 8192:,} parameters"
    return speed_page.table(("", title), cells)


def main(arguments: list[str] | None = None) -> int:
    """Measures, writes the page, and runs the tests where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parameters", type=float, nargs="*", help="of the formats; 1e8 and 1e9")
    parser.add_argument("--tests", action="store_true", help="run tests on the accelerator after")
    parser.add_argument("--allow-cpu", action="store_true", help="tiny sizes, on any device")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the page")
    chosen = parser.parse_args(arguments)
    if jax.default_backend() == "cpu" and not chosen.allow_cpu:
        print("gpu.py: jax sees no accelerator here; install jax[cuda12] on a machine with one,")
        print("run benchmarks/speed.py for this one, or give --allow-cpu to see that it runs.")
        return 1
    toy = jax.default_backend() == "cpu"
    size = {"names": NAMES, "step": (2, 16) if toy else (64, 1024), "rounds": 2 if toy else 51}
    sizes = chosen.parameters or ([2**14] if toy else [1e8, 1e9])
    machine = "; ".join(f"{key}: {value}" for key, value in speed_machine.described().items())
    steps = [
        [name, *(str(row[key]) for key in ("ratio", "floor", "optax_floor"))]
        for name, row in speed_measures.steps(size).items()
    ]
    head = ("a step", "over optax", "over floor", "optax over floor")
    parts = ["# Speed on an accelerator", machine + ".", speed_page.table(head, steps)]
    parts += [formats(int(count), size["rounds"]) for count in sizes]
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "speed_gpu.md").write_text("\n\n".join(parts) + "\n")
    print("\n\n".join(parts))
    root = Path(__file__).parent.parent
    return (
        subprocess.call([sys.executable, "-m", "pytest", *TESTS], cwd=root) if chosen.tests else 0
    )


if __name__ == "__main__":
    sys.exit(main())
