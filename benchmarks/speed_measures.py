"""Steps, eager updates and import: what they take over optax's, and over what memory allows."""

import functools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from speed_pairs import PAIRS
from speed_timing import Timer, interleaved, middle, over, seconds_of

TRIAD_BYTES = 12  # of a <- a + b / 2 an element of float32: two read, one written
TOY = {"names": ("sgd", "adamw"), "step": (2, 16), "rounds": 2, "eager": 3}
FULL = {"names": tuple(PAIRS), "step": (8, 1024), "rounds": 41, "eager": 100}


def squares(count: int, side: int) -> dict[str, jax.Array]:
    """So many square arrays of numbers that are not all the same."""
    one = jnp.sin(jnp.arange(side * side, dtype=jnp.float32)).reshape(side, side)
    return {str(i): one + i for i in range(count)}


def stepper(tx: Any) -> Callable:
    """A jitted update and its application; params and state are donated."""

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def advance(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return advance


def step_timer(tx: Any, params: Any) -> Timer:
    """A timer of a jitted step."""
    grads, advance = jax.tree.map(jnp.copy, params), stepper(tx)
    state = jax.tree.map(jnp.copy, tx.init(params))  # optax's may share buffers
    carry = [(jax.tree.map(jnp.copy, params), state)]

    def once():
        took, carry[0] = seconds_of(advance, *carry[0], grads)
        return took

    return once


def triad_timer(bytes_moved: int) -> Timer:
    """A timer of a triad in place that moves as many bytes."""
    size = -(-bytes_moved // TRIAD_BYTES // 1024) * 1024  # XLA does an odd length 5 times slower
    add = jax.jit(lambda a, b: a + 0.5 * b, donate_argnums=0)
    carry, b = [jnp.ones(size)], jnp.ones(size)

    def once():
        took, carry[0] = seconds_of(add, carry[0], b)
        return took

    return once


def least_bytes(tx: Any, params: Any) -> int:
    """What a step must move: gradients, params and state read, params and state written."""
    state = jax.eval_shape(tx.init, params)
    kept, given = (
        sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree)) for tree in (state, params)
    )
    return 2 * kept + 3 * given


def steps(size: dict) -> dict:
    """Of each pair a step over optax's, and of both over a triad of as many bytes."""
    found, params = {}, squares(*size["step"])
    for name in size["names"]:
        ours, theirs = PAIRS[name].ours(), PAIRS[name].theirs()
        timers = {"ours": step_timer(ours, params), "optax": step_timer(theirs, params)}
        timers["triad"] = triad_timer(least_bytes(theirs, params))
        taken = interleaved(timers, size["rounds"], warm=2)
        found[name] = {
            "ratio": over(taken, "ours", "optax"),
            "floor": over(taken, "ours", "triad"),
            "optax_floor": over(taken, "optax", "triad"),
            "seconds": middle(taken, "ours"),
        }
    return found


def eager(size: dict) -> dict:
    """Of each pair an update without jit of many leaves of 64 x 64, over optax's."""
    found, params = {}, squares(size["eager"], 64)
    for name in size["names"]:
        timers = {"ours": eager_timer(PAIRS[name].ours(), params)}
        timers["optax"] = eager_timer(PAIRS[name].theirs(), params)
        taken = interleaved(timers, min(size["rounds"], 9))
        found[name] = {"ratio": over(taken, "ours", "optax"), "seconds": middle(taken, "ours")}
    return found


def eager_timer(tx: Any, params: Any) -> Timer:
    """A timer of an update without jit."""
    state = [tx.init(params)]

    def once():
        took, (_, state[0]) = seconds_of(tx.update, params, state[0], params)
        return took

    return once


def imports(size: dict) -> dict:
    """`import adaptive_optax` over `import optax`, each in a process of its own."""
    taken = interleaved(
        {"ours": import_timer("adaptive_optax"), "optax": import_timer("optax")},
        min(size["rounds"], 9),
    )
    return {"import": {"ratio": over(taken, "ours", "optax"), "seconds": middle(taken, "ours")}}


def import_timer(module: str) -> Timer:
    """A timer of an import in a fresh process."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return lambda: float(subprocess.check_output([sys.executable, "-c", code]))
