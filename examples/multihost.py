"""Data-parallel training on several hosts, with the optimizer's state shared out over all devices.

On a TPU pod, and under SLURM or Open MPI, jax finds the other hosts itself; run on each of them

    python examples/multihost.py --cluster                                     # srun, mpirun
    gcloud compute tpus tpu-vm ssh NAME --worker=all --command="python multihost.py --cluster"

On other clusters say who is who; here of two hosts, of which 10.0.0.1 is the first:

    python examples/multihost.py --coordinator 10.0.0.1:1234 --processes 2 --process 0
    python examples/multihost.py --coordinator 10.0.0.1:1234 --processes 2 --process 1

On one machine without accelerators, two processes of four devices each are the same with
XLA_FLAGS=--xla_force_host_platform_device_count=4 and localhost:1234. All hosts must see the
folder of --checkpoint: the state is written by all of them, and read by any number of devices.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import linen as nn
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import adaptive_optax as ao

BATCH, FEATURES, CLASSES = 128, 64, 10


class MLP(nn.Module):
    """Two hidden layers."""

    @nn.compact
    def __call__(self, x):
        """Logits, shape (batch, classes)."""
        for _ in range(2):
            x = nn.relu(nn.Dense(256)(x))
        return nn.Dense(CLASSES)(x)


def batch_of(step: int, sharding: NamedSharding) -> tuple[jax.Array, jax.Array]:
    """A batch over all devices; each process makes the rows of its own devices alone."""
    draw = np.random.default_rng(step)  # in the place of a loader
    x = draw.standard_normal((BATCH, FEATURES), dtype=np.float32)
    y = np.argmax(x[:, :CLASSES] + x[:, -CLASSES:], 1)
    return tuple(
        jax.make_array_from_callback(each.shape, sharding, lambda rows, each=each: each[rows])
        for each in (x, y)
    )


def train(steps: int, checkpoint: Path | None):
    """Trains from the checkpoint, where there is one, and writes it; gives the parameters."""
    mesh = jax.make_mesh((jax.device_count(),), ("data",))
    everywhere, over_data = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
    model = MLP()
    tx = ao.partitioned(ao.stored(ao.adamw(1e-3), ao.minifloat8()), mesh, "data")

    def first(key):
        return model.init(key, jnp.zeros((1, FEATURES)))

    key = jax.random.key(0)
    shapes = jax.eval_shape(first, key)
    where = {
        "params": jax.tree.map(lambda _: everywhere, shapes),
        "state": ao.state_shardings(tx, shapes, everywhere),
        "step": everywhere,
    }

    def start(key):
        params = first(key)
        return {"params": params, "state": tx.init(params), "step": jnp.zeros((), jnp.int32)}

    start = jax.jit(start, out_shardings=where)
    saver = ocp.StandardCheckpointer()
    if checkpoint is not None and checkpoint.exists():
        target = jax.tree.map(
            lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            jax.eval_shape(start, key),
            where,
        )
        now = saver.restore(checkpoint, target)
    else:
        now = start(key)
    if jax.process_index() == 0:
        print(ao.sharding.report(tx, now["params"]))

    @jax.jit
    def update(now, x, y):
        def loss_of(params):
            losses = optax.softmax_cross_entropy_with_integer_labels(model.apply(params, x), y)
            return losses.mean()

        loss, grads = jax.value_and_grad(loss_of)(now["params"])
        updates, state = tx.update(grads, now["state"], now["params"])
        params = optax.apply_updates(now["params"], updates)
        return {"params": params, "state": state, "step": now["step"] + 1}, loss

    for step in range(int(now["step"]), steps):
        now, loss = update(now, *batch_of(step, over_data))
        if jax.process_index() == 0:
            print(f"step {step + 1}  loss {float(loss):.6f}")
    if checkpoint is not None and not checkpoint.exists():
        saver.save(checkpoint, now)
        saver.wait_until_finished()
    return now


def main() -> None:
    """Reads the command line, meets the other processes, and trains."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cluster", action="store_true", help="jax finds the processes itself")
    parser.add_argument("--coordinator", help="address:port of process 0")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--checkpoint", type=Path, help="a folder; absolute, seen by all hosts")
    parser.add_argument("--result", type=Path, help="an .npz file of the parameters and the state")
    args = parser.parse_args()
    if args.cluster:
        jax.distributed.initialize()
    elif args.processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(args.coordinator, args.processes, args.process)
    now = train(args.steps, args.checkpoint)
    if args.result is not None:
        whole = jax.jit(lambda tree: tree, out_shardings=now["step"].sharding)(now)
        if jax.process_index() == 0:
            np.savez(args.result, *map(np.asarray, jax.tree.leaves(whole)))


if __name__ == "__main__":
    main()
