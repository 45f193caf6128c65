"""Spikes, back-off and the limit of `guarded`."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.guarded import guarded

import adaptive_optax as ao

NAN = float("nan")
FEW = {"loss_sigmas": 4.0, "norm_sigmas": 4.0, "window": 10, "warm_up": 5}


def a_run(scale=1.0):
    """Gradients and losses: spikes of either, faults, batches without a gradient, a fall."""
    draw = np.random.default_rng(0)
    gradients = scale * np.exp(0.3 * draw.standard_normal((60, 1))) * draw.standard_normal((60, 4))
    losses = 2.0 + 0.2 * draw.standard_normal(60)
    gradients[[9, 30]] *= 1e3
    gradients[[15, 16, 40]] = NAN
    gradients[[20, 21]] = 0.0
    gradients[45:] *= 0.01
    losses[[12, 25]] = 40.0
    losses[33] = np.inf
    losses[45:] -= 1.5
    return gradients, losses


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_it_follows_the_oracle(scale):
    gradients, losses = a_run(scale)
    options = FEW | {"backoff": 0.5}
    expected = guarded(gradients, losses, np.zeros(4), **options)
    tx = ao.guarded(ao.sgd(0.1), **options, recovery=1.5, min_scale=0.2)
    params = jnp.zeros(4)
    state = tx.init(params)
    step = jax.jit(tx.update)
    assert 6 <= sum(refused for _, refused in expected) <= 20
    for g, loss, (p, refused) in zip(gradients, losses, expected, strict=True):
        before = int(state.skipped)
        updates, state = step(jnp.asarray(g, jnp.float32), state, params, value=loss)
        params = params + updates
        assert int(state.skipped) - before == refused
        np.testing.assert_allclose(params, p, rtol=1e-5, atol=1e-6 * scale)


@pytest.mark.parametrize("huge", [1e20, 3e38])
def test_no_number_overflows_in_the_statistics(huge):
    tx = ao.guarded(ao.adam(0.1), **FEW)
    params = jnp.ones(3)
    state = tx.init(params)
    for value in (huge, -huge, huge, 1e-38, 0.0, -huge, huge, huge):
        grads = jnp.full(3, value, jnp.float32)
        _, state = tx.update(grads, state, params, value=jnp.float32(value))
        known = [*jax.tree.leaves(state.loss), *jax.tree.leaves(state.norm)]
        assert np.isfinite(known).all()


def test_a_hugest_gradient_is_taken_by_no_guard_of_norms_and_refused_by_one():
    params, huge = jnp.ones(3), jnp.full(3, 1e20)
    for options, refused in (({}, 0), ({"norm_sigmas": 6.0}, 1)):
        tx = ao.guarded(ao.adam(0.1), **options)
        state = tx.init(params)
        for _ in range(25):
            _, state = tx.update(jnp.ones(3), state, params)
        _, state = tx.update(huge, state, params)
        assert int(state.refusals.norm) == refused == int(state.skipped)


def test_losses_are_narrow_and_wide_as_they_come():
    """A loss that rests may still rise by a few hundredths; falls are no spikes."""
    tx = ao.guarded(ao.sgd(0.1), loss_sigmas=6.0)
    params = jnp.ones(2)
    state = tx.init(params)
    for loss in [2.0] * 25 + [2.1, 1.0, 0.1, -5.0]:
        _, state = tx.update(params, state, params, value=loss)
    assert int(state.skipped) == 0
    _, state = tx.update(params, state, params, value=1e3)
    assert int(state.refusals.loss) == 1


def test_backoff_shows_in_the_learning_rate_and_in_metrics():
    tx = ao.guarded(ao.sgd(1.0), backoff=0.5, recovery=2.0)
    params = jnp.ones(2)
    state, rates, moves = tx.init(params), [], []
    for g in (1.0, NAN, NAN, 1.0, 1.0, 1.0, 1.0):
        updates, state = tx.update(jnp.full(2, g), state, params)
        rates.append(float(ao.learning_rate_of(state)))
        moves.append(float(updates[0]))
    assert rates == [1.0, 0.5, 0.25, 0.25, 0.5, 1.0, 1.0]
    assert moves == [-1.0, 0.0, 0.0, -0.25, -0.5, -1.0, -1.0]
    assert float(ao.metrics(state)["guarded/scale"]) == 1.0
    seen = ao.monitored(tx)
    _, state = seen.update(params, seen.init(params), params)
    assert float(ao.metrics(state)["learning_rate"]) == 1.0


TEXT = r"guarded\(limit=3\): 3 steps in a row were refused \(gradient 3 of all steps\)"


def until_it_raises(step, tx):
    """The last state that a step gave."""
    params = jnp.ones(2)
    state = tx.init(params)
    grads = [jnp.ones(2), *[jnp.array([NAN, 1.0])] * 9]
    for number, g in enumerate(grads):
        before = state
        try:
            updates, state = step(g, before, params)
            jax.block_until_ready((updates, state))
        except RuntimeError as error:
            return number, before, error
    raise AssertionError("nothing was raised")


def test_outside_of_jit_the_limit_raises_at_once():
    tx = ao.guarded(ao.adam(0.1), limit=3)
    number, state, error = until_it_raises(tx.update, tx)
    assert (number, int(state.consecutive), int(state.inner_state.count)) == (3, 2, 1)
    with pytest.raises(RuntimeError, match=TEXT):
        raise error


@pytest.mark.filterwarnings("ignore")
def test_in_jit_the_step_fails_and_what_went_into_it_is_good():
    tx = ao.guarded(ao.adam(0.1), limit=3)
    number, state, error = until_it_raises(jax.jit(tx.update), tx)
    assert (number, int(state.consecutive), int(state.inner_state.count)) == (3, 2, 1)
    with pytest.raises(jax.errors.JaxRuntimeError, match=TEXT):
        raise error
    updates, state = jax.jit(tx.update)(jnp.ones(2), state, jnp.ones(2))  # and so it goes on
    assert int(state.consecutive) == 0
    assert bool(jnp.all(updates != 0))


@pytest.mark.filterwarnings("ignore")
def test_in_a_scan_and_under_vmap_it_raises_too():
    tx = ao.guarded(ao.sgd(0.1), limit=3)

    def scanned(bad, steps):
        def step(state, _):
            return tx.update(bad, state, bad)[1], None

        return jax.lax.scan(step, tx.init(bad), None, length=steps)[0]

    run = jax.jit(functools.partial(scanned, steps=2))
    assert int(run(jnp.full(2, NAN)).consecutive) == 2
    with pytest.raises(RuntimeError, match=TEXT):
        jax.block_until_ready(jax.jit(functools.partial(scanned, steps=3))(jnp.full(2, NAN)))
    both = jnp.array([[1.0, 1.0], [NAN, 1.0]])
    two = jax.jit(jax.vmap(functools.partial(scanned, steps=2)))(both)
    assert two.consecutive.tolist() == [0, 2]
    with pytest.raises(RuntimeError, match=TEXT):
        jax.block_until_ready(jax.jit(jax.vmap(functools.partial(scanned, steps=3)))(both))


def test_without_a_limit_it_lowers_for_all_platforms():
    importlib.import_module("jax.export")
    tx = ao.guarded(optax.adam(0.1), **FEW, backoff=0.5)
    params = jnp.ones(2)

    def step(grads, state, params, loss):
        return tx.update(grads, state, params, value=loss)

    exported = jax.export.export(jax.jit(step), platforms=("cpu", "cuda", "tpu"))(
        params, tx.init(params), params, jnp.float32(1.0)
    )
    assert exported.platforms == ("cpu", "cuda", "tpu")


WRONG = [
    ({"loss_sigmas": 0}, ValueError, r"guarded\(loss_sigmas=0\): loss_sigmas must be finite and a"),
    ({"norm_sigmas": "6"}, TypeError, r"guarded\(norm_sigmas='6'\): norm_sigmas must be a number"),
    ({"window": 1}, ValueError, r"guarded\(window=1\): window must be at least 2"),
    ({"warm_up": 2.5}, TypeError, r"guarded\(warm_up=2.5\): warm_up must be an integer"),
    ({"backoff": 1.0}, ValueError, r"guarded\(backoff=1.0\): backoff must lie in \(0, 1\)"),
    ({"recovery": 0.9}, ValueError, r"guarded\(recovery=0.9\): recovery must be at least 1"),
    ({"min_scale": 2.0}, ValueError, r"guarded\(min_scale=2.0\): min_scale must lie in \(0, 1\]"),
    ({"limit": 0}, ValueError, r"guarded\(limit=0\): limit must be at least 1"),
]


@pytest.mark.parametrize(("options", "kind", "text"), WRONG)
def test_wrong_options(options, kind, text):
    with pytest.raises(kind, match=text):
        ao.guarded(ao.sgd(0.1), **options)


def test_wrong_inner_and_missing_value():
    with pytest.raises(TypeError, match=r"guarded\(inner=adam\): inner must be an optax transf"):
        ao.guarded(ao.adam)
    tx = ao.guarded(ao.sgd(0.1), loss_sigmas=6.0)
    with pytest.raises(ValueError, match=r"guarded.update needs value=, the loss"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
