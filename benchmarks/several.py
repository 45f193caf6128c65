"""What a blend or a switch costs: an update, over that of its first member alone.

    python benchmarks/several.py

Eight leaves of 1024 x 1024, gradients given, the old state donated; medians over rounds in which
all take turns, with quartiles.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adaptive_optax as ao

LEAVES, SIZE, ROUNDS = 8, 1024, 25


def members() -> dict[str, optax.GradientTransformation]:
    """Adam, which the others are measured by, and momentum."""
    return {"adam": ao.adam(1e-3), "momentum": ao.sgd(1e-3, momentum=0.9)}


ENTRIES = {
    **members(),
    "switch of one": ao.switch({"adam": ao.adam(1e-3)}),
    "switch, at": ao.switch(members(), at=[10**6]),
    "switch, bandit": ao.switch(members(), when="bandit"),
    "switch, swats": ao.switch(members(), when="swats"),
    "blend": ao.blend(members()),
    "blend, not normalised": ao.blend(members(), normalize=False),
    "blend, hedge": ao.blend(members(), adapt="hedge"),
}


def main() -> None:
    """Prints a line an entry."""
    params = {str(i): jnp.ones((SIZE, SIZE)) for i in range(LEAVES)}
    grads = jax.tree.map(lambda p: 1e-3 * p, params)
    updates, states, seconds = {}, {}, {name: [] for name in ENTRIES}
    for name, tx in ENTRIES.items():
        tx = optax.with_extra_args_support(tx)
        updates[name] = jax.jit(
            lambda g, s, p, tx=tx: tx.update(g, s, p, value=1.0), donate_argnums=1
        )
        states[name] = tx.init(params)
    for i in range(ROUNDS + 2):
        for name, update in updates.items():
            began = time.perf_counter()
            found = jax.block_until_ready(update(grads, states[name], params))
            if i >= 2:
                seconds[name].append(time.perf_counter() - began)
            states[name] = found[1]
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}; over adam's update:")
    for name in ENTRIES:
        low, middle, high = np.percentile(
            np.array(seconds[name]) / np.array(seconds["adam"]), [25, 50, 75]
        )
        print(f"{name:24} {middle:5.2f}   ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
