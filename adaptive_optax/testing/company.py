"""Contract 7, company: inside optax's wrappers, and in flax's training states."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adaptive_optax.testing.evidence import close, during, moved, same_form
from adaptive_optax.testing.subject import Subject
from adaptive_optax.testing.trees import grads_of, params_of, run, stacked

STEPS = 16


def optax_wrappers(subject: Subject) -> None:
    """Trains inside each under jit and scan: the state keeps its form, the parameters move."""
    params = params_of()
    grads = stacked(*(grads_of(params, seed) for seed in range(STEPS)))
    for name, wrapped in _wrapped(subject).items():
        with during(name):
            tx = optax.with_extra_args_support(wrapped)

            def step(carry, grads, tx=tx):
                params, state = carry
                updates, state = tx.update(grads, state, params, value=jnp.float32(1.0))
                return (optax.apply_updates(params, updates), state), None

            start = (params, tx.init(params))
            (after, state), _ = jax.jit(lambda c, step=step: jax.lax.scan(step, c, grads))(start)
            same_form(start[1], state, "state")
            moved(params, after)


def train_state(subject: Subject) -> None:
    """Six steps of a linen module under jit, the old state donated."""
    import flax.linen as nn
    from flax.training.train_state import TrainState

    model, x = nn.Dense(3), jnp.ones((2, 4))
    params = model.init(jax.random.key(0), x)
    before = jax.tree.map(np.asarray, params)
    state = TrainState.create(apply_fn=model.apply, params=params, tx=subject.tx)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state):
        grads = jax.grad(lambda p: jnp.mean((state.apply_fn(p, x) - 1) ** 2))(state.params)
        return state.apply_gradients(grads=grads)

    for _ in range(6):
        state = step(state)
    moved(before, state.params)


def nnx_optimizer(subject: Subject) -> None:
    """Six steps of an nnx module under nnx.jit."""
    from flax import nnx

    model = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, subject.tx, wrt=nnx.Param)
    x = jnp.ones((2, 4))
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.Param)))

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda m: jnp.mean((m(x) - 1) ** 2))(model)
        optimizer.update(model, grads)

    for _ in range(6):
        step(model, optimizer)
    moved(before, nnx.to_pure_dict(nnx.state(model, nnx.Param)))


def extra_arguments(subject: Subject) -> None:
    """An argument meant for another member of a chain is let through, and changes nothing."""
    params = params_of()
    grads = grads_of(params)
    plain = run(subject.tx, params, [grads])[2][0]
    state = subject.tx.init(params)
    updates, _ = subject.tx.update(grads, state, params, meant_for_another=jnp.float32(3.0))
    close(updates, plain, "update", ("with an unknown argument", "without"))


def _wrapped(subject: Subject) -> dict[str, Any]:
    def of_kind(params):
        return jax.tree.map(lambda p: "matrix" if p.ndim == 2 else "rest", params)

    def always(*args, **kwargs):
        return jnp.array(True)

    tx = subject.tx
    found = {
        "optax.chain": optax.chain(optax.clip_by_global_norm(1.0), tx, optax.scale(0.5)),
        "optax.masked": optax.masked(tx, lambda p: jax.tree.map(lambda x: x.ndim == 2, p)),
        "optax.partition": optax.partition({"matrix": tx, "rest": optax.sgd(0.1)}, of_kind),
        "optax.MultiSteps": optax.MultiSteps(tx, 2).gradient_transformation(),
        "optax.apply_if_finite": optax.apply_if_finite(tx, 3),
        "optax.conditionally_mask": optax.transforms.conditionally_mask(tx, always),
    }
    if not subject.fixed:
        at = subject.at
        found["optax.inject_hyperparams"] = optax.inject_hyperparams(lambda rate: at(rate))(
            rate=subject.rate
        )
    return found
