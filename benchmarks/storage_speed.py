"""What the formats of `stored` cost: time, compiled memory and compile time over optax's adamw.

    python benchmarks/storage_speed.py            as the machine is
    python benchmarks/storage_speed.py --kept     in a process that keeps its memory

The second sets `speed_machine.KEPT`: the C library then hands no memory back to the system, so that
what XLA allocates for a step has been paged in by the steps before.
"""

import argparse
import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from speed_machine import KEPT
from speed_measures import squares, step_timer, stepper
from speed_timing import Ratio, Timer, interleaved, over_all, seconds_of

import adaptive_optax as ao

RIVAL = "optax adamw"
CONTESTANTS: dict[str, Callable[[], Any]] = {
    RIVAL: lambda: optax.adamw(1e-3),
    "ours": lambda: ao.adamw(1e-3),
    "bfloat16": lambda: ao.stored(ao.adamw(1e-3), ao.bfloat16()),
    "minifloat8": lambda: ao.stored(ao.adamw(1e-3), ao.minifloat8()),
    "int8": lambda: ao.stored(ao.adamw(1e-3), ao.int8()),
    "int4": lambda: ao.stored(ao.adamw(1e-3), ao.int4()),
    "factored": lambda: ao.stored(ao.adamw(1e-3), ao.factored()),
    "minifloat8 over optax": lambda: ao.stored(optax.adamw(1e-3), ao.minifloat8()),
}
TOY = {
    "names": (RIVAL, "minifloat8"),
    "one": (1, 128),
    "many": (3, 128),
    "compiled": 3,
    "tokens": 8,
    "rounds": 2,
    "steps": 2,
}
FULL = {
    "names": tuple(CONTESTANTS),
    "one": (1, 4096),
    "many": (41, 640),
    "compiled": 300,
    "tokens": 512,
    "rounds": 15,
    "steps": 9,
}


def update_timer(tx: Any, count: int, side: int) -> Timer:
    """A timer of `jax.jit(tx.update)` of square leaves: updates and a state in new arrays."""
    params, grads = squares(count, side), squares(count, side)
    update = jax.jit(tx.update)
    carry = [jax.jit(tx.init)(params)]

    def once():
        took, (_, carry[0]) = seconds_of(update, grads, carry[0], params)
        return took

    return once


def peak_bytes(tx: Any, count: int, side: int) -> float:
    """The peak of a compiled step in place, in bytes a parameter.

    Parameters and state are donated. XLA's CPU compiler then copies codes before it writes over
    them, as the update and the new codes both read the old ones, in loops that it does not join.
    """
    params = jax.eval_shape(lambda: squares(count, side))
    state = jax.eval_shape(tx.init, params)
    memory = stepper(tx).lower(params, state, params).compile().memory_analysis()
    peak = memory.argument_size_in_bytes + memory.output_size_in_bytes
    peak += memory.temp_size_in_bytes - memory.alias_size_in_bytes
    return peak / (count * side * side)


def compile_timer(tx: Any, count: int) -> Timer:
    """Tracing, lowering and compiling an update of so many leaves of 256 x 128."""
    params = {str(i): jax.ShapeDtypeStruct((256, 128), jnp.float32) for i in range(count)}

    def once():
        jax.clear_caches()
        state = jax.eval_shape(tx.init, params)
        lower = functools.partial(stepper(tx).lower, params, state, params)
        return seconds_of(lambda: lower().compile() and None)[0]

    return once


def training_timer(tx: Any, tokens: int) -> Timer:
    """A whole step of a residual MLP of 8.4 million parameters."""
    width, blocks = (512, 8) if tokens > 8 else (128, 2)
    params = {
        str(i): {
            "up": 0.05 * jax.random.normal(jax.random.key(i), (width, 2 * width)),
            "down": 0.05 * jax.random.normal(jax.random.key(-i), (2 * width, width)),
        }
        for i in range(blocks)
    }
    x = jax.random.normal(jax.random.key(99), (tokens, width))

    def loss(params):
        h = x
        for block in params.values():
            h = h + jax.nn.gelu(h @ block["up"]) @ block["down"]
        return jnp.mean((h - jnp.roll(x, 1)) ** 2)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def advance(params, state):
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    carry = [(params, jax.jit(tx.init)(params))]

    def once():
        took, carry[0] = seconds_of(advance, *carry[0])
        return took

    return once


def updates(size: dict) -> dict[str, dict]:
    """Ratios of an update alone, and of one in place with its compiled bytes a parameter."""
    found: dict[str, dict] = {}
    for title, shape in (("one leaf", size["one"]), ("many leaves", size["many"])):
        timers = {name: update_timer(CONTESTANTS[name](), *shape) for name in size["names"]}
        found |= compared(f"update, {title}", timers, size["rounds"])
        del timers
        params = squares(*shape)
        timers = {name: step_timer(CONTESTANTS[name](), params) for name in size["names"]}
        found |= compared(f"in place, {title}", timers, size["rounds"])
        del timers, params
        peaks = {name: peak_bytes(CONTESTANTS[name](), *shape) for name in size["names"]}
        found[f"bytes, {title}"] = peaks
    return found


def steps(size: dict) -> dict[str, dict]:
    """Ratios of a whole training step."""
    timers = {name: training_timer(CONTESTANTS[name](), size["tokens"]) for name in size["names"]}
    return compared("training step", timers, size["steps"])


def compilations(size: dict) -> dict[str, dict]:
    """Ratios of tracing, lowering and compiling together, of the first few."""
    timers = {
        name: compile_timer(CONTESTANTS[name](), size["compiled"]) for name in size["names"][:5]
    }
    return compared("compile", timers, 1, warm=0)


def compared(title: str, timers: dict[str, Timer], rounds: int, warm: int = 1) -> dict[str, dict]:
    """The ratio of each contestant to the rival, under a title."""
    return {title: over_all(interleaved(timers, rounds, warm=warm), RIVAL)}


SECTIONS = {"update": updates, "step": steps, "compile": compilations}


def table(found: dict[str, dict]) -> str:
    """The measurements as a Markdown table, a row a contestant."""
    titles = list(found)
    lines = ["| |" + "|".join(titles) + "|", "|---" * (len(titles) + 1) + "|"]
    for name in next(iter(found.values())):
        cells = [found[title].get(name, "") for title in titles]
        cells = [str(Ratio(*x)) if isinstance(x, tuple | list) else str(x)[:5] for x in cells]
        lines.append(f"| {name} |" + "|".join(cells) + "|")
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("section", nargs="*", help="update, step or compile; all by default")
    parser.add_argument("--toy", action="store_true", help="tiny sizes")
    parser.add_argument("--kept", action="store_true", help="in a process that keeps its memory")
    parser.add_argument("--json", action="store_true", help="print numbers instead of a table")
    chosen = parser.parse_args()
    if chosen.kept:
        again = [sys.executable, *(word for word in sys.argv if word != "--kept")]
        os.execve(sys.executable, again, os.environ | KEPT)
    size, found = TOY if chosen.toy else FULL, {}
    for section in chosen.section or SECTIONS:
        found |= SECTIONS[section](size)
    print(json.dumps(found) if chosen.json else table(found))


if __name__ == "__main__":
    main()
