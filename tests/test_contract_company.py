"""In optax's wrappers and flax's training states: what the contract kit does not ask."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import CASES, FIRST, by_id, every
from flax import nnx
from flax.training.train_state import TrainState
from problems import form, grads_of, params_of, run

import adaptive_optax as ao
from adaptive_optax.core import lifting


def structure(tree):
    """The tree's structure, with None for a leaf: what a leaf does not need is None."""
    return jax.tree.structure(tree, is_leaf=lambda x: x is None)


# Besides those that the kit asks of every optimizer.
COMPANY = {
    "named-chain": lambda tx: optax.named_chain(("clip", optax.clip(1.0)), ("tx", tx)),
    "conditionally-transform": lambda tx: optax.transforms.conditionally_transform(
        tx, lambda *a, **k: True
    ),
    "lookahead": lambda tx: ao.lookahead(tx, every=2),
    "flatten": optax.flatten,
}


@pytest.mark.parametrize("row", every(12, CASES), ids=by_id)
def test_in_company(row):
    """Under jit and scan the form of the state is kept; extra arguments are let through."""
    wrapped = {name: optax.with_extra_args_support(COMPANY[name](row.make())) for name in COMPANY}
    params = params_of()
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *(grads_of(params, s) for s in range(8)))
    states = {name: tx.init(params) for name, tx in wrapped.items()}

    def train(tx, state):
        def step(carry, grads):
            params, state = carry
            updates, state = tx.update(grads, state, params, value=jnp.float32(1.0))
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, state), stacked)[0]

    ends = jax.jit(lambda states: {name: train(tx, states[name]) for name, tx in wrapped.items()})
    for name, (moved, after) in ends(states).items():
        assert form(after) == form(states[name]), name
        assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(moved)), name
        assert not np.array_equal(moved["kernel"], params["kernel"]), name


@pytest.mark.parametrize(
    "name", every(7, ["adam", "sgd", "adagrad", "rmsprop", "adamw", "nadam", "radam"])
)
def test_inject_hyperparams_equals_plain(name):
    """Also with bf16 parameters, where optax rounds b2 to 1 and gives NaN."""
    options = {"learning_rate": 0.01} | (
        {} if name in ("sgd", "adagrad", "rmsprop") else {"b2": 0.95}
    )
    for dtype, rtol in ((jnp.float32, 1e-5), (jnp.bfloat16, 2**-6)):
        params = params_of(dtype)
        injected = optax.inject_hyperparams(getattr(ao, name), hyperparam_dtype=jnp.float32)
        gradients = [grads_of(params, seed) for seed in range(8)]
        _, state, history = run(injected(**options), params, gradients)
        _, _, plain = run(getattr(ao, name)(**options), params, gradients)
        for a, b in zip(jax.tree.leaves(history), jax.tree.leaves(plain), strict=True):
            np.testing.assert_allclose(
                a.astype(jnp.float32), b.astype(jnp.float32), rtol=rtol, atol=1e-7
            )
        assert state.hyperparams["learning_rate"].shape == ()
        assert form(state) == form(injected(**options).init(params))


def test_inject_hyperparams_compiles_one_program_for_all_steps():
    """inject_hyperparams rebuilds the optimizer at every step: programs are shared by value."""
    tx = optax.inject_hyperparams(ao.adam)(learning_rate=0.1)
    params = params_of()
    run(tx, params, [grads_of(params)] * 2)
    before = lifting._UPDATE_LEAF._cache_size()
    run(tx, params, [grads_of(params)] * 4)
    assert lifting._UPDATE_LEAF._cache_size() == before


@pytest.mark.parametrize("row", CASES, ids=by_id)
def test_tree_map_params_and_tree_get(row):
    tx, params = row.make(), params_of()
    state = tx.init(params)
    marked = optax.tree.map_params(tx, lambda x: "param", state, transform_non_params=lambda x: "")
    marks = jax.tree.leaves(marked)
    expected = row.slots * len(jax.tree.leaves(params)) if row.leaves is None else row.leaves
    assert marks.count("param") == expected
    specs = optax.tree.map_params(
        tx,
        lambda x, spec: spec,
        state,
        jax.tree.map(jnp.shape, params),
        is_leaf=lambda x: x is None,
    )
    assert specs is not None
    if row.id.endswith("pullback"):
        return  # keeps its inner state twice, so that a field's name alone does not tell
    for field in ("mu", "nu", "trace"):
        found = optax.tree.get(state, field)
        assert found is None or structure(found) == structure(params)


AVERAGED = [row for row in CASES if row.id in ("schedule_free(sgd)", "averaged(adam)", "dog")]


@pytest.mark.parametrize("row", AVERAGED, ids=by_id)
def test_averages_of_flax_states(row):
    """`eval_params` takes the state of a TrainState, and of an nnx optimizer."""
    params = {"kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)}
    state = TrainState.create(apply_fn=None, params=params, tx=row.make())
    state = state.apply_gradients(grads=params)
    averaged = ao.eval_params(state.opt_state, state.params)
    assert jax.tree.structure(averaged) == jax.tree.structure(params)

    model = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, row.make(), wrt=nnx.Param)
    optimizer.update(model, nnx.grad(lambda m: jnp.mean(m(jnp.ones((2, 4))) ** 2))(model))
    params = nnx.as_pure(nnx.state(model, nnx.Param))
    averaged = ao.eval_params(nnx.as_pure(optimizer.opt_state), params)
    assert jax.tree.structure(averaged) == jax.tree.structure(params)


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_linen_boxed_parameters(row):
    boxed = {"w": nn.Partitioned(jnp.ones((2, 2)), names=("x", None))}
    tx = row.make()
    updates, state = tx.update(boxed, tx.init(boxed), boxed)
    assert isinstance(updates["w"], nn.Partitioned)
    assert form(state) == form(tx.init(boxed))
