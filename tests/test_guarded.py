"""What `guarded` refuses, what it counts, and what a refused step leaves as it was."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import form, grads_of, params_of

import adaptive_optax as ao
from adaptive_optax.wrappers.guarded import GuardedState

NAN = float("nan")


def one_step(tx, grads, params, state=None, **extra):
    updates, state = tx.update(grads, tx.init(params) if state is None else state, params, **extra)
    return optax.apply_updates(params, updates), state


def bits(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


def held(state):
    return {name: int(n) for name, n in state.refusals._asdict().items() if int(n)}


def overflowing():
    """A rule of somebody's own, whose slot overflows where its update does not."""

    def update(grads, state, params=None):
        return jax.tree.map(jnp.sign, grads), jax.tree.map(lambda g, s: s + g * g, grads, state)

    return optax.GradientTransformation(lambda p: jax.tree.map(jnp.zeros_like, p), update)


@pytest.mark.parametrize("jit", [False, True])
def test_a_step_that_is_taken_is_the_inner_one(jit):
    params = params_of()
    inner, tx = ao.adamw(0.1), ao.guarded(ao.adamw(0.1), norm_sigmas=6.0)
    step = jax.jit(tx.update) if jit else tx.update
    plain, state = inner.init(params), tx.init(params)
    for seed in range(4):
        grads = grads_of(params, seed)
        expected, plain = jax.jit(inner.update)(grads, plain, params)
        updates, state = step(grads, state, params)
        for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6)
    assert held(state) == {}


def test_eagerly_it_is_so_bit_for_bit():
    params, grads = params_of(), grads_of(params_of())
    expected = ao.adamw(0.1).update(grads, ao.adamw(0.1).init(params), params)
    tx = ao.guarded(ao.adamw(0.1))
    updates, state = tx.update(grads, tx.init(params), params)
    assert bits((updates, state.inner_state)) == bits(expected)


