"""Properties of interoperation: inside optax's wrappers, and in flax's training states."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adaptive_optax.testing import trees
from adaptive_optax.testing.case import Case, promise
from adaptive_optax.testing.result import during

STEPS = 16


@promise(
    "company",
    "trains inside optax's chain, masked, partition, MultiSteps, apply_if_finite, "
    "conditionally_mask and inject_hyperparams, under jit and scan",
)
def optax_wrappers(case: Case) -> None:
    """Train inside each under jit and scan: the state keeps its form, the parameters move."""
    params, tx = trees.params_of(), case.tx

    def matrices(params):
        return jax.tree.map(lambda p: p.ndim == 2, params)

    def kinds(params):
        return jax.tree.map(lambda p: "matrix" if p.ndim == 2 else "rest", params)

    wrapped = {
        "optax.chain": optax.chain(optax.clip_by_global_norm(1.0), tx, optax.scale(0.5)),
        "optax.masked": optax.masked(tx, matrices),
        "optax.partition": optax.partition({"matrix": tx, "rest": optax.sgd(0.1)}, kinds),
        "optax.MultiSteps": optax.MultiSteps(tx, 2).gradient_transformation(),
        "optax.apply_if_finite": optax.apply_if_finite(tx, 3),
        "optax.conditionally_mask": optax.transforms.conditionally_mask(
            tx, lambda *args, **extra: jnp.array(True)
        ),
    }
    if not case.fixed:
        wrapped["optax.inject_hyperparams"] = optax.inject_hyperparams(lambda rate: case.at(rate))(
            rate=case.rate
        )
    grads = trees.stacked(*(trees.grads_of(params, seed) for seed in range(STEPS)))
    extra = {"value": jnp.float32(1.0)}
    starts = {}
    for name, inside in wrapped.items():
        with during(name):
            wrapped[name] = optax.with_extra_args_support(inside)
            starts[name] = (params, wrapped[name].init(params))

    @jax.jit  # one program, which compiles faster than one for each
    def train(starts):
        ends = {}
        for name, outer in wrapped.items():
            with during(name):
                ends[name] = trees.scan(outer, starts[name], grads, **extra)[0]
        return ends

    ends = train(starts)
    for name in wrapped:
        with during(name):
            after, state = ends[name]
            trees.same_form(starts[name][1], state, "state")
            trees.moved(params, after)


@promise("company", "trains in flax's TrainState under jit with donation")
def train_state(case: Case) -> None:
    """Six steps of a linen module under jit, the old state donated."""
    import flax.linen as nn
    from flax.training.train_state import TrainState

    model, x = nn.Dense(3), jnp.ones((2, 4))
    params = model.init(jax.random.key(0), x)
    before = jax.tree.map(np.asarray, params)
    state = TrainState.create(apply_fn=model.apply, params=params, tx=case.tx)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state):
        grads = jax.grad(lambda p: jnp.mean((state.apply_fn(p, x) - 1) ** 2))(state.params)
        return state.apply_gradients(grads=grads)

    for _ in range(6):
        state = step(state)
    trees.moved(before, state.params)


@promise("company", "trains in flax's nnx.Optimizer")
def nnx_optimizer(case: Case) -> None:
    """Six steps of an nnx module under nnx.jit."""
    from flax import nnx

    model, x = nnx.Linear(4, 3, rngs=nnx.Rngs(0)), jnp.ones((2, 4))
    optimizer = nnx.Optimizer(model, case.tx, wrt=nnx.Param)
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.Param)))

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda m: jnp.mean((m(x) - 1) ** 2))(model)
        optimizer.update(model, grads)

    for _ in range(6):
        step(model, optimizer)
    trees.moved(before, nnx.to_pure_dict(nnx.state(model, nnx.Param)))


@promise("company", "update lets arguments through that are meant for others")
def extra_arguments(case: Case) -> None:
    """An argument meant for another member of a chain is accepted, and changes nothing."""
    params = trees.params_of()
    grads = trees.grads_of(params)
    plain = trees.run(case.tx, params, [grads])[2][0]
    state = case.tx.init(params)
    updates, _ = case.tx.update(grads, state, params, meant_for_another=jnp.float32(3.0))
    trees.close(updates, plain, "update", ("with an unknown argument", "without"))
