"""What `monitored` costs: a step with it over a step without, interleaved in one process.

    python benchmarks/monitoring.py

An optimizer's step alone, and a training step of a network with it, for every=1 and every=10.
Ratios are medians over pairs of neighbours in time, with the quartiles: machines are noisy.
"""

import argparse
import functools
import platform
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adaptive_optax as ao

WAYS = {
    "every=1": lambda tx: ao.monitored(tx),
    "every=10": lambda tx: ao.monitored(tx, every=10),
    "every=10, groups": lambda tx: ao.monitored(tx, every=10, groups=["0", "1"]),
}
OPTIMIZERS = {"optax.adam": lambda: optax.adam(1e-3), "ao.adamw": lambda: ao.adamw(1e-3)}
STEPS = 20  # in a row, so that every=10 measures twice


def params_of(leaves: int, size: int) -> dict[str, jax.Array]:
    """Square matrices."""
    key = jax.random.key(0)
    return {
        str(i): jax.random.normal(jax.random.fold_in(key, i), (size, size)) / size**0.5
        for i in range(leaves)
    }


def optimizer_step(tx, params):
    """The update alone: gradients are given, the old state is donated."""
    grads = jax.tree.map(lambda p: 0.01 * p, params)
    step = jax.jit(tx.update, donate_argnums=1)
    carry = [tx.init(params)]

    def run():
        for _ in range(STEPS):
            updates, carry[0] = step(grads, carry[0], params)
        jax.block_until_ready((updates, carry[0]))

    return run


def training_step(tx, params, batch):
    """Forward, backward and update of the matrices as the layers of a network."""
    x = jax.random.normal(jax.random.key(1), (batch, params["0"].shape[0]))

    def loss(params):
        return jnp.mean(
            jnp.square(functools.reduce(lambda h, w: jnp.tanh(h @ w), params.values(), x))
        )

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state):
        grads = jax.grad(loss)(params)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params = jax.tree.map(jnp.copy, params)
    carry = [(params, tx.init(params))]

    def run():
        for _ in range(STEPS):
            carry[0] = step(*carry[0])
        jax.block_until_ready(carry[0])

    return run


def ratios(plain, others, rounds):
    """Times of each over its neighbour's of plain: quartiles of the ratio."""
    for run in (plain, *others.values()):
        run()
    found = {name: [] for name in others}
    for _ in range(rounds):
        for name, run in others.items():
            found[name].append(_time(run) / _time(plain))
    return {name: np.percentile(values, (25, 50, 75)) for name, values in found.items()}


def _time(run):
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main():
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--leaves", type=int, default=8)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=256)
    options = parser.parse_args()
    params = params_of(options.leaves, options.size)
    print(f"{platform.machine()}, {jax.devices()[0].device_kind}, jax {jax.__version__}")
    print(f"{options.leaves} leaves of {options.size} x {options.size}, batch {options.batch}")
    for label, make in OPTIMIZERS.items():
        kinds = {
            "optimizer step": optimizer_step,
            "training step": functools.partial(training_step, batch=options.batch),
        }
        for kind, build in kinds.items():
            others = {name: build(way(make()), params) for name, way in WAYS.items()}
            found = ratios(build(make(), params), others, options.rounds)
            for name, (low, middle, high) in found.items():
                print(f"{label:12} {kind:15} {name:18} {middle:.3f}  ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