@pytest.mark.parametrize("bad", [NAN, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite(bad):
    params = params_of()
    tx = ao.guarded(ao.adam(0.1))
    params, state = one_step(tx, grads_of(params), params)
    grads = grads_of(params, 1)
    grads["kernel"] = grads["kernel"].at[2, 1].set(bad)
    after, new = one_step(tx, grads, params, state)
    assert bits(after) == bits(params)
    assert bits(new.inner_state) == bits(state.inner_state)
    assert held(new) == {"gradient": 1}
    assert form(new) == form(state)
    assert int(one_step(tx, grads_of(params, 1), params, new)[1].consecutive) == 0


def test_a_state_that_overflows():
    """apply_if_finite looks at gradients alone: g = 1e20 leaves inf in the state for ever."""
    params, grads = jnp.ones(3), jnp.array([1.0, 1e20, 1.0])
    tx = optax.apply_if_finite(optax.adam(0.1), 5)
    updates, theirs = tx.update(grads, tx.init(params), params)
    assert bool(jnp.isinf(theirs.inner_state[0].nu[1]))
    assert int(theirs.total_notfinite) == 0
    for _ in range(50):
        updates, theirs = tx.update(jnp.ones(3), theirs, params)
    assert float(updates[1]) == 0.0

    _, state = one_step(ao.guarded(optax.adam(0.1)), grads, params)
    assert held(state) == {"state": 1}
    assert float(state.inner_state[0].nu[1]) == 0.0
    assert held(one_step(ao.guarded(overflowing()), grads, params)[1]) == {"state": 1}


def test_in_float16_a_gradient_of_300_is_enough():
    params, grads = jnp.ones(3, jnp.float16), jnp.full(3, 3e4, jnp.float16)
    _, theirs = one_step(optax.adam(0.1), grads, params)
    assert bool(jnp.all(jnp.isinf(theirs[0].nu)))
    after, state = one_step(ao.guarded(optax.adam(0.1)), grads, params)
    assert held(state) == {"state": 1}
    assert bits(after) == bits(params)
    _, ours = one_step(ao.guarded(ao.adam(0.1)), grads, params)  # whose slots are wider
    assert held(ours) == {}


def test_an_update_and_a_parameter_that_overflow():
    params = jnp.array([6e4, 1.0], jnp.float16)
    huge = optax.GradientTransformation(lambda p: (), lambda g, s, p=None: (g * 1e4, s))
    assert held(one_step(ao.guarded(huge), jnp.full(2, 1e3, jnp.float16), params)[1]) == {
        "update": 1
    }
    step = ao.guarded(ao.sgd(1.0))
    after, state = one_step(step, jnp.array([-3e4, 0.0], jnp.float16), params)
    assert held(state) == {"update": 1}
    assert bits(after) == bits(params)


def test_what_is_inf_from_the_start_is_no_fault():
    tx = ao.guarded(optax.chain(ao.sgd(0.1), ao.reduce_on_plateau()))
    params = jnp.ones(2)
    assert not np.isfinite(tx.init(params).inner_state[1].best_value)
    _, state = one_step(tx, params, params, value=1.0)
    assert held(state) == {}
    assert float(state.inner_state[1].best_value) == 1.0


def test_a_loss_that_is_not_finite_is_refused_and_others_forwarded():
    tx, params = ao.guarded(ao.sgd(0.1)), jnp.ones(2)
    assert held(one_step(tx, params, params, value=NAN)[1]) == {"loss": 1}
    assert held(one_step(tx, params, params, value=jnp.inf, unknown=3)[1]) == {"loss": 1}
    assert held(one_step(tx, params, params, value=3)[1]) == {}


def test_a_zero_keeps_its_sign_and_odd_leaves_stay():
    params = {
        "zeros": jnp.array([-0.0, 0.0]),
        "complex": jnp.array([complex(-0.0, -0.0), complex(0.0, -0.0)], jnp.complex64),
        "none": None,
        "count": jnp.array(3),
        "flag": jnp.array(True),
        "empty": jnp.zeros((0, 2)),
    }
    grads = {**params, "zeros": jnp.array([NAN, 1.0]), "count": np.zeros((), jax.dtypes.float0)}
    tx = ao.guarded(ao.adam(0.1))
    updates, state = tx.update(grads, tx.init(params), params)
    assert held(state) == {"gradient": 1}
    assert updates["none"] is None
    for name in ("zeros", "complex", "empty"):
        assert bits(params[name] + updates[name]) == bits(params[name])
    assert int(updates["count"]) == 0
    assert not bool(updates["flag"])
    assert held(tx.update({}, tx.init({}), {})[1]) == {}


def test_keys_and_integers_in_a_state_stay():
    tx = ao.guarded(optax.add_noise(0.1, 0.5, jax.random.key(0)))
    params = jnp.ones(2)
    _, state = one_step(tx, jnp.array([NAN, 1.0]), params)
    before = tx.init(params)
    assert int(state.inner_state.count) == int(before.inner_state.count)
    keys = (jax.random.key_data(s.inner_state.rng_key) for s in (state, before))
    np.testing.assert_array_equal(*keys)


def test_fifty_clean_steps_after_a_nan():
    """optax goes on with the nan after max_consecutive_errors, and that coordinate is lost."""

    def after_fifty(tx):
        params = jnp.ones(3)
        state = tx.init(params)
        for grads in [jnp.array([1.0, NAN, 1.0])] * 2 + [jnp.ones(3)] * 50:
            params, state = one_step(tx, grads, params, state)
        return np.isfinite(params).tolist()

    assert after_fifty(optax.apply_if_finite(optax.adam(0.01), 1)) == [True, False, True]
    assert after_fifty(ao.guarded(ao.adam(0.01))) == [True, True, True]
    assert after_fifty(ao.guarded(optax.adam(0.01))) == [True, True, True]


@pytest.mark.parametrize("jit", [False, True])
def test_a_window_of_micro_batches(jit):
    """A nan poisons optax's window; within ours it is left out, and around ours the window is."""

    def ends(tx, grads):
        step = jax.jit(tx.update) if jit else tx.update
        params = jnp.zeros(2)
        state = tx.init(params)
        for g in grads:
            updates, state = step(jnp.full(2, g), state, params)
            params = optax.apply_updates(params, updates)
        return params.tolist()

    poisoned = ends(optax.MultiSteps(optax.sgd(1.0), 2).gradient_transformation(), [NAN, 1.0])
    assert np.isnan(poisoned).all()
    micro = ao.guarded(ao.multi_steps(ao.sgd(1.0), 2))
    assert ends(micro, [1.0, NAN, 3.0, 5.0]) == [-2.0, -2.0]
    whole = ao.multi_steps(ao.guarded(ao.sgd(1.0)), 2)
    assert ends(whole, [1.0, NAN, 3.0, 5.0]) == [-4.0, -4.0]


def test_metrics_explain_rates_and_averages_reach_through(capsys):
    params = jnp.ones(2)
    tx = ao.guarded(ao.lookahead(ao.sgd(0.5)), norm_sigmas=6.0)
    state = ao.set_learning_rate(tx.init(params), 0.25)
    params, state = one_step(tx, jnp.ones(2), params, state)
    assert params.tolist() == [0.75, 0.75]
    assert float(ao.learning_rate_of(state)) == 0.25
    assert ao.eval_params(state, params).tolist() == [1.0, 1.0]
    _, state = one_step(tx, jnp.array([NAN, 1.0]), params, state)
    seen = ao.metrics(state)
    shown = {k.removeprefix("guarded/"): int(v) for k, v in seen.items() if "/" in k}
    zero = dict.fromkeys(("loss", "norm", "update", "state"), 0)
    assert shown == {"refused": 1, "consecutive": 1, "gradient": 1, **zero}
    assert int(seen["skipped"]) == 1
    assert seen["guarded/refused"].dtype == jnp.int32
    assert not ao.explain(tx).findings
    assert "ao.guarded(norm_sigmas=6.0" in capsys.readouterr().out


def test_it_maps_over_runs_one_of_which_has_a_fault():
    tx, params = ao.guarded(ao.adam(0.1), norm_sigmas=6.0), jnp.ones((2, 3))
    grads = jnp.ones((2, 3)).at[1, 0].set(NAN)
    after, state = jax.vmap(lambda g, p: one_step(tx, g, p))(grads, params)
    assert isinstance(state, GuardedState)
    assert state.skipped.tolist() == [0, 1]
    assert bits(after[1]) == bits(params[1])
    assert bool(jnp.all(after[0] != params[0]))
