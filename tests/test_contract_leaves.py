"""Contract 4 and 5: any leaf, any shape, any transformation of jax."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import CASES, FIRST, by_id, every
from problems import form, grads_of, params_of, run

import adaptive_optax as ao

ODD = {
    "none": (None, None),
    "integer-bool": (
        [jnp.array([0, 1, 99999999]), jnp.array([True, False])],
        [jnp.zeros(3, jnp.int32), jnp.zeros(2, bool)],
    ),
    "float0": (jnp.arange(3), np.zeros(3, jax.dtypes.float0)),
    "none-gradient": (jnp.zeros(3), None),  # zeros, which add nothing to a norm of the tree
    "masked": (optax.MaskedNode(), optax.MaskedNode()),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_odd_leaves_have_no_state_and_do_not_move(row, kind):
    value, gradient = ODD[kind]
    params = {"odd": value, "w": jnp.ones(2)}
    grads = {"odd": gradient, "w": jnp.ones(2)}
    tx = row.make()
    alone = tx.init({"w": params["w"]})
    if kind != "none-gradient":  # a float parameter: state is made before gradients are seen
        assert form(jax.tree.leaves(tx.init(params))) == form(jax.tree.leaves(alone))
    moved, state, history = run(tx, params, [grads] * 6)
    jax.tree.map(np.testing.assert_array_equal, moved["odd"], value)
    assert jax.tree.structure(moved) == jax.tree.structure(params)
    assert form(state) == form(tx.init(params))
    reference, _, _ = run(tx, {"w": params["w"]}, [{"w": grads["w"]}] * 6)
    np.testing.assert_array_equal(moved["w"], reference["w"])
    jitted, _ = jax.jit(tx.update)(
        {"w": grads["w"], "odd": None if kind == "float0" else gradient}, tx.init(params), params
    )
    assert jax.tree.structure(jitted["w"]) == jax.tree.structure(history[0]["w"])


@pytest.mark.parametrize("tree", [{}, (), None, {"a": {}}, []], ids=repr)
@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_empty_trees(row, tree):
    tx = row.make()
    updates, state = tx.update(tree, tx.init(tree), tree)
    assert jax.tree.structure(updates) == jax.tree.structure(tree)
    assert form(state) == form(tx.init(tree))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1, 1, 1), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_any_shape(row, shape):
    params = jnp.ones(shape)
    moved, state, _ = run(row.make(), params, [jnp.ones(shape)] * 6)
    assert moved.shape == shape
    assert bool(jnp.isfinite(moved).all())
    assert form(state) == form(row.make().init(params))


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
def test_complex_leaves_are_phase_equivariant(row):
    """Turning parameters and gradients by a phase turns the path, and |g|^2 is real."""
    tx = row.make()
    draw = np.random.default_rng(3)
    start = jnp.asarray(draw.standard_normal(5) + 1j * draw.standard_normal(5), jnp.complex64)
    phase = jnp.complex64(np.exp(0.7j))
    gradients = [
        jnp.asarray(draw.standard_normal(5) + 1j * draw.standard_normal(5), jnp.complex64)
        for _ in range(12)
    ]
    plain, state, _ = run(tx, start, gradients)
    turned, _, _ = run(tx, start * phase, [g * phase for g in gradients])
    np.testing.assert_allclose(turned, plain * phase, rtol=2e-4, atol=2e-5)  # float32 roundings
    assert plain.dtype == jnp.complex64
    nu = optax.tree.get(state, "nu")
    assert nu is None or nu.dtype == jnp.float32
    real, _, _ = run(tx, start.real, [g.real for g in gradients])
    as_complex, _, _ = run(tx, start.real + 0j, [g.real + 0j for g in gradients])
    np.testing.assert_allclose(as_complex.real, real, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", FIRST, ids=by_id)
def test_init_from_shapes_alone(row):
    tx, params = row.make(), params_of(jnp.bfloat16)
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params)
    expected = form(tx.init(params))
    abstract = jax.eval_shape(tx.init, shapes)
    assert jax.tree.map(lambda x: (x.shape, str(x.dtype), x.weak_type), abstract) == expected
    assert form(tx.init(shapes)) == expected


@pytest.mark.parametrize("row", every(6, CASES), ids=by_id)
def test_vmap_over_learning_rates_and_seeds(row):
    params, grads = params_of(), grads_of(params_of())
    rates = jnp.array([0.01, 0.02, 0.04])

    soap = row.names[0] == "soap"  # without eps, of rounding in directions without gradient
    slack = 1e-4 if soap else 0.0

    def once(rate, params, grads):
        tx = ao.soap(rate, eps=1e-2) if soap else row.make(rate)
        _, state = tx.update(grads, tx.init(params), params)
        return tx.update(grads, state, params)[0]

    alone = jax.jit(once)
    many = jax.tree.map(lambda *x: jnp.stack(x), params, params_of())
    both = jax.tree.map(lambda *x: jnp.stack(x), grads, grads_of(params, 1))
    together = jax.jit(jax.vmap(jax.vmap(once, (None, 0, 0)), (0, None, None)))(rates, many, both)
    for i, j in itertools.product(range(3), range(2)):
        here = jax.tree.map(lambda g, j=j: g[j], both)
        found = jax.tree.map(lambda u, i=i, j=j: u[i, j], together)
        for one, other in zip(
            jax.tree.leaves(found), jax.tree.leaves(alone(rates[i], params, here)), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=2e-6, atol=slack * rates[i])


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


@pytest.mark.parametrize("name", HYPERPARAMETERS)
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
