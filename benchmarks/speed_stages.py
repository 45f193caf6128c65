"""What happens once: tracing, lowering and compiling a step, and how all grows with the leaves."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from speed_measures import step_timer
from speed_pairs import PAIRS
from speed_timing import Taken, interleaved, middle, over

TOY = {"names": ("sgd", "adamw"), "leaves": 20, "counts": (10, 20), "sides": (16, 32), "rounds": 1}
FULL = {
    "names": tuple(PAIRS),
    "leaves": 1000,
    "counts": (10, 100, 1000),
    "sides": (256, 512, 1024, 2048),
    "rounds": 3,
}
SHAPES = tuple((16 * i, 32) for i in range(1, 11))
STAGES = ("trace", "lower", "compile")


def of_ten_shapes(count: int) -> dict[str, jax.ShapeDtypeStruct]:
    """So many leaves of ten shapes in turn."""
    return {
        str(i): jax.ShapeDtypeStruct(SHAPES[i % len(SHAPES)], jnp.float32) for i in range(count)
    }


def stages(tx: Any, params: Any, *, compiles: bool) -> list[float]:
    """The seconds of tracing, of lowering and, where wanted, of compiling an update."""
    arguments = (params, jax.eval_shape(tx.init, params), params)
    jax.clear_caches()
    marks = [time.perf_counter()]
    traced = jax.jit(tx.update).trace(*arguments)
    marks.append(time.perf_counter())
    lowered = traced.lower()
    marks.append(time.perf_counter())
    if compiles:
        lowered.compile()
        marks.append(time.perf_counter())
    return np.diff(marks).tolist()


def taken_by_stage(
    txs: dict[str, Any], params: Any, rounds: int, *, compiles: bool
) -> dict[str, Taken]:
    """Seconds of each stage, of each optimizer in turns."""
    rows: dict[str, list] = {who: [] for who in txs}
    for i in range(rounds):
        for who in sorted(txs, reverse=bool(i % 2)):
            rows[who].append(stages(txs[who], params, compiles=compiles))
    columns = STAGES if compiles else STAGES[:2]
    return {
        stage: {who: np.array(row)[:, i] for who, row in rows.items()}
        for i, stage in enumerate(columns)
    }


def traces(size: dict) -> dict:
    """Of each pair tracing, and lowering, a step of many leaves of ten shapes, over optax's."""
    found, params = {}, of_ten_shapes(size["leaves"])
    for name in size["names"]:
        txs = {"ours": PAIRS[name].ours(), "optax": PAIRS[name].theirs()}
        taken = taken_by_stage(txs, params, size["rounds"], compiles=False)
        found[name] = {stage: over(both, "ours", "optax") for stage, both in taken.items()}
        found[name]["seconds"] = middle(taken["trace"], "ours")
    return found


def leaf_counts(size: dict, name: str = "adamw") -> dict:
    """Of one pair the seconds of every stage, and of a step, against the number of leaves."""
    found = {}
    for count in size["counts"]:
        txs = {"ours": PAIRS[name].ours(), "optax": PAIRS[name].theirs()}
        shapes = of_ten_shapes(count)
        rounds = 1 if count > 100 else size["rounds"]
        taken = taken_by_stage(txs, shapes, rounds, compiles=True)
        params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
        timers = {who: step_timer(tx, params) for who, tx in txs.items()}
        taken["step"] = interleaved(timers, 9, warm=2)
        found[str(count)] = {
            stage: {who: middle(both, who) for who in both} for stage, both in taken.items()
        }
    return found


def leaf_sizes(size: dict, name: str = "adamw") -> dict:
    """Of one pair the seconds of a step of 4 square leaves against the number of parameters."""
    found = {}
    for side in size["sides"]:
        params = {str(i): jnp.ones((side, side)) for i in range(4)}
        txs = {"ours": PAIRS[name].ours(), "optax": PAIRS[name].theirs()}
        taken = interleaved({who: step_timer(tx, params) for who, tx in txs.items()}, 15, warm=2)
        found[str(4 * side * side)] = {who: middle(taken, who) for who in taken}
    return found
