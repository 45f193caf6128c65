"""Parameters in bfloat16: which of them learn, and what that costs.

    python benchmarks/rounded.py               Markdown tables, ten minutes on two cores
    python benchmarks/rounded.py --seeds 1     fewer seeds, to try it

The model of the task `text`, four times as wide, reads the same text at a constant learning rate.
Everybody starts at the same numbers, which bfloat16 has, and sees the same batches; the forward
pass is of float32, gradients come in the dtype of the parameters. The loss is that of a part of the
training text, averaged over checkpoints of the last tenth of the steps and over seeds. "float32,
started 2^-9 away" says what difference is none: its start is off by a rounding to bfloat16.
"""

import argparse
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adaptive_optax as ao
from adaptive_optax.comparison.tasks.text import Reader, text

RATES = (1e-3, 3e-4, 1e-4)
STEPS, BATCH, CHECKPOINTS = 4000, 64, 40
MODES = ("stochastic", "kahan", "master")
FLOAT32, FLOOR, PLAIN = "float32", "float32, started 2^-9 away", "bfloat16, optax.adamw"
METHODS = (FLOAT32, FLOOR, PLAIN, *(f"rounded, {mode}" for mode in MODES))


def optimizer(method: str, learning_rate: float) -> optax.GradientTransformation:
    """optax.adamw, or the same rounded."""
    tx = optax.adamw(learning_rate)
    name, _, mode = method.partition(", ")
    return ao.rounded(tx, mode) if name == "rounded" else tx


def start(method: str, init, seed: int):
    """Parameters that bfloat16 has, in the method's dtype."""
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), init(seed))
    if method not in (FLOAT32, FLOOR):
        return params
    wide = jax.tree.map(lambda p: p.astype(jnp.float32), params)
    if method == FLOAT32:
        return wide
    draw = np.random.default_rng(seed)
    return jax.tree.map(lambda p: p * (1 + 2.0**-9 * draw.uniform(-1, 1, p.shape)), wide)


@functools.cache
def task():
    """Model, data and the losses of a batch."""
    data = text()
    characters = int(max(data.train.inputs.max(), data.train.targets.max())) + 1
    model = Reader(characters, hidden=256)
    inputs, targets = jnp.asarray(data.train.inputs), jnp.asarray(data.train.targets)

    def loss(params, rows):
        wide = jax.tree.map(lambda p: p.astype(jnp.float32), params)
        logits = model.apply(wide, inputs[rows])
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets[rows]).mean()

    init = jax.jit(lambda seed: model.init(jax.random.key(seed), inputs[:1]))
    return init, loss, len(inputs)


def trained(method: str, learning_rate: float, seed: int) -> float:
    """The loss at the end."""
    init, loss, examples = task()
    tx, params = optimizer(method, learning_rate), start(method, init, seed)
    each = STEPS // CHECKPOINTS
    seen = np.arange(0, examples, 4)  # every fourth window, to be quick

    def step(carry, rows):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params, rows), state, params)
        return (optax.apply_updates(params, updates), state), None

    stretch = jax.jit(lambda carry, rows: jax.lax.scan(step, carry, rows)[0], donate_argnums=0)
    measure = jax.jit(loss)
    draw = np.random.default_rng(1000 + seed)
    carry, losses = (params, jax.jit(tx.init)(params)), []
    for i in range(CHECKPOINTS):
        carry = stretch(carry, jnp.asarray(draw.integers(0, examples, (each, BATCH))))
        if i >= CHECKPOINTS * 9 // 10:
            losses.append(float(measure(carry[0], seen)))
    return float(np.mean(losses))


def losses(seeds: int) -> str:
    """Table of final losses."""
    rows = [f"| {STEPS:,} steps | " + " | ".join(f"rate {rate:g}" for rate in RATES) + " |"]
    rows.append("|---|" + "---|" * len(RATES))
    of_float32 = {}
    for method in METHODS:
        cells = []
        for rate in RATES:
            found = float(np.mean([trained(method, rate, seed) for seed in range(seeds)]))
            ours = of_float32.setdefault(rate, found)
            cells.append(f"{found:.4f} ({100 * (found / ours - 1):+.2f} %)")
        rows.append(f"| {method} | " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    return "\n".join(rows)


def still(method: str) -> float:
    """The share of 100,000 weights of mean 3 that are after 500 steps where they were."""
    draw = np.random.default_rng(0)
    params = jnp.asarray(3 + draw.standard_normal(100_000), jnp.bfloat16)
    slope = jnp.asarray(draw.standard_normal(100_000), jnp.float32)
    tx = optimizer(method, 1e-3)

    @jax.jit
    def run(params):
        def step(carry, key):
            params, state, moved = carry
            grads = (slope + jax.random.normal(key, slope.shape)).astype(params.dtype)
            updates, state = tx.update(grads, state, params)
            new = optax.apply_updates(params, updates)
            return (new, state, moved | (new != params)), None

        first = params, tx.init(params), jnp.zeros(params.shape, bool)
        return jax.lax.scan(step, first, jax.random.split(jax.random.key(0), 500))[0][2]

    return 1 - float(run(params).mean())


def costs() -> str:
    """Table of bytes and of weights that never move."""
    rows = ["| | bytes of state a parameter | never moved in 500 steps at 1e-3 |", "|---|---|---|"]
    for method in METHODS[2:]:
        shape = jax.ShapeDtypeStruct((1024, 1024), jnp.bfloat16)
        size = ao.state_bytes(optimizer(method, 1e-3), shape) / shape.size
        rows.append(f"| {method} | {size:.2f} | {100 * still(method):.1f} % |")
    return "\n".join(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    began = time.perf_counter()
    tables = [costs(), losses(chosen.seeds)]
    print("\n\n".join(tables))
    print(f"\n{time.perf_counter() - began:.0f} s, {chosen.seeds} seeds, jax {jax.__version__}")
