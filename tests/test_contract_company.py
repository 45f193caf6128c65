"""Contract 7: works inside every wrapper of optax, and in flax's training states."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import CASES, FIRST, by_id
from flax import nnx
from flax.training.train_state import TrainState
from problems import form, grads_of, params_of, run

import adaptive_optax as ao
from adaptive_optax.core import lifting


def labels(params):
    return jax.tree.map(lambda p: "matrix" if p.ndim == 2 else "rest", params)


def structure(tree):
    """The tree's structure, with None for a leaf: what a leaf does not need is None."""
    return jax.tree.structure(tree, is_leaf=lambda x: x is None)


def not_nan(updates, state, params, **extra):
    return jnp.array(True)


COMPANY = {
    "chain": lambda tx: optax.chain(optax.clip_by_global_norm(1.0), tx, optax.scale(0.5)),
    "named-chain": lambda tx: optax.named_chain(("clip", optax.clip(1.0)), ("tx", tx)),
    "masked": lambda tx: optax.masked(tx, lambda p: jax.tree.map(lambda x: x.ndim > 0, p)),
    "partition": lambda tx: optax.partition({"matrix": tx, "rest": optax.sgd(0.1)}, labels),
    "multi-steps": lambda tx: optax.MultiSteps(tx, 2).gradient_transformation(),
    "apply-if-finite": lambda tx: optax.apply_if_finite(tx, 3),
    "conditionally-mask": lambda tx: optax.transforms.conditionally_mask(tx, lambda *a, **k: True),
    "conditionally-transform": lambda tx: optax.transforms.conditionally_transform(
        tx, lambda *a, **k: True
    ),
    "lookahead": lambda tx: ao.lookahead(tx, every=2),
    "flatten": optax.flatten,
}


@pytest.mark.parametrize("company", COMPANY)
@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_in_company(row, company):
    """Under jit and scan the form of the state is kept; extra arguments are let through."""
    tx = optax.with_extra_args_support(COMPANY[company](row.make()))
    params = params_of()
    state = tx.init(params)

    def step(carry, grads):
        params, state = carry
        updates, state = tx.update(grads, state, params, value=jnp.float32(1.0))
        return (optax.apply_updates(params, updates), state), None

    stacked = jax.tree.map(lambda *x: jnp.stack(x), *(grads_of(params, s) for s in range(16)))
    (moved, after), _ = jax.jit(lambda c: jax.lax.scan(step, c, stacked))((params, state))
    assert form(after) == form(state)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(moved))
    assert not np.array_equal(moved["kernel"], params["kernel"])


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam", "adamw", "nadam", "radam"])
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


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_flax_train_state_with_jit_and_donation(row):
    model = nn.Dense(3)
    x = jnp.ones((2, 4))
    tx = row.make()
    state = TrainState.create(apply_fn=model.apply, params=model.init(jax.random.key(0), x), tx=tx)
    before = jax.tree.map(np.asarray, state.params)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state):
        grads = jax.grad(lambda p: jnp.mean(state.apply_fn(p, x) ** 2))(state.params)
        return state.apply_gradients(grads=grads)

    for _ in range(6):
        state = step(state)
    averaged = ao.eval_params(state.opt_state, state.params)
    assert jax.tree.structure(averaged) == jax.tree.structure(state.params)
    kernels = [p["params"]["kernel"] for p in (before, state.params)]
    assert not np.array_equal(*kernels)


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_nnx_optimizer(row):
    model = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, row.make(), wrt=nnx.Param)
    x = jnp.ones((2, 4))
    before = np.asarray(model.kernel[...])

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda m: jnp.mean(m(x) ** 2))(model)
        optimizer.update(model, grads)

    for _ in range(6):
        step(model, optimizer)
    assert not np.array_equal(np.asarray(model.kernel[...]), before)
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
