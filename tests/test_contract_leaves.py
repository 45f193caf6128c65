"""Odd leaves and traced hyperparameters: what the contract kit does not ask."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import FIRST, by_id, every
from problems import form, params_of, run

import adaptive_optax as ao

ODD = {  # a leaf and its gradient
    "none": (None, None),
    "integer": (jnp.array([0, 1, 99999999]), jnp.zeros(3, jnp.int32)),
    "bool": (jnp.array([True, False]), jnp.zeros(2, bool)),
    "float0": (jnp.arange(3), np.zeros(3, jax.dtypes.float0)),
    "masked": (optax.MaskedNode(), optax.MaskedNode()),
}


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_odd_leaves_have_no_state_and_change_nothing(row):
    odd, gradients = ({name: pair[i] for name, pair in ODD.items()} for i in (0, 1))
    params, grads = {"odd": odd, "w": jnp.ones(2)}, {"odd": gradients, "w": jnp.ones(2)}
    tx = row.make()
    alone = tx.init({"w": params["w"]})
    assert form(jax.tree.leaves(tx.init(params))) == form(jax.tree.leaves(alone))
    moved, state, _ = run(tx, params, [grads] * 3)
    jax.tree.map(np.testing.assert_array_equal, moved["odd"], odd)
    assert jax.tree.structure(moved) == jax.tree.structure(params)
    assert form(state) == form(tx.init(params))
    reference, _, _ = run(tx, {"w": params["w"]}, [{"w": grads["w"]}] * 3)
    np.testing.assert_array_equal(moved["w"], reference["w"])


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_python_and_numpy_leaves(row):
    params = {"a": 1.0, "b": np.ones(2, np.float32), "c": np.float32(2.0)}
    moved, _, _ = run(row.make(), params, [{"a": 0.5, "b": np.ones(2), "c": 1.0}] * 3)
    same, _, _ = run(
        row.make(),
        jax.tree.map(jnp.float32, params),
        [jax.tree.map(jnp.float32, {"a": 0.5, "b": np.ones(2), "c": 1.0})] * 3,
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), moved, same)


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_complex_numbers_without_imaginary_part_are_real_ones(row):
    """And |g|^2 is stored as a real number."""
    tx = row.make()
    start = jnp.array([1.0, -2.0, 0.5])
    gradients = [jnp.asarray(g) for g in np.random.default_rng(3).standard_normal((6, 3))]
    real, _, _ = run(tx, start, [jnp.float32(g) for g in gradients])
    as_complex, state, _ = run(tx, start + 0j, [jnp.float32(g) + 0j for g in gradients])
    assert as_complex.dtype == jnp.complex64
    nu = optax.tree.get(state, "nu")
    assert nu is None or nu.dtype == jnp.float32
    np.testing.assert_allclose(as_complex.real, real, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_complex_leaves_trace_under_strict_promotion(row):
    params = params_of(jnp.complex64)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for rate in (row.rate, jnp.float32(row.rate), lambda count: jnp.float32(row.rate)):
            tx = row.make(rate)
            jax.eval_shape(tx.update, params, tx.init(params), params)


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_zero_gradients_move_nothing_but_decay(row):
    """The kit lets any coordinate move towards zero."""
    params = params_of()
    moved, _, _ = run(row.make(), params, [jax.tree.map(jnp.zeros_like, params)] * 3)
    decays = {"adam-l2", "adamw", "adamw-independent", "lion-decay", "nadamw", "lamb-decay"}
    decays |= {"adan-decay", "novograd-decay", "schedule_free(adamw)"}
    if row.id not in decays:
        jax.tree.map(np.testing.assert_array_equal, moved, params)


BETAS = {"b1": 0.9, "b2": 0.99}
HYPERPARAMETERS = {
    "sgd": {"momentum": 0.9},
    "adagrad": {"eps": 1e-3, "initial_accumulator_value": 0.1},
    "rmsprop": {"decay": 0.9, "eps": 1e-3, "momentum": 0.9},
    "adadelta": {"rho": 0.9, "eps": 1e-3},
    "adam": {"b1": 0.9, "b2": 0.99, "eps": 1e-3, "eps_root": 1e-3, "l2": 0.1},
    "adamw": {"b1": 0.9, "b2": 0.99, "eps": 1e-3, "weight_decay": 0.1},
    "nadam": {"b1": 0.9, "b2": 0.99, "eps": 1e-3},
    "radam": {"b1": 0.9, "b2": 0.99, "eps": 1e-3},
    "lion": {"b1": 0.9, "b2": 0.99, "weight_decay": 0.1},
    "amsgrad": {**BETAS, "eps": 1e-3},
    "adamax": {**BETAS, "eps": 1e-3},
    "adabelief": {**BETAS, "eps": 1e-3},
    "yogi": {**BETAS, "eps": 1e-3, "initial_accumulator_value": 1e-3},
    "nadamw": {**BETAS, "eps": 1e-3, "weight_decay": 0.1},
    "adan": {**BETAS, "b3": 0.9, "eps": 1e-3, "weight_decay": 0.1},
    "ademamix": {**BETAS, "b3": 0.999, "alpha": 5.0, "eps": 1e-3, "weight_decay": 0.1},
    "adopt": {**BETAS, "eps": 1e-3, "weight_decay": 0.1},
    "mars": {**BETAS, "gamma": 0.025, "eps": 1e-3, "weight_decay": 0.1},
    "lamb": {**BETAS, "eps": 1e-3, "weight_decay": 0.1},
    "lars": {"momentum": 0.9, "trust_coefficient": 0.1, "eps": 1e-3, "weight_decay": 0.1},
    "adafactor": {"decay_rate": 0.8, "eps": 1e-3, "min_scale": 1e-3, "clipping_threshold": 1.0},
    "sophia": {"b1": 0.9, "b2": 0.9, "gamma": 0.5, "eps": 1e-3, "weight_decay": 0.1},
    "muon": {"momentum": 0.9, "eps": 1e-3, "weight_decay": 0.1},
    "soap": {"b1": 0.9, "b2": 0.9, "shampoo_decay": 0.9, "eps": 1e-3, "weight_decay": 0.1},
    "prodigy": {**BETAS, "d0": 0.1, "eps": 1e-3, "weight_decay": 0.1},
    "dadapt_adam": {**BETAS, "d0": 0.1, "eps": 1e-3, "weight_decay": 0.1},
    "dog": {"initial_distance": 0.1, "eps": 1e-3},
    "dowg": {"initial_distance": 0.1, "eps": 1e-3},
}


@pytest.mark.parametrize("name", every(3, [*HYPERPARAMETERS]))
def test_hyperparameters_may_be_traced_and_differentiated(name):
    """The derivative is finite, with a zero gradient in the tree too, and is the slope."""
    options = {"learning_rate": 0.1, **HYPERPARAMETERS[name]}
    params = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    target = jnp.array([[0.0, 1.0], [0.5, 2.0]])
    given = {"hessian": jnp.array([[1.0, 2.0], [0.0, 30.0]])} if name == "sophia" else {}

    def loss(options):
        tx = getattr(ao, name)(**options)

        def step(carry, _):
            p, state = carry
            updates, state = tx.update(p - target, state, p, **given)
            return (p + updates, state), None

        (p, _), _ = jax.lax.scan(step, (params, tx.init(params)), length=7)
        return jnp.sum((p - target) ** 2)

    traced = {key: jnp.float32(value) for key, value in options.items()}
    compiled = jax.jit(loss)
    np.testing.assert_allclose(compiled(traced), loss(options), rtol=1e-4)
    slopes = jax.jit(jax.grad(loss))(traced)
    assert all(bool(jnp.isfinite(slope)) for slope in slopes.values())
    h = 1e-3
    rates = [traced["learning_rate"] + s * h for s in (1, -1)]
    up, down = (compiled({**traced, "learning_rate": rate}) for rate in rates)
    np.testing.assert_allclose(slopes["learning_rate"], (up - down) / (2 * h), rtol=0.02)
