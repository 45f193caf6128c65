"""Moments handed from one optimizer to another mean the same in both."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax.introspection.moment_transfer import handed_over
from adaptive_optax.introspection.structure import parts, structure

PARAMS = {"v": jnp.ones(2), "w": jnp.ones(3)}
GRADS = {"v": jnp.ones(2), "w": jnp.array([1.0, -2.0, 0.5])}

LABELS = {"v": "a", "w": "b"}


def after(tx, steps):
    state = tx.init(PARAMS)
    for _ in range(steps):
        _, state = tx.update(GRADS, state, PARAMS)
    return state


def handed(old, new, steps=30):
    return handed_over(structure(old), after(old, steps), structure(new), new.init(PARAMS))


ADAMS = [optax.adam(0.1), ao.adam(0.1), ao.adamw(0.1, b1=0.8, b2=0.9), optax.amsgrad(0.1)]


@pytest.mark.parametrize("old", ADAMS)
@pytest.mark.parametrize("new", ADAMS)
def test_adams_go_on_as_one_another(old, new):
    """Under a constant gradient each of them is at the mean gradient and its square."""
    state = handed(old, new, steps=3)
    found = optax.tree.get(state, "count"), optax.tree.get(state, "mu"), optax.tree.get(state, "nu")
    options = {k: v for part in parts(structure(new)) for k, v in part.options.items()}
    assert int(found[0]) == 3
    np.testing.assert_allclose(found[1]["w"] / (1 - options["b1"] ** 3), GRADS["w"], rtol=1e-5)
    np.testing.assert_allclose(found[2]["w"] / (1 - options["b2"] ** 3), GRADS["w"] ** 2, rtol=1e-5)


@pytest.mark.parametrize("old", [*ADAMS, optax.lion(0.1, b2=0.5), ao.sgd(0.1, momentum=0.5)])
@pytest.mark.parametrize("new", [optax.sgd(0.1, momentum=0.9), ao.sgd(0.1, momentum=0.9)])
def test_a_mean_becomes_a_sum(old, new):
    state = handed(old, new, steps=60)
    np.testing.assert_allclose(optax.tree.get(state, "trace")["w"], 10 * GRADS["w"], rtol=1e-4)


@pytest.mark.parametrize("old", ADAMS)
@pytest.mark.parametrize(("new", "slot"), [(ao.rmsprop(0.1), "nu"), (optax.lion(0.1), "mu")])
def test_a_plain_mean_takes_the_corrected_one(old, new, slot):
    wanted = GRADS["w"] ** 2 if slot == "nu" else GRADS["w"]
    np.testing.assert_allclose(optax.tree.get(handed(old, new, 2), slot)["w"], wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ao.sgd(0.1, momentum=0.9), ao.adam(0.1)),  # no second moment to hand
        (ao.sgd(0.1), ao.sgd(0.1, momentum=0.9)),  # nothing kept
        (ao.adam(0.1), ao.adam(optax.constant_schedule(0.1))),  # whose schedule reads the count
        (ao.adagrad(0.1), ao.rmsprop(0.1)),  # a sum, not a mean
        (optax.adam(0.1), ao.sgd(0.1)),  # nothing to keep it in
        (optax.partition({"a": optax.adam(0.1), "b": optax.sgd(0.1)}, LABELS), ao.lion(0.1)),
    ],
)
def test_what_does_not_fit_begins_afresh(old, new):
    state, fresh = handed(old, new), new.init(PARAMS)
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(fresh), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_masked_scalar_hands_over_nothing():
    """Its place in the state is an empty tuple, as a scalar's shape is."""
    momentum = ao.sgd(0.1, momentum=0.9)
    masked = optax.masked(momentum, {"a": False, "b": True})
    tx = ao.switch({"masked": masked, "all": momentum}, at=[1])
    params = {"a": jnp.zeros(()), "b": jnp.ones(3)}
    state = tx.init(params)
    for _ in range(2):
        updates, state = tx.update(params, state, params)
    assert jax.tree.map(jnp.shape, updates) == {"a": (), "b": (3,)}
