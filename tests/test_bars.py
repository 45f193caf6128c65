"""Each wrapper around the learning rate, over optax's and our optimizers, wherever they are put."""

import functools

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from problems import form

import adaptive_optax as ao
from adaptive_optax import training

STEPS = 6
INNERS = {
    "optax.adam": lambda: optax.adam(0.01),
    "optax.lion": lambda: optax.lion(0.01),
    "optax.momentum": lambda: optax.sgd(0.01, momentum=0.9),
    "ao.adamw": lambda: ao.adamw(0.01),
    "ao.rmsprop": lambda: ao.rmsprop(0.01),
}


def one_layer(path: str) -> int:
    return 0


WRAPPERS = {
    "monitored": lambda tx: ao.monitored(tx, every=2, groups={"first": "a"}),
    "hypergradient": ao.hypergradient,
    "multiplicative": lambda tx: ao.hypergradient(tx, mode="multiplicative"),
    "layerwise_decay": lambda tx: ao.layerwise_decay(tx, layers=one_layer),
    "gradual_unfreezing": lambda tx: ao.gradual_unfreezing(tx, 2, layers=one_layer),
    "multi_steps": lambda tx: ao.multi_steps(tx, 2),
    "smoothed": ao.smoothed,
    "guarded": lambda tx: ao.guarded(tx, loss_sigmas=6.0, norm_sigmas=6.0, backoff=0.5, limit=9),
    "variance_reduced": ao.variance_reduced,
    "plateau": lambda tx: optax.chain(tx, ao.reduce_on_plateau(patience=1)),
    "blend": lambda tx: ao.blend({"inner": tx, "sgd": optax.sgd(0.1)}),
    "hedge": lambda tx: ao.blend({"inner": tx, "sgd": optax.sgd(0.1)}, adapt="hedge"),
    "learned": lambda tx: ao.blend({"inner": tx, "sgd": ao.sgd(0.1)}, adapt="hypergradient"),
    "switch": lambda tx: ao.switch({"inner": tx, "sgd": optax.sgd(0.1, momentum=0.9)}, at=[3]),
    "bandit": lambda tx: ao.switch({"sgd": ao.sgd(0.1), "inner": tx}, when="bandit", window=4),
    "stalled": lambda tx: ao.switch({"sgd": ao.sgd(0.1), "inner": tx}, when="plateau", window=4),
    "swats": lambda tx: ao.switch({"inner": tx, "sgd": optax.sgd(0.1)}, when="swats", window=4),
}


def params_of(dtype=jnp.float32):
    key = jax.random.key(0)
    return {"a": jax.random.normal(key, (3, 2), dtype), "b": jnp.ones(2, dtype)}


def grads_at(params, step):
    return jax.tree.map(lambda p: (p * 0.1 + jnp.sin(step)).astype(p.dtype), params)


def run(tx, params, steps=STEPS):
    """Trains in one scan; the state keeps its form."""

    def step(carry, now):
        params, state = carry
        value = 1.0 + 0.1 * now
        grads = grads_at(params, now)
        updates, state = tx.update(grads, state, params, value=value, previous_grads=grads)
        return (optax.apply_updates(params, updates), state), None

    start = (params, tx.init(params))
    (after, state), _ = jax.jit(
        lambda carry: jax.lax.scan(step, carry, jnp.arange(steps, dtype=jnp.float32))
    )(start)
    assert form(state) == form(start[1])
    assert jax.tree.structure(state) == jax.tree.structure(start[1])
    return after, state


def moved(before, after):
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert bool(jnp.all(jnp.isfinite(new)))
        assert bool(jnp.any(new != old))
        assert new.dtype == old.dtype


def trains(tx, dtype=jnp.float32):
    params = params_of(dtype)
    moved(params, run(tx, params)[0])


def in_scan(tx):
    trains(tx)


def in_chain(tx):
    trains(optax.chain(optax.clip_by_global_norm(1.0), tx, optax.scale(0.5)))


def in_partition(tx):
    trains(optax.partition({"one": tx, "other": optax.sgd(0.1)}, {"a": "one", "b": "other"}))


def in_multisteps(tx):
    trains(optax.MultiSteps(tx, 2))


def in_apply_if_finite(tx):
    trains(optax.apply_if_finite(tx, 3))


def with_bfloat16(tx):
    trains(tx, jnp.bfloat16)


