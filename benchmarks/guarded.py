"""What a guard costs: tracing, compiling and a step, of `guarded` and of `optax.apply_if_finite`.

    python benchmarks/guarded.py [--leaves 500] [--side 64] [--rounds 5]

Around `ao.adamw` and `optax.adamw`, over the same optimizer without a guard, in turns within one
process. A step is an update and `optax.apply_updates`, the old state and parameters donated.
"""

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from speed_timing import Taken, interleaved, middle, over_all, seconds_of

import adaptive_optax as ao

STEPS = 20  # a round, of which the median counts
INNER = {"ao.adamw": lambda: ao.adamw(1e-3), "optax.adamw": lambda: optax.adamw(1e-3)}
GUARDS = {
    "plain": lambda tx: tx,
    "guarded": ao.guarded,
    "guarded, norm_sigmas": lambda tx: ao.guarded(tx, norm_sigmas=6.0),
    "apply_if_finite": lambda tx: optax.apply_if_finite(tx, 5),
}


def leaves(count: int, side: int) -> dict[str, jax.Array]:
    """Matrices and vectors in turns."""
    return {f"{i:04d}": jnp.ones((side, side) if i % 2 == 0 else (side,)) for i in range(count)}


def stepper(tx: Any) -> Any:
    """A step, to be compiled."""

    def step(grads, state, params):
        updates, state = tx.update(grads, state, params)
        return state, optax.apply_updates(params, updates)

    return jax.jit(step, donate_argnums=(1, 2))


def compile_timer(tx: Any, params: Any) -> Any:
    """Traces and compiles once more at each call."""
    shapes = jax.eval_shape(lambda: params)

    def timer():
        jax.clear_caches()
        start = time.perf_counter()
        stepper(tx).lower(shapes, jax.eval_shape(tx.init, shapes), shapes).compile()
        return time.perf_counter() - start

    return timer


def step_timer(tx: Any, params: Any) -> Any:
    """The median of some steps at each call."""
    step = stepper(tx)
    carry = [tx.init(params), jax.tree.map(jnp.copy, params)]

    def timer():
        took = []
        for _ in range(STEPS):
            seconds, carry[:] = seconds_of(step, params, *carry)
            took.append(seconds)
        return float(np.median(took))

    return timer


def table(title: str, unit: float, taken: Taken) -> list[str]:
    """A line a guard: median and ratio over none."""
    lines = [f"| {title} | median | over plain (quartiles) |", "|---|---|---|"]
    for name, ratio in over_all(taken, "plain").items():
        lines.append(f"| {name} | {middle(taken, name) * unit:.3g} | {ratio} |")
    return [*lines, ""]


def main() -> None:
    """Prints a table for each optimizer and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--leaves", type=int, default=500)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    params = leaves(asked.leaves, asked.side)
    for name, make in INNER.items():
        txs = {guard: wrap(make()) for guard, wrap in GUARDS.items()}
        compiling = {guard: compile_timer(tx, params) for guard, tx in txs.items()}
        taken = interleaved(compiling, max(asked.rounds // 2, 1), warm=0)
        print(*table(f"{name}, trace and compile, s", 1.0, taken), sep="\n", flush=True)
        stepping = {guard: step_timer(tx, params) for guard, tx in txs.items()}
        taken = interleaved(stepping, asked.rounds)
        print(*table(f"{name}, a step, ms", 1e3, taken), sep="\n", flush=True)


if __name__ == "__main__":
    main()
