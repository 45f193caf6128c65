"""Training that goes on by itself after it was killed, bit for bit as if it had not been.

    python examples/resume.py runs/spirals
    python examples/resume.py runs/spirals --optimizer stored --steps 2000

Start it again with the same words after a kill, a crash or a full disk: it takes the newest
checkpoint that is undamaged and does the steps that are missing. Two things make this exact: all
that changes is in one tree, and the batch and the noise of a step follow from its number.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import adaptive_optax as ao

OPTIMIZERS = {
    "adamw": lambda rate: ao.adamw(rate, weight_decay=1e-2),
    "stored": lambda rate: ao.stored(ao.adamw(rate, weight_decay=1e-2), ao.minifloat8()),
    "lookahead": lambda rate: ao.lookahead(ao.adamw(rate), every=7),
}


class MLP(nn.Module):
    """Two hidden layers; the kernel between them is large enough to be stored in 8 bits."""

    width: int = 128

    @nn.compact
    def __call__(self, x, *, train: bool):
        """Logits of two classes."""
        x = nn.relu(nn.Dense(self.width)(x))
        x = nn.Dropout(0.1, deterministic=not train)(x)
        return nn.Dense(2)(nn.relu(nn.Dense(self.width)(x)))


def spirals(count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 2) on two spirals, and which one each is on."""
    draws = np.random.RandomState(0)
    label, angle = draws.randint(0, 2, count), draws.uniform(1.0, 10.0, count)
    turned = angle + np.pi * label
    points = np.stack([angle * np.cos(turned), angle * np.sin(turned)], 1) / 10
    return (points + 0.02 * draws.randn(count, 2)).astype(np.float32), label


def main() -> None:
    """Trains, with a checkpoint every few steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="for checkpoints")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adamw")
    parser.add_argument("--steps", type=int, default=1000, help="in all")
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    options = parser.parse_args()

    points, labels = spirals()
    model, tx = MLP(), OPTIMIZERS[options.optimizer](optax.cosine_decay_schedule(3e-3, 5000))

    def loss(params, x, y, key):
        logits = model.apply(params, x, train=True, rngs={"dropout": key})
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def update(run, step):
        own = jax.random.fold_in(run["key"], step)  # the batch and the noise of this step
        rows = jax.random.choice(own, len(points), (64,))
        batch = jnp.asarray(points)[rows], jnp.asarray(labels)[rows]
        value, grads = jax.value_and_grad(loss)(run["params"], *batch, own)
        updates, state = tx.update(grads, run["state"], run["params"])
        params = optax.apply_updates(run["params"], updates)
        return {**run, "params": params, "state": state, "loss": value}

    @jax.jit
    def start():
        params = model.init(jax.random.key(0), points[:1], train=False)
        key, loss = jax.random.key(1), jnp.zeros(())
        return {"params": params, "state": tx.init(params), "key": key, "loss": loss}

    run = start()
    try:
        done, run = ao.restore_checkpoint(options.folder, run)
    except FileNotFoundError:  # the first start
        done = 0
    print(f"goes on after step {done}", flush=True)
    for step in range(done, options.steps):
        run = update(run, step)
        if (step + 1) % options.every == 0 or step + 1 == options.steps:
            ao.save_checkpoint(options.folder, step + 1, run)
            print(f"step {step + 1}: loss {run['loss']:.4f}", flush=True)
    right = model.apply(run["params"], points, train=False).argmax(-1) == labels
    print(f"done: accuracy {right.mean():.3f}", flush=True)


if __name__ == "__main__":
    main()
