"""What optax does and what we do, side by side: the facts that README claims.

    python benchmarks/optax_facts.py

Every line runs the same call on both libraries and prints what came out. No timings here; those
are in speed.py.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import functools
import importlib.metadata
from collections.abc import Callable
from types import ModuleType

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training.train_state import TrainState
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import adaptive_optax as ao


def second_moment(library: ModuleType) -> str:
    """Adam's nu for bf16 parameters after 20,000 gradients of 1e-3; the truth is 1.0e-06."""
    tx = library.adam(1e-3)
    params = jnp.ones((), jnp.bfloat16)
    grads = jnp.where(jnp.arange(21000) < 1000, 1.0, 1e-3).astype(jnp.bfloat16)
    step = lambda state, g: (tx.update(g, state, params)[1], None)
    state = jax.jit(lambda s: jax.lax.scan(step, s, grads)[0])(tx.init(params))
    return f"nu = {float(optax.tree.get(state, 'nu')):.2g}"


def adadelta(library: ModuleType) -> str:
    """Where adadelta with its defaults gets to on x^2 from 5 in 2,000 steps."""
    tx, x = library.adadelta(), jnp.float32(5.0)

    def step(carry, _):
        x, state = carry
        updates, state = tx.update(2 * x, state, x)
        return (x + updates, state), None

    (x, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, length=2000))((x, tx.init(x)))
    return f"x = {float(x):.3g}"


def overflow(library: ModuleType) -> str:
    """RMSProp's update after one gradient of 1e20 and 2,000 of 1, over the learning rate."""
    tx, p = library.rmsprop(1.0), jnp.float32(0.0)
    _, state = tx.update(jnp.float32(1e20), tx.init(p), p)
    step = lambda s, _: tuple(reversed(tx.update(jnp.float32(1.0), s, p)))
    _, updates = jax.jit(lambda s: jax.lax.scan(step, s, length=2000))(state)
    return f"update = {-float(updates[-1]):.2g}"


def half_precision(library: ModuleType) -> str:
    """Adam's update for a zero gradient in float16."""
    tx, p = library.adam(1e-3), jnp.ones((), jnp.float16)
    updates, _ = tx.update(p * 0, tx.init(p), p)
    return f"update = {abs(float(updates)):.3g}"


def centered(library: ModuleType) -> str:
    """Coordinates of 4,096 that are NaN after 300 steps of centered RMSProp, steady gradients."""
    tx, p = library.rmsprop(1e-3, centered=True), jnp.zeros(4096)
    mean = jax.random.uniform(jax.random.key(0), (4096,), minval=0.5, maxval=2.0)

    def step(state, key):
        noise = 1 + 1e-4 * jax.random.normal(key, (4096,))
        updates, state = tx.update(mean * noise, state, p)
        return state, jnp.isnan(updates)

    keys = jax.random.split(jax.random.key(1), 300)
    _, nans = jax.jit(lambda s: jax.lax.scan(step, s, keys))(tx.init(p))
    return f"{int(nans.any(0).sum())} of 4096"


def rectifier(library: ModuleType) -> str:
    """RAdam's fourth step over the learning rate, gradient 1, b2 0.9999: not rectified, so 1."""
    tx, p = library.radam(1.0, b2=0.9999), jnp.float32(0.0)
    state = tx.init(p)
    for _ in range(4):
        updates, state = tx.update(jnp.float32(1.0), state, p)
    return f"step = {-float(updates):.3g}"


def integers(library: ModuleType) -> str:
    """An integer leaf of 99,999,999 after an adamw step with zero gradients."""
    tx, params = library.adamw(1e-3), {"n": jnp.array(99999999), "w": jnp.ones(2)}
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    return str(int(optax.apply_updates(params, updates)["n"]))


def sharded(library: ModuleType) -> str:
    """Bytes of Adam's state a device, of 8 MiB in all, for parameters sharded over four."""
    mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    params = jax.device_put(jnp.ones((1024, 1024)), NamedSharding(mesh, P("x")))
    state = jax.jit(library.adam(1e-3).init)(params)
    mu = optax.tree.get(state, "mu")
    held = 2 * max(shard.data.nbytes for shard in mu.addressable_shards)
    return f"{held / 2**20:g} MiB on {len(mu.sharding.device_set)} device(s)"


