"""Schedule-free by hand, and in the company of schedules, chains and other optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import grads_of, params_of, run

import adaptive_optax as ao

GRADIENTS = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
START = np.array([1.0, -2.0, 0.5], np.float32)


def path_of(tx, start=START, gradients=GRADIENTS):
    """Parameters in training and to evaluate, after each step."""
    params = jnp.asarray(start)
    state, trained, evaluated = tx.init(params), [], []
    for g in gradients:
        updates, state = tx.update(jnp.asarray(g), state, params)
        params = params + updates
        trained.append(params)
        evaluated.append(ao.eval_params(state, params))
    return np.array(trained), np.array(evaluated)


@pytest.mark.parametrize("b1", [0.0, 0.5, 0.9])
def test_at_a_constant_rate_x_is_the_mean_of_z_and_y_between(b1):
    z = START - 0.1 * np.cumsum(GRADIENTS, 0)
    x = np.cumsum(z, 0) / np.arange(1, 8)[:, None]
    y, found = path_of(ao.schedule_free(ao.sgd(0.1), b1=b1))
    np.testing.assert_allclose(found, x, rtol=1e-5)
    np.testing.assert_allclose(y, (1 - b1) * z + b1 * x, rtol=1e-5)


RATES = np.array([0.0, 0.01, 0.03, 0.1, 0.1, 0.05, 0.02], np.float32)


def warm(count):
    return jnp.asarray(RATES)[count]


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_under_a_schedule_weights_are_powers_of_the_largest_rate_so_far(power):
    """A rate that falls again does not make less of its steps."""
    z = START - np.cumsum(RATES[:, None] * GRADIENTS, 0)
    weights = np.maximum.accumulate(RATES).astype(float) ** power
    total = np.cumsum(weights)
    x = np.cumsum(weights[:, None] * z, 0) / np.where(total > 0, total, 1)[:, None]
    x[total == 0] = START
    _, found = path_of(ao.schedule_free(ao.sgd(warm), weight_power=power))
    np.testing.assert_allclose(found, x, rtol=1e-5)


def test_without_momentum_it_is_the_inner_optimizer_and_its_mean():
    """But for the rounding of y, which is remade from z."""
    free = path_of(ao.schedule_free(ao.adam(0.1), b1=0.0, weight_power=0.0))
    mean = path_of(ao.averaged(ao.adam(0.1), power=0.0))
    for one, other in zip(free, mean, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_an_inner_optimizer_from_elsewhere_has_its_schedule_given():
    ours = path_of(ao.schedule_free(ao.sgd(warm)))
    given = path_of(ao.schedule_free(optax.sgd(warm), learning_rate=warm))
    constant = path_of(ao.schedule_free(optax.sgd(warm)))
    for one, other in zip(ours, given, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert np.abs(constant[1] - ours[1]).max() > 1e-2


def test_the_rate_is_known_through_wrappers_that_know_it():
    for inner in (ao.sgd(warm), ao.muon(warm), ao.prodigy(warm), ao.dog(warm), ao.lars(warm)):
        assert ao.schedule_free(inner).learning_rate is warm


def test_alone_in_a_chain_under_jit_and_injected_it_is_the_same():
    params = params_of()
    gradients = [grads_of(params, seed) for seed in range(4)]

    def make(learning_rate):
        return ao.schedule_free(ao.adamw(learning_rate, b1=0.0))

    def both(tx, update=None):
        moved, state, _ = run(tx._replace(update=update or tx.update), params, gradients)
        return moved, ao.eval_params(state, moved)

    expected = both(make(0.1))
    tx = make(0.1)
    for found in (
        both(tx, jax.jit(tx.update)),
        both(optax.chain(optax.identity(), tx)),
        both(optax.inject_hyperparams(make)(learning_rate=0.1)),
    ):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), found, expected
        )


def test_an_injected_rate_may_change_from_step_to_step():
    make = optax.inject_hyperparams(lambda learning_rate: ao.schedule_free(ao.sgd(learning_rate)))
    found = path_of(make(learning_rate=warm))
    for one, other in zip(found, path_of(ao.schedule_free(ao.sgd(warm))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_narrow_parameters_do_not_wear_the_average_down():
    """Of 2048 steps of 2^-13 from 1 bfloat16 alone would make none; z and x make them all."""
    tx, start = ao.schedule_free(ao.sgd(2.0**-13), b1=0.5), jnp.array(1.0, jnp.bfloat16)

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jnp.ones_like(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, state), _ = jax.lax.scan(step, (start, tx.init(start)), length=2048)
    np.testing.assert_allclose(state.anchor, 0.75, rtol=1e-6)
    np.testing.assert_allclose(state.average, 0.875, rtol=1e-4)
    assert ao.eval_params(state, params).dtype == jnp.bfloat16
    assert abs(float(params) - 0.8125) < 2**-8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"b1": 1.0}, r"^schedule_free\(b1=1\.0\): b1 must lie in \[0, 1\)"),
        ({"weight_power": -1.0}, r"^schedule_free\(weight_power=-1\.0\): weight_power must "),
        ({"learning_rate": -0.1}, r"^schedule_free\(learning_rate=-0\.1\): learning_rate must "),
    ],
)
def test_options_that_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        ao.schedule_free(ao.sgd(0.1), **options)


def test_what_is_refused_besides():
    with pytest.raises(TypeError, match=r"^schedule_free\(inner="):
        ao.schedule_free(0.1)
    tx = ao.schedule_free(ao.sgd(0.1))
    with pytest.raises(ValueError, match=r"^schedule_free\.update needs params for its average"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
