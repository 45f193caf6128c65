"""The parts, `descend` and the lift, as a user composes them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import form, grads_of, params_of, run

import adaptive_optax as ao


def gradients(count=8, **options):
    return [grads_of(params_of(), seed, **options) for seed in range(count)]


def assert_same(one, other, rtol=2e-6):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-8)


def test_adam_of_parts():
    """mu_hat from parts over root of nu_hat from optax's is Adam's numerator and denominator."""
    first = optax.chain(ao.ema(0.9), ao.bias_correction(0.9))
    _, _, found = run(first, params_of(), gradients())
    _, _, expected = run(optax.ema(0.9, debias=True), params_of(), gradients())
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("part", "rule"),
    [
        (ao.scale_by_rms(0.9, 1e-3), ao.scale_by_rmsprop(0.9, 1e-3)),
        (ao.scale_by_rss(0.1, 1e-3), ao.scale_by_adagrad(0.1, 1e-3)),
        (ao.scale_by_sign_momentum(0.8, 0.9), ao.scale_by_lion(0.8, 0.9)),
    ],
)
def test_parts_are_the_rules(part, rule):
    one, other = run(part, params_of(), gradients()), run(rule, params_of(), gradients())
    jax.tree.map(np.testing.assert_array_equal, one, other)


OPTIMIZERS = {
    "sgd": (ao.sgd, ao.scale_by_sgd, {"momentum": 0.9}),
    "adagrad": (ao.adagrad, ao.scale_by_adagrad, {}),
    "rmsprop": (ao.rmsprop, ao.scale_by_rmsprop, {"centered": True, "eps": 1e-3}),
    "adadelta": (ao.adadelta, ao.scale_by_adadelta, {"rho": 0.9}),
    "adam": (ao.adam, ao.scale_by_adam, {"eps": 1e-3}),
    "nadam": (ao.nadam, ao.scale_by_nadam, {"b1": 0.9}),
    "radam": (ao.radam, ao.scale_by_radam, {"threshold": 5.0}),
    "lion": (ao.lion, ao.scale_by_lion, {"b1": 0.8}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_its_rule_times_the_rate(name):
    make, rule, options = OPTIMIZERS[name]
    _, _, found = run(make(0.1, **options), params_of(), gradients())
    params = params_of()
    state, tx = rule(**options).init(params), rule(**options)
    for updates, grads in zip(found, gradients(), strict=True):
        direction, state = tx.update(grads, state, params)
        assert_same(updates, jax.tree.map(lambda d: -0.1 * d, direction))


@pytest.mark.parametrize("independent", [False, True])
def test_descend_over_any_transformation(independent):
    """A direction of optax's, chained, does what ours does, fused."""
    options = {
        "weight_decay": 0.1,
        "independent_decay": independent,
        "mask": {"kernel": True, "inner": False},
    }
    fused = ao.descend(ao.scale_by_adam(), 0.01, **options)
    chained = ao.descend(optax.scale_by_adam(), 0.01, **options)
    assert_same(
        run(fused, params_of(), gradients())[0], run(chained, params_of(), gradients())[0], 1e-5
    )


def test_decay_mask_and_schedules():
    """A masked leaf does not decay; rate and decay schedules count from 0."""
    params = params_of()
    zeros = jax.tree.map(jnp.zeros_like, params)
    masks = (
        {"kernel": True, "inner": {"bias": False, "scale": False}},
        {"kernel": True, "inner": False},
        lambda p: jax.tree.map(lambda x: x.ndim == 2, p),
    )
    rates, decays = jnp.array([0.5, 0.25, 0.125]), jnp.array([0.1, 0.2, 0.4])
    for mask in masks:
        tx = ao.adamw(lambda t: rates[t], weight_decay=lambda t: decays[t], mask=mask, eps=1e-3)
        moved, _, _ = run(tx, params, [zeros] * 3)
        jax.tree.map(np.testing.assert_array_equal, moved["inner"], params["inner"])
        factor = np.prod(1 - np.asarray(rates) * np.asarray(decays))
        np.testing.assert_allclose(moved["kernel"], params["kernel"] * factor, rtol=1e-6)


def test_gradient_dtype_may_differ_from_the_parameters():
    """bf16 gradients of float32 parameters update as their float32 values would."""
    wide = [
        jax.tree.map(lambda g: g.astype(jnp.bfloat16).astype(jnp.float32), g) for g in gradients()
    ]
    narrow = [jax.tree.map(lambda g: g.astype(jnp.bfloat16), g) for g in wide]
    one, other = (run(ao.adam(0.1), params_of(), g)[0] for g in (wide, narrow))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_params_may_be_left_out_where_no_rule_needs_them():
    tx = ao.adam(0.1)
    state = tx.init(params_of(jnp.bfloat16))
    updates, after = tx.update(grads_of(params_of(jnp.bfloat16)), state)
    assert form(updates) == form(params_of(jnp.bfloat16))
    assert form(after) == form(state)


class Slots(NamedTuple):
    total: jax.Array


def test_leafwise_keeps_the_contract_for_a_users_rule():
    """Slots made in the parameter's dtype by hand come out in float32; count starts at 1."""

    def init(p):
        return Slots(total=jnp.zeros(p.shape, p.dtype))

    def update(g, slots, p, count):
        total = slots.total + g
        return total / count.astype(g.dtype), Slots(total)

    tx = ao.leafwise(Slots, init, update)
    params = params_of(jnp.bfloat16)
    _, state, history = run(tx, params, gradients(3, dtype=jnp.bfloat16))
    assert state.slots.total["kernel"].dtype == jnp.float32
    mean = np.mean(
        [np.asarray(g["kernel"], np.float32) for g in gradients(3, dtype=jnp.bfloat16)], 0
    )
    np.testing.assert_allclose(np.asarray(history[2]["kernel"], np.float32), mean, rtol=2**-8)


def test_a_rule_that_changes_a_shape_is_refused():
    tx = ao.leafwise(Slots, lambda p: Slots(p * 0), lambda g, s, p, c: (jnp.sum(g), s))
    with pytest.raises(AssertionError, match="shape"):
        tx.update(jnp.ones(3), tx.init(jnp.ones(3)))


def test_closed_over_tracers_do_not_leak():
    with jax.checking_leaks():
        for _ in range(2):
            jax.jit(
                lambda b1: ao.adam(0.1, b1=b1).update(jnp.ones(2), ao.adam(0.1).init(jnp.ones(2)))
            )(0.9)
