"""Freeze trajectories of optax's optimizers, in float64, and of its Lookahead.

    pip install optax==0.2.8 jax==0.10.2 numpy==2.4.6
    python tests/goldens/make_optax.py

RMSProp's momentum runs at a constant rate only: optax multiplies by the rate before it, which is
another rule once the rate changes.
"""

import os

os.environ.update(JAX_PLATFORMS="cpu", JAX_ENABLE_X64="1")

import jax
import jax.numpy as jnp
import numpy as np
import optax
from record import join, rate_that_changes, run, save, sequence

CHANGING = rate_that_changes()
# (suffix, our name, function, its arguments, our overrides of its preset, learning rate)
CASES = [
    ("defaults", "sgd", "sgd", {}, {}, 1e-2),
    ("momentum", "sgd", "sgd", {"momentum": 0.9}, {"momentum": 0.9}, 0.02),
    ("momentum-schedule", "sgd", "sgd", {"momentum": 0.9}, {"momentum": 0.9}, CHANGING),
    (
        "nesterov-schedule",
        "sgd",
        "sgd",
        {"momentum": 0.8, "nesterov": True},
        {"momentum": 0.8, "nesterov": True},
        CHANGING,
    ),
    ("defaults", "adagrad", "adagrad", {}, {}, 1e-2),
    ("eps", "adagrad", "adagrad", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    (
        "start-schedule",
        "adagrad",
        "adagrad",
        {"initial_accumulator_value": 0.0},
        {"initial_accumulator_value": 0.0},
        CHANGING,
    ),
    ("defaults", "rmsprop", "rmsprop", {}, {}, 1e-2),
    ("eps", "rmsprop", "rmsprop", {"eps": 1e-2}, {"eps": 1e-2}, 0.05),
    ("schedule", "rmsprop", "rmsprop", {"decay": 0.95}, {"decay": 0.95}, CHANGING),
    ("centered", "rmsprop", "rmsprop", {"centered": True}, {"centered": True}, 0.05),
    ("momentum", "rmsprop", "rmsprop", {"momentum": 0.9}, {"momentum": 0.9}, 0.05),
    (
        "nesterov-outside",
        "rmsprop",
        "rmsprop",
        {"momentum": 0.9, "nesterov": True, "eps": 1e-2, "eps_in_sqrt": False},
        {"momentum": 0.9, "nesterov": True, "eps": 1e-2, "eps_placement": "outside"},
        0.05,
    ),
    ("defaults", "adadelta", "adadelta", {}, {}, 1.0),
    ("eps", "adadelta", "adadelta", {"eps": 1e-2}, {"eps": 1e-2}, 1.0),
    ("schedule", "adadelta", "adadelta", {"rho": 0.95}, {"rho": 0.95}, 10 * CHANGING),
    ("defaults", "adam", "adam", {}, {}, 1e-2),
    ("eps", "adam", "adam", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    ("root-schedule", "adam", "adam", {"eps_root": 1e-2}, {"eps_root": 1e-2}, CHANGING),
    ("defaults", "adamw", "adamw", {}, {}, 1e-2),
    ("eps", "adamw", "adamw", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    ("decay-schedule", "adamw", "adamw", {"weight_decay": 0.2}, {"weight_decay": 0.2}, CHANGING),
    ("defaults", "nadam", "nadam", {}, {}, 1e-2),
    ("eps", "nadam", "nadam", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    ("schedule", "nadam", "nadam", {"b1": 0.8, "b2": 0.95}, {"b1": 0.8, "b2": 0.95}, CHANGING),
    ("defaults", "radam", "radam", {}, {}, 1e-2),
    ("eps", "radam", "radam", {"eps": 1e-2}, {"eps": 1e-2}, 0.1),
    ("schedule", "radam", "radam", {"b1": 0.8, "b2": 0.95}, {"b1": 0.8, "b2": 0.95}, CHANGING),
    ("threshold", "radam", "radam", {"threshold": 4.0}, {"threshold": 4.0}, 0.1),
    ("defaults", "lion", "lion", {}, {}, 1e-3),
    ("decay-schedule", "lion", "lion", {"weight_decay": 0.2}, {"weight_decay": 0.2}, CHANGING),
    ("betas", "lion", "lion", {"b1": 0.95, "b2": 0.98}, {"b1": 0.95, "b2": 0.98}, 0.01),
]
SGD = {"momentum": 0.9}
LOOKAHEADS = [  # (suffix, inner function, its arguments, learning rate, Lookahead's arguments)
    ("sgd-keep", "sgd", SGD, 0.02, {"sync_period": 5, "slow_step_size": 0.5}),
    (
        "sgd-reset",
        "sgd",
        SGD,
        0.02,
        {"sync_period": 4, "slow_step_size": 0.8, "reset_state": True},
    ),
    ("adam-keep", "adam", {}, 0.05, {"sync_period": 6, "slow_step_size": 0.5}),
    (
        "adam-reset",
        "adam",
        {},
        0.05,
        {"sync_period": 7, "slow_step_size": 0.5, "reset_state": True},
    ),
]


def follow(kind, arguments, rate, start, gradients):
    """The parameters after each step; a changing rate is a schedule."""
    if isinstance(rate, np.ndarray):
        rates = jnp.asarray(rate)
        optimizer = getattr(optax, kind)(lambda count: rates[count], **arguments)
    else:
        optimizer = getattr(optax, kind)(rate, **arguments)
    return _walk(optimizer, jax.tree.map(jnp.asarray, start), gradients)


def lookaheads() -> None:
    """Save the fast and slow parameters of optax.lookahead over SGD with momentum and Adam."""
    start, gradients = sequence()
    steps = [jax.tree.map(lambda g, t=t: g[t], gradients) for t in range(len(CHANGING))]
    entries, paths = [], {}
    for suffix, inner, arguments, rate, outer in LOOKAHEADS:
        key = f"optax-lookahead-{suffix}"
        tx = optax.lookahead(getattr(optax, inner)(rate, **arguments), **outer)
        params = optax.LookaheadParams.init_synced(jax.tree.map(jnp.asarray, start))
        pairs = _walk(tx, params, steps)
        paths[key] = join([pair.fast for pair in pairs])
        paths[f"{key}-slow"] = join([pair.slow for pair in pairs])
        ours = {
            "every": outer["sync_period"],
            "step_size": outer["slow_step_size"],
            "at_sync": "reset" if outer.get("reset_state") else "keep",
        }
        entries.append(
            {
                "id": key,
                "name": f"lookahead over {inner}",
                "overrides": {"inner": arguments, **ours},
                "learning_rate": rate,
                "library": "optax",
                "version": optax.__version__,
                "class": "lookahead",
                "arguments": outer,
            }
        )
    save("optax_lookahead", entries, paths)


def _walk(optimizer, params, gradients):
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    path = []
    for gradient in gradients:
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        path.append(jax.tree.map(np.asarray, params))
    return path


if __name__ == "__main__":
    run("optax", optax.__version__, CASES, follow)
    lookaheads()
