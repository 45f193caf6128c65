"""The loss reaches the plateau through every wrapper, and flax's states pass it on."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.linen.fp8_ops import OVERWRITE_WITH_GRADIENT
from flax.training import train_state
from problems import form, grads_of, params_of

import adaptive_optax as ao
from adaptive_optax.learning_rate.hypergradient import hypergradient
from adaptive_optax.learning_rate.plateau import PlateauState, reduce_on_plateau
from adaptive_optax.training import Optimizer, TrainState
from adaptive_optax.wrappers.accumulation import multi_steps

VALUES = [3.0, 3.0, 1.0, 2.0]


def falling(rate=0.1):
    """An optimizer whose scale is halved at each value that does not improve."""
    return optax.chain(ao.sgd(rate), reduce_on_plateau(0.5, patience=0))


def matrices(params):
    return jax.tree.map(lambda p: p.ndim == 2, params)


def of_kind(params):
    return jax.tree.map(lambda p: "matrix" if p.ndim == 2 else "rest", params)


WRAPPERS = {
    "chain": lambda: falling(),
    "lookahead": lambda: ao.lookahead(falling(), every=2),
    "lookahead reset": lambda: ao.lookahead(falling(), every=9, at_sync="reset"),
    "schedule_free": lambda: ao.schedule_free(falling()),
    "averaged": lambda: ao.averaged(falling()),
    "cautious": lambda: ao.cautious(falling()),
    "hypergradient": lambda: hypergradient(falling(), mode="multiplicative"),
    "multi_steps": lambda: multi_steps(falling(), 1),
    "MultiSteps": lambda: optax.MultiSteps(falling(), 1).gradient_transformation(),
    "masked": lambda: optax.masked(falling(), matrices),
    "partition": lambda: optax.partition({"matrix": falling(), "rest": ao.adam(0.1)}, of_kind),
    "apply_if_finite": lambda: optax.apply_if_finite(falling(), 3),
    "inject_hyperparams": lambda: optax.inject_hyperparams(falling)(rate=0.1),
    "named_chain": lambda: optax.named_chain(("adam", ao.adam(0.1)), ("fall", falling())),
    "deep": lambda: ao.lookahead(multi_steps(optax.masked(ao.cautious(falling()), matrices), 1)),
}


def scale_in(state):
    """The scale of the one plateau in a state, wherever it is."""

    def is_plateau(node):
        return isinstance(node, PlateauState)

    found = [x for x in jax.tree.leaves(state, is_leaf=is_plateau) if is_plateau(x)]
    assert len(found) == 1
    return float(found[0].scale)


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_loss_reaches_a_plateau_inside(name):
    tx, params = WRAPPERS[name](), params_of()
    grads = grads_of(params)

    def step(carry, value):
        params, state = carry
        updates, state = tx.update(grads, state, params, value=value)
        return (optax.apply_updates(params, updates), state), None

    start = (params, tx.init(params))
    (_, state), _ = jax.jit(lambda c: jax.lax.scan(step, c, jnp.array(VALUES)))(start)
    assert scale_in(state) == 0.25
    assert form(state) == form(start[1])


def linen(tx, kind=TrainState):
    model, x = nn.Dense(3), jnp.linspace(-1.0, 1.0, 8).reshape(2, 4)
    params = model.init(jax.random.key(0), x)
    return kind.create(apply_fn=model.apply, params=params, tx=tx), x


def train(state, x, values=VALUES):
    """Steps under jit with the old state donated, a value each; all of one trace."""
    traces = []

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, value):
        traces.append(value)
        grads = jax.grad(lambda p: jnp.mean((state.apply_fn(p, x) - 1) ** 2))(state.params)
        return state.apply_gradients(grads=grads, value=value)

    for value in values:
        state = step(state, value)
    assert len(traces) == 1
    return state


FLAX = ("chain", "lookahead", "MultiSteps", "partition", "inject_hyperparams", "deep")


@pytest.mark.parametrize("name", FLAX)
def test_a_train_state_passes_the_loss_on_under_jit_with_donation(name):
    state, x = linen(WRAPPERS[name]())
    state = train(state, x)
    assert scale_in(state.opt_state) == 0.25
    assert state.step == 4


@pytest.mark.parametrize(
    "tx", [optax.sgd(0.1), optax.GradientTransformation(*optax.adam(0.1)), ao.lion(0.1)]
)
def test_an_optimizer_that_needs_no_value_trains_as_in_flax_s(tx):
    state, _ = linen(tx)
    other, _ = linen(tx, train_state.TrainState)
    grads = jax.tree.map(jnp.ones_like, state.params)
    for given in ({}, {"value": 1.0}, {"extra_args": {"unknown": 2.0}}):
        state = state.apply_gradients(grads=grads, **given)
        other = other.apply_gradients(grads=grads)
        jax.tree.map(np.testing.assert_array_equal, state.params, other.params)
    assert type(state.step) is type(other.step)
    assert state.step == 3


class WithStatistics(TrainState):
    batch_stats: dict


def test_fields_of_a_subclass_are_replaced():
    params = {"w": jnp.ones(2)}
    state = WithStatistics.create(
        apply_fn=None, params=params, tx=falling(), batch_stats={"mean": jnp.zeros(2)}
    )
    new = {"mean": jnp.ones(2)}
    state = state.apply_gradients(grads=params, value=1.0, batch_stats=new)
    assert state.batch_stats["mean"].tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="unknown_field"):
        state.apply_gradients(grads=params, value=1.0, unknown_field=1)


def test_a_line_search_gets_what_it_wants():
    tx = optax.chain(ao.sgd(1.0), optax.scale_by_backtracking_linesearch(max_backtracking_steps=20))
    curve = jnp.array([10.0, 1.0])

    def loss(params):
        return jnp.sum(curve * params**2)

    state = TrainState.create(apply_fn=None, params=jnp.ones(2), tx=tx)

    @jax.jit
    def step(state):
        value, grads = jax.value_and_grad(loss)(state.params)
        extra = {"grad": grads, "value_fn": loss}
        return state.apply_gradients(grads=grads, value=value, extra_args=extra)

    for _ in range(60):
        state = step(state)
    assert loss(state.params) < 1e-3


def test_parameters_that_are_overwritten_with_their_gradient_are():
    params = {"params": {"w": jnp.ones(2)}, OVERWRITE_WITH_GRADIENT: {"scale": jnp.ones(1)}}
    grads = {"params": {"w": jnp.ones(2)}, OVERWRITE_WITH_GRADIENT: {"scale": jnp.full(1, 7.0)}}
    tx = ao.lookahead(falling(1.0), every=2)
    state = TrainState.create(apply_fn=None, params=params, tx=tx)
    other = train_state.TrainState.create(apply_fn=None, params=params, tx=ao.sgd(1.0))
    state = state.apply_gradients(grads=grads, value=1.0)
    other = other.apply_gradients(grads=grads)
    jax.tree.map(np.testing.assert_array_equal, state.params, other.params)
    assert state.params[OVERWRITE_WITH_GRADIENT]["scale"] == 7
    assert state.eval_params["params"]["w"].tolist() == [1.0, 1.0]
    assert state.eval_params[OVERWRITE_WITH_GRADIENT]["scale"] == 7


@pytest.mark.parametrize("name", ["lookahead", "schedule_free", "averaged", "chain"])
def test_a_train_state_gives_the_parameters_to_evaluate(name):
    state, x = linen(WRAPPERS[name]())
    state = train(state, x, VALUES[:3])
    found, expected = state.eval_params, ao.eval_params(state.opt_state, state.params)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    kernels = [tree["params"]["kernel"] for tree in (found, state.params)]
    assert np.array_equal(*kernels) == (name == "chain")


def test_a_value_given_twice_is_refused():
    state = TrainState.create(apply_fn=None, params=jnp.ones(2), tx=falling())
    with pytest.raises(ValueError, match=r"^TrainState\.apply_gradients\(value=.*given twice"):
        state.apply_gradients(grads=jnp.ones(2), value=1.0, extra_args={"value": 1.0})


def test_without_a_value_the_plateau_says_what_to_do():
    state = TrainState.create(apply_fn=None, params=jnp.ones(2), tx=falling())
    with pytest.raises(ValueError, match=r"state\.apply_gradients\(grads=grads, value=loss\)"):
        state.apply_gradients(grads=jnp.ones(2))


@pytest.mark.parametrize("name", FLAX)
def test_an_nnx_optimizer_passes_the_loss_on(name):
    model = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    optimizer = Optimizer(model, WRAPPERS[name](), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, value):
        grads = nnx.grad(lambda m: jnp.mean((m(jnp.ones((2, 4))) - 1) ** 2))(model)
        optimizer.update(model, grads, value=value)

    for value in VALUES:
        step(model, optimizer, jnp.float32(value))
    assert scale_in(nnx.as_pure(optimizer.opt_state)) == 0.25
    assert optimizer.step[...] == 4


@pytest.mark.parametrize("tx", [optax.GradientTransformation(*optax.sgd(0.1)), ao.adam(0.1)])
def test_an_nnx_optimizer_takes_any_transformation(tx):
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    before = np.array(model.kernel[...])
    optimizer = Optimizer(model, tx, wrt=nnx.Param)
    grads = nnx.grad(lambda m: jnp.sum(m(jnp.ones((1, 2)))))(model)
    updates = optimizer.update(model, grads, value=1.0, unknown=2.0)
    np.testing.assert_allclose(model.kernel[...], before - 0.1, rtol=1e-5)
    np.testing.assert_allclose(updates["kernel"], np.full((2, 1), -0.1), rtol=1e-5)


def test_an_nnx_optimizer_gives_the_parameters_to_evaluate():
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    start = nnx.clone(model)
    optimizer = Optimizer(model, ao.lookahead(ao.sgd(0.1), every=2, step_size=0.5), wrt=nnx.Param)
    grads = nnx.grad(lambda m: jnp.sum(m(jnp.ones((1, 2)))))(model)
    optimizer.update(model, grads)
    trained = np.array(model.kernel[...])
    copy = optimizer.eval_model(model)
    np.testing.assert_array_equal(copy.kernel[...], start.kernel[...])
    np.testing.assert_array_equal(model.kernel[...], trained)
    assert not np.array_equal(trained, start.kernel[...])
    found = optimizer.eval_params(model)
    assert jax.tree.structure(nnx.as_pure(found)) == jax.tree.structure(
        nnx.as_pure(nnx.state(model, nnx.Param))
    )
    np.testing.assert_array_equal(found["kernel"], start.kernel[...])
    optimizer.update(model, grads)
    np.testing.assert_allclose(
        optimizer.eval_model(model).kernel[...], start.kernel[...] - 0.1, rtol=1e-5
    )


def test_the_library_is_there_without_flax():
    """Only this folder loads flax."""
    import subprocess
    import sys

    rates = "adaptive_optax.learning_rate"
    code = (
        f"import sys, {rates}.plateau, {rates}.hypergradient, adaptive_optax.wrappers.accumulation;"
        " sys.exit('flax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
