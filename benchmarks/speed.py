"""Speed against optax: tracing, eager updates, jitted steps and import, as ratios.

    python benchmarks/speed.py            all four tables, about five minutes
    python benchmarks/speed.py trace      one of trace, eager, step, import

Every ratio is ours over optax's, the median over rounds that alternate between the two in one
process (in fresh processes for import), with the range of the middle half. Below 1 is faster.
"""

import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
import optax.contrib

import adaptive_optax as ao

PAIRS: dict[str, tuple[Callable, Callable]] = {
    "sgd": (lambda: ao.sgd(1e-3), lambda: optax.sgd(1e-3)),
    "momentum": (lambda: ao.sgd(1e-3, momentum=0.9), lambda: optax.sgd(1e-3, momentum=0.9)),
    "nesterov": (
        lambda: ao.sgd(1e-3, momentum=0.9, nesterov=True),
        lambda: optax.sgd(1e-3, momentum=0.9, nesterov=True),
    ),
    "adagrad": (lambda: ao.adagrad(1e-3), lambda: optax.adagrad(1e-3)),
    "rmsprop": (lambda: ao.rmsprop(1e-3), lambda: optax.rmsprop(1e-3)),
    "rmsprop-centered": (
        lambda: ao.rmsprop(1e-3, centered=True),
        lambda: optax.rmsprop(1e-3, centered=True),
    ),
    "adadelta": (lambda: ao.adadelta(1.0), lambda: optax.adadelta(1.0)),
    "adam": (lambda: ao.adam(1e-3), lambda: optax.adam(1e-3)),
    "adamw": (lambda: ao.adamw(1e-3), lambda: optax.adamw(1e-3)),
    "nadam": (lambda: ao.nadam(1e-3), lambda: optax.nadam(1e-3)),
    "radam": (lambda: ao.radam(1e-3), lambda: optax.radam(1e-3)),
    "lion": (lambda: ao.lion(1e-3), lambda: optax.lion(1e-3, weight_decay=0.0)),
}


def namesakes(name: str) -> tuple[Callable, Callable]:
    """Ours and optax's optimizer of one name, with their defaults."""
    theirs = getattr(optax, name, None) or getattr(optax.contrib, name)
    return lambda: getattr(ao, name)(1e-3), lambda: theirs(1e-3)


FIELD = (
    *("amsgrad", "adamax", "adabelief", "yogi", "nadamw", "adan", "ademamix", "adopt", "lamb"),
    *("lars", "adafactor", "muon", "prodigy", "dog", "dowg"),
)
PAIRS |= {name: namesakes(name) for name in FIELD}


def ratios(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> list[float]:
    """Seconds of ours over seconds of theirs, one a round, taking turns in who goes first."""
    found = []
    for i in range(rounds):
        if i % 2:
            b, a = theirs(), ours()
        else:
            a, b = ours(), theirs()
        found.append(a / b)
    return found


def report(name: str, found: list[float]) -> None:
    """Prints a median and the middle half."""
    low, middle, high = statistics.quantiles(found, n=4)
    print(f"  {name:18s} {middle:6.3f}   ({low:.3f} to {high:.3f})", flush=True)


def leaves(count: int, size: tuple[int, ...]) -> dict[str, jax.Array]:
    """A tree of that many arrays of that shape."""
    return {f"layer{i}": jnp.full(size, 0.5) for i in range(count)}


def trace(rounds: int = 9) -> None:
    """Trace and lower an update of 1,000 leaves of 16 elements; adamw against optax.adamw."""
    print("trace + lower, 1,000 leaves of (16,):")
    params = leaves(1000, (16,))

    def timer(tx):
        state = tx.init(params)

        def once():
            jax.clear_caches()
            start = time.perf_counter()
            jax.jit(tx.update).lower(params, state, params)
            return time.perf_counter() - start

        return once

    for name in ("adamw", "sgd", "nadam"):
        report(name, ratios(timer(PAIRS[name][0]()), timer(PAIRS["adamw"][1]()), rounds))


def eager(rounds: int = 15) -> None:
    """An update of 100 leaves of (64, 64) without jit."""
    print("eager update, 100 leaves of (64, 64), each against its namesake:")
    params = leaves(100, (64, 64))

    def timer(tx):
        state = [tx.init(params)]

        def once():
            start = time.perf_counter()
            updates, state[0] = tx.update(params, state[0], params)
            jax.block_until_ready(updates)
            return time.perf_counter() - start

        once()
        return once

    for name, (ours, theirs) in PAIRS.items():
        report(name, ratios(timer(ours()), timer(theirs()), rounds))


def step(rounds: int = 41) -> None:
    """A jitted, donated update and its application to 8 leaves of (1024, 1024)."""
    print("jitted step, 8 leaves of (1024, 1024), donated, each against its namesake:")
    grads = leaves(8, (1024, 1024))

    def timer(tx):
        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def advance(params, state, grads):
            updates, state = tx.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        params = leaves(8, (1024, 1024))
        carry = [(params, jax.tree.map(jnp.copy, tx.init(params)))]  # optax's may share buffers

        def once():
            start = time.perf_counter()
            carry[0] = jax.block_until_ready(advance(*carry[0], grads))
            return time.perf_counter() - start

        once()
        return once

    for name, (ours, theirs) in PAIRS.items():
        report(name, ratios(timer(ours()), timer(theirs()), rounds))


def imports(rounds: int = 9) -> None:
    """`import adaptive_optax` against `import optax`, each in a process of its own."""
    print("import, fresh processes:")

    def timer(module):
        code = (
            f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter()-t)"
        )

        def once():
            return float(subprocess.check_output([sys.executable, "-c", code]))

        once()
        return once

    report("adaptive_optax", ratios(timer("adaptive_optax"), timer("optax"), rounds))


if __name__ == "__main__":
    tables = {"trace": trace, "eager": eager, "step": step, "import": imports}
    for chosen in sys.argv[1:] or tables:
        tables[chosen]()
