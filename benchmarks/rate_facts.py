"""What becomes of the learning rate in optax and here, side by side: facts that README claims.

    python benchmarks/rate_facts.py

As optax_facts.py: the same call on both libraries, and what came out.
"""

import importlib.metadata
from collections.abc import Callable
from types import ModuleType

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training.train_state import TrainState

import adaptive_optax as ao


def told(library: ModuleType) -> str:
    """The rate of a plain adam, from its state."""
    state = library.adam(0.1).init(jnp.ones(2))
    return str(
        float(ao.learning_rate_of(state)) if library is ao else optax.tree.get(state, "rate")
    )


def in_scan(library: ModuleType) -> str:
    """The norm of the updates, watched in a loop under jax.lax.scan."""
    inner, params = library.adam(0.1), jnp.ones(2)
    if library is ao:
        tx = ao.monitored(inner)
    else:
        tx = optax.chain(inner, optax.transforms.monitor({"norm": optax.tree.norm}))

    def step(state, _):
        return tx.update(params, state, params)[1], None

    try:
        state = jax.lax.scan(step, tx.init(params), length=3)[0]
    except TypeError:
        return "raises"
    return f"{float(ao.metrics(state)['update_norm']):.3g}"


def _reductions(library: ModuleType, losses, dtype=jnp.float32) -> float:
    """The scale after these losses."""
    make = ao.reduce_on_plateau if library is ao else optax.contrib.reduce_on_plateau
    tx = make(factor=0.5, patience=5)
    params = jnp.ones(2, dtype)

    def step(state, value):
        return tx.update(params, state, params, value=value)[1], None

    return float(jax.lax.scan(step, tx.init(params), losses.astype(dtype))[0].scale)


def negative(library: ModuleType) -> str:
    """The plateau's scale after 100 times the same negative loss."""
    return f"{_reductions(library, jnp.full(100, -1.0)):.2g}"


def half_precision(library: ModuleType) -> str:
    """The plateau's scale after 400 losses, each 0.03 % below the last, bf16 parameters."""
    make = ao.reduce_on_plateau if library is ao else optax.contrib.reduce_on_plateau
    tx, params = make(), jnp.ones(2, jnp.bfloat16)

    def step(state, value):
        return tx.update(params, state, params, value=value)[1], None

    losses = 0.9997 ** jnp.arange(400, dtype=jnp.float32)
    try:
        state = jax.lax.scan(step, tx.init(params), losses)[0]
    except TypeError:
        state = tx.init(params)
        for value in losses:
            state = tx.update(params, state, params, value=value)[1]
    return f"{float(state.scale):.2g}"


def micro_batches(library: ModuleType) -> str:
    """The plateau's scale after 20 windows of losses 1 and 1.02 - t/100, t the window."""
    plateau = (ao if library is ao else optax.contrib).reduce_on_plateau(factor=0.5, patience=2)
    inner = optax.chain(optax.sgd(0.1), plateau)
    tx = ao.multi_steps(inner, 2) if library is ao else optax.MultiSteps(inner, 2)
    params = jnp.ones(2)
    state = tx.init(params)
    for t in range(20):
        for value in (1.02 - t / 100, 1.0):
            state = tx.update(params, state, params, value=jnp.float32(value))[1]
    return f"{float(optax.tree.get(state, 'scale')):.2g}"


def in_train_state(library: ModuleType) -> str:
    """A loss handed to the plateau through a training state of flax."""
    kind = ao.training.TrainState if library is ao else TrainState
    make = ao.reduce_on_plateau if library is ao else optax.contrib.reduce_on_plateau
    model = nn.Dense(1)
    params = model.init(jax.random.key(0), jnp.ones((1, 2)))
    tx = optax.chain(optax.sgd(0.1), make())
    state = kind.create(apply_fn=model.apply, params=params, tx=tx)
    try:
        state.apply_gradients(grads=params, value=jnp.float32(1.0))
    except TypeError:
        return "raises"
    return "trains"


def late(library: ModuleType) -> str:
    """Relative error of the cosine schedule over the last 1,000 of 1e6 updates."""
    steps = 1_000_000
    make = ao.schedules.cosine if library is ao else optax.cosine_decay_schedule
    count = jnp.arange(steps - 1000, steps - 1)
    found = jax.vmap(make(0.1, steps))(count)
    truth = 0.05 * (1 + np.cos(np.pi * np.asarray(count, np.float64) / steps))
    return f"{float(np.max(np.abs(np.asarray(found, np.float64) / truth - 1))):.1g}"


FACTS: list[tuple[str, Callable[[ModuleType], str]]] = [
    ("adam(0.1): the rate in its state", told),
    ("norm of the updates in lax.scan", in_scan),
    ("plateau: scale after 100 losses of -1", negative),
    ("plateau, bf16: losses fall 0.03 % a step; scale", half_precision),
    ("plateau over micro-batches whose mean falls; scale", micro_batches),
    ("value= through flax's TrainState", in_train_state),
    ("cosine of 1e6 steps: error at the end", late),
]


if __name__ == "__main__":
    print(f"{'':52s} {'optax ' + importlib.metadata.version('optax'):20s} adaptive_optax")
    for title, fact in FACTS:
        print(f"{title:52s} {fact(optax):20s} {fact(ao)}", flush=True)