def in_train_state(tx):
    """Under jit, the old state donated."""
    model, x = linen.Dense(2, name="a"), jnp.ones((4, 3))
    params = model.init(jax.random.key(0), x)
    before = jax.tree.map(np.asarray, params)
    state = training.TrainState.create(apply_fn=model.apply, params=params, tx=tx)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state):
        loss, grads = jax.value_and_grad(lambda p: jnp.mean((model.apply(p, x) - 1) ** 2))(
            state.params
        )
        extra = {"previous_grads": grads}
        return state.apply_gradients(grads=grads, value=loss, extra_args=extra)

    for _ in range(STEPS):
        state = step(state)
    moved(before, state.params)


def in_nnx(tx):
    class Model(nnx.Module):
        def __init__(self):
            self.a = nnx.Linear(3, 2, rngs=nnx.Rngs(0))

    model = Model()
    optimizer = training.Optimizer(model, tx, wrt=nnx.Param)
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    x = jnp.ones((4, 3))

    @nnx.jit
    def step(model, optimizer):
        loss, grads = nnx.value_and_grad(lambda m: jnp.mean((m.a(x) - 1) ** 2))(model)
        optimizer.update(model, grads, value=loss, previous_grads=grads)

    for _ in range(STEPS):
        step(model, optimizer)
    moved(before, nnx.to_pure_dict(nnx.state(model, nnx.Param)))


def state_type(tx):
    """Eager and traced, with gradients of another dtype where the inner optimizer bears it."""
    params = params_of()
    state = tx.init(params)
    for _ in range(3):
        grads = grads_at(params, 1.0)
        updates, new = tx.update(grads, state, params, value=1.0, previous_grads=grads)
        assert form(new) == form(state)
        assert form(updates) == form(params)
        state = new


def tree_map_params(tx):
    """Doubles what is shaped like the parameters, and that alone."""
    state = run(tx, params_of())[1]
    doubled = optax.tree_map_params(tx, lambda x: x * 2, state)
    assert form(doubled) == form(state)
    slots = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (3, 2)]
    twice = [leaf for leaf in jax.tree.leaves(doubled) if leaf.shape == (3, 2)]
    assert slots
    for one, two in zip(slots, twice, strict=True):
        assert bool(jnp.all(two == 2 * one))


def under_vmap(tx):
    """Two runs at once are the two alone."""
    params = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params_of())
    together = jax.vmap(lambda p: run(tx, p)[0])(params)
    for k in range(2):
        alone = run(tx, jax.tree.map(lambda p, k=k: p[k], params))[0]
        jax.tree.map(
            lambda a, b, k=k: np.testing.assert_allclose(a[k], b, rtol=1e-5), together, alone
        )


def serialized(tx):
    """The state comes back bit for bit, and goes on as the one that was kept."""
    params, state = run(tx, params_of())
    data = flax.serialization.to_bytes(state)
    restored = flax.serialization.from_bytes(tx.init(params), data)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    grads = grads_at(params, 0.5)
    kept, back = (
        tx.update(grads, each, params, value=1.0, previous_grads=grads)
        for each in (state, jax.tree.map(jnp.asarray, restored))
    )
    jax.tree.map(np.testing.assert_array_equal, kept, back)


CONTEXTS = (
    in_scan,
    in_chain,
    in_partition,
    in_multisteps,
    in_apply_if_finite,
    with_bfloat16,
    in_train_state,
    in_nnx,
    state_type,
    tree_map_params,
    under_vmap,
    serialized,
)


LIGHT = (  # as others are, or simpler
    *("layerwise_decay", "gradual_unfreezing", "multiplicative", "blend", "learned"),
    *("bandit", "stalled", "swats"),
)


def places():
    """Wrapper, inner optimizer and place; slow but for optax.adam, each wrapper in some places."""
    for i, wrapper in enumerate(WRAPPERS):
        for inner in INNERS:
            for j, context in enumerate(CONTEXTS):
                first = inner == "optax.adam" and wrapper not in LIGHT and (i + j) % 3 == 0
                name = f"{wrapper}-{inner}-{context.__name__}"
                marks = () if first else pytest.mark.slow
                yield pytest.param(wrapper, inner, context, marks=marks, id=name)


@pytest.mark.parametrize(("wrapper", "inner", "context"), list(places()))
def test_it_works_there(wrapper, inner, context):
    context(WRAPPERS[wrapper](INNERS[inner]()))