def slow_weights(library: ModuleType) -> str:
    """Lookahead over Adam in flax's TrainState, under jit with donation."""
    model, x = nn.Dense(3), jnp.ones((2, 4))
    try:
        if library is ao:
            tx = ao.lookahead(ao.adam(1e-2))
        else:
            tx = optax.lookahead(optax.adam(1e-2), sync_period=5, slow_step_size=0.5)
        params = model.init(jax.random.key(0), x)
        state = TrainState.create(apply_fn=model.apply, params=params, tx=tx)

        @functools.partial(jax.jit, donate_argnums=0)
        def step(state):
            loss = lambda p: jnp.mean(state.apply_fn(p, x) ** 2)
            return state.apply_gradients(grads=jax.grad(loss)(state.params))

        for _ in range(6):
            state = step(state)
    except Exception as error:
        return f"raises {type(error).__name__}"
    return "trains"


def retraced(library: ModuleType) -> str:
    """Whether the state of bf16 parameters with float32 gradients keeps its dtypes."""
    tx, p = library.adam(1e-3), jnp.ones(2, jnp.bfloat16)
    state = tx.init(p)
    _, after = tx.update(jnp.ones(2), state, p)
    same = jax.tree.map(jnp.dtype, state) == jax.tree.map(jnp.dtype, after)
    return "same" if same else "changes: compiles twice, fails in scan"


def first_gradient(library: ModuleType) -> str:
    """Prodigy's third update, where the first gradient is zero, as of an unused embedding."""
    tx, p = (library if library is ao else optax.contrib).prodigy(), jnp.float32(1.0)
    state = tx.init(p)
    for g in (0.0, 2.0, 2.0):
        update, state = tx.update(jnp.float32(g), state, p)
    return f"update = {float(update):.2g}"


def at_rest(library: ModuleType) -> str:
    """Yogi's first update over the rate for a gradient of zero."""
    tx, p = library.yogi(1.0), jnp.float32(1.0)
    return f"update = {float(tx.update(jnp.float32(0.0), tx.init(p), p)[0]):.2g}"


def convolution(library: ModuleType) -> str:
    """Whether Muon's step for a kernel (3, 3, 4, 8) has singular values near one."""
    tx = (library if library is ao else optax.contrib).muon(1.0)
    p = jax.random.normal(jax.random.key(0), (3, 3, 4, 8))
    update = tx.update(p, tx.init(p), p)[0].reshape(-1, 8)
    values = np.linalg.svd(np.asarray(update), compute_uv=False)
    return f"{values.min():.2g} to {values.max():.2g}"


FACTS: list[tuple[str, Callable[[ModuleType], str]]] = [
    ("adam, bf16: nu after gradients of 1e-3 (truth 1e-06)", second_moment),
    ("adadelta(): x^2 from x = 5, 2,000 steps", adadelta),
    ("rmsprop: step 2,000 after one gradient of 1e20", overflow),
    ("adam, float16: update of a zero gradient", half_precision),
    ("rmsprop(centered=True): NaN coordinates", centered),
    ("radam(b2=0.9999): step 4 (truth 1)", rectifier),
    ("adamw: integer leaf 99999999, zero gradient", integers),
    ("adam: jit(init) of params sharded over 4 devices", sharded),
    ("adam: state dtypes, bf16 params, float32 gradients", retraced),
    ("lookahead(adam) in flax's TrainState", slow_weights),
    ("prodigy: third update, first gradient zero", first_gradient),
    ("yogi: update of a zero gradient, over the rate", at_rest),
    ("muon: singular values of a convolution's step", convolution),
]


if __name__ == "__main__":
    np.seterr(all="ignore")
    print(f"{'':52s} {'optax ' + importlib.metadata.version('optax'):40s} adaptive_optax")
    for title, fact in FACTS:
        print(f"{title:52s} {fact(optax):40s} {fact(ao)}", flush=True)
