"""load_state_dict over every edit that leaves an optimizer's moments what they are."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from moving import PARAMS, STEPS, assert_same, fresh, in_a_file, run, used

import adaptive_optax as ao

RATE = 1e-2
CONSTANT = optax.constant_schedule(RATE)
FALLING = optax.linear_schedule(RATE, 0.0, 20)
HUGE = optax.clip_by_global_norm(1e9)
LATER = range(STEPS, STEPS + 5)
ALL = {"dense": {"kernel": "all", "bias": "all"}}

EDITS = {  # before, after; the updates go on as if nothing had been edited
    "rate to schedule": (optax.adam(RATE), optax.adam(CONSTANT)),
    "schedule to rate": (optax.adam(CONSTANT), optax.adam(RATE)),
    "clip": (optax.adam(RATE), optax.chain(HUGE, optax.adam(RATE))),
    "no clip": (optax.chain(HUGE, optax.adamw(FALLING)), optax.adamw(FALLING)),
    "order": (
        optax.chain(optax.scale_by_adam(), optax.zero_nans(), optax.scale(-RATE)),
        optax.chain(optax.zero_nans(), optax.scale_by_adam(), optax.scale(-RATE)),
    ),
    "adam to adamw": (optax.adam(RATE), optax.adamw(RATE, weight_decay=0.0)),
    "adamw to adam": (optax.adamw(RATE, weight_decay=0.0), optax.adam(RATE)),
    "decay": (
        optax.chain(optax.trace(0.9), optax.scale_by_schedule(FALLING)),
        optax.chain(
            optax.trace(0.9), optax.add_decayed_weights(0.0), optax.scale_by_schedule(FALLING)
        ),
    ),
    "ours: rate to schedule": (ao.adam(RATE), ao.adam(lambda count: RATE)),
    "ours: adam to adamw": (ao.adam(FALLING), ao.adamw(FALLING, weight_decay=0.0)),
    "ours: adamw to adam": (ao.adamw(FALLING, weight_decay=0.0), ao.adam(FALLING)),
    "ours: clip": (ao.adam(FALLING), optax.chain(HUGE, ao.adam(FALLING))),
    "lookahead": (ao.adam(FALLING), ao.lookahead(ao.adam(FALLING), every=100)),
    "no lookahead": (ao.lookahead(ao.adam(FALLING), every=100), ao.adam(FALLING)),
    "optax's lookahead of ours": (optax.adam(RATE), ao.lookahead(optax.adam(RATE), every=100)),
    "monitored": (ao.adam(FALLING), ao.monitored(ao.adam(FALLING))),
    "masked": (optax.adam(RATE), optax.masked(optax.adam(RATE), True)),
    "multi_steps": (ao.adam(FALLING), ao.multi_steps(ao.adam(FALLING), 1)),
    "averaged": (ao.adam(FALLING), ao.averaged(ao.adam(FALLING))),
    "stored, but all is small": (ao.adam(FALLING), ao.stored(ao.adam(FALLING), ao.int8())),
    "nested": (
        ao.monitored(ao.lookahead(optax.chain(HUGE, ao.adam(FALLING)), every=100)),
        optax.chain(HUGE, ao.averaged(ao.adam(FALLING))),
    ),
    "partition": (ao.adam(FALLING), optax.partition({"all": ao.adam(FALLING)}, ALL)),
    "no partition": (optax.partition({"all": ao.adam(FALLING)}, ALL), ao.adam(FALLING)),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_optimizer_goes_on(edit, tmp_path):
    before, after = EDITS[edit]
    state, params = used(before)
    loaded = ao.load_state_dict(after, params, in_a_file(ao.state_dict(state), tmp_path))
    assert_same(
        jax.tree.map(jnp.zeros_like, after.init(params)), jax.tree.map(jnp.zeros_like, loaded)
    )
    expected = run(before, state, params, LATER)[0]
    assert_same(expected, run(after, loaded, params, LATER)[0])


ROUND = {  # besides the whole catalogue
    "adam": ao.adam(FALLING),
    "pullback": ao.lookahead(ao.adam(RATE), every=3, at_sync="pullback"),
    "noise": optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(5)), optax.adam(RATE)),
    "optax.MultiSteps": optax.MultiSteps(optax.adamw(FALLING), 3),
    "hypergradient": ao.hypergradient(ao.adam(RATE)),
    "twins": optax.chain(optax.ema(0.9), optax.ema(0.5), optax.scale_by_adam()),
    "plateau": optax.chain(ao.adam(RATE), optax.contrib.reduce_on_plateau()),
    "inject": optax.inject_hyperparams(optax.adam)(learning_rate=FALLING),
    "nothing": optax.sgd(RATE),
}


@pytest.mark.parametrize("name", ROUND)
def test_the_same_optimizer_comes_back_bit_for_bit(name, tmp_path):
    tx = ROUND[name]
    update = optax.with_extra_args_support(tx).update
    tx = optax.GradientTransformationExtraArgs(
        tx.init, lambda g, s, p: update(g, s, p, value=jnp.float32(1.0))
    )
    state, params = used(tx)
    assert_same(state, ao.load_state_dict(tx, params, in_a_file(ao.state_dict(state), tmp_path)))


def test_optax_adam_goes_on_as_ours():
    state, params = used(optax.adam(FALLING))
    loaded = ao.load_state_dict(ao.adam(FALLING), params, ao.state_dict(state))
    assert_same((state[0].count, state[0].mu, state[0].nu), (loaded.count, *loaded.slots))
    expected = run(optax.adam(FALLING), state, params, LATER)[0]
    found = run(ao.adam(FALLING), loaded, params, LATER)[0]
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5)


def test_ours_goes_on_as_optax_adam_with_its_schedule():
    state, params = used(ao.adam(FALLING))
    loaded = ao.load_state_dict(optax.adam(FALLING), params, ao.state_dict(state))
    assert int(loaded[0].count) == int(loaded[1].count) == STEPS


def test_a_schedule_that_is_added_is_at_the_run_s_step():
    state, params = used(optax.adam(RATE))
    loaded = ao.load_state_dict(optax.adam(FALLING), params, ao.state_dict(state))
    assert int(loaded[1].count) == STEPS
    inject = optax.inject_hyperparams(optax.adam)(learning_rate=FALLING)
    loaded = ao.load_state_dict(inject, params, ao.state_dict(state))
    assert int(loaded.hyperparams_states["learning_rate"].count) == STEPS


def test_a_wrapper_that_is_added_begins_with_the_parameters_there_are():
    state, params = used(ao.adam(RATE))
    loaded = ao.load_state_dict(ao.lookahead(ao.adam(RATE)), params, ao.state_dict(state))
    assert_same(loaded.anchor, params)
    assert int(loaded.count) == 0
    assert_same(loaded.inner_state, state)


def test_bias_correction_turned_on(caplog):
    plain, corrected = optax.rmsprop(RATE), optax.rmsprop(RATE, bias_correction=True)
    state, params = used(plain)
    saved = ao.state_dict(state)
    loaded = ao.load_state_dict(corrected, params, {**saved, "count": STEPS})
    assert_same(loaded[0].nu, state[0].nu)
    assert int(loaded[0].count) == STEPS
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert int(ao.load_state_dict(corrected, params, saved)[0].count) == 0
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "count is new, but slots beside it are carried" in record.getMessage()
    scheduled, params = used(optax.rmsprop(FALLING))
    loaded = ao.load_state_dict(corrected, params, ao.state_dict(scheduled))
    assert int(loaded[0].count) == STEPS


def test_a_rule_of_new_slots_has_a_new_count():
    """Else bias correction would take zeros for an average of many steps."""
    state, params = used(ao.lion(RATE))
    other = ao.load_state_dict(ao.sgd(FALLING, momentum=0.9), params, ao.state_dict(state), False)
    assert int(other.count) == 0


def test_one_of_several_optimizers_takes_all_of_a_state_or_nothing():
    state, params = used(ao.lion(RATE))
    several = ao.switch({"lion": ao.lion(RATE), "adam": ao.adam(RATE)}, at=[50])
    found = ao.load_state_dict(several, params, ao.state_dict(state)).inner_states
    assert_same(found["lion"], state)
    assert_same(found["adam"], ao.adam(RATE).init(params))
    twins = ao.blend({"a": ao.lion(RATE), "b": ao.lion(RATE)}, (0.5, 0.5))
    saved = ao.state_dict(used(twins)[0])
    with pytest.raises(ValueError, match="of the slots of this optimizer, mu, saved has none"):
        ao.load_state_dict(ao.lion(RATE), params, saved)


def test_what_is_loaded_stands_in_buffers_of_its_own():
    state, params = used(ao.adam(RATE))
    loaded = ao.load_state_dict(ao.adam(RATE), params, ao.state_dict(state))
    jax.jit(ao.adam(RATE).update, donate_argnums=1)(params, loaded, params)
    assert not any(x.is_deleted() for x in jax.tree.leaves(state))


def test_dtypes_are_those_of_the_new_optimizer():
    state, params = used(optax.adam(RATE))
    narrow = optax.adam(RATE, mu_dtype=jnp.bfloat16)
    saved = ao.state_dict(state)
    loaded = ao.load_state_dict(narrow, params, saved)
    assert loaded[0].mu["dense"]["bias"].dtype == jnp.bfloat16
    told = ao.checkpoint.compared(narrow, params, saved)
    assert "mu/dense/bias goes from float32 to bfloat16" in told.notes
    again = ao.load_state_dict(narrow, params, ao.state_dict(loaded))
    assert_same(again, loaded)
    assert not ao.checkpoint.compared(narrow, params, ao.state_dict(loaded)).notes
    wide = {name: np.asarray(x, np.float64) if "/" in name else x for name, x in saved.items()}
    assert_same(ao.load_state_dict(optax.adam(RATE), params, wide), state)


def test_weakly_typed_leaves_and_numbers_stay_so():
    def init(params):
        return optax.TraceState({"weak": jnp.asarray(2.0), "number": 3, "numpy": np.float32(4)})

    tx = optax.GradientTransformation(init, lambda g, s, p=None: (g, s))
    state = jax.tree.map(lambda x: x * 2, tx.init(None))
    assert state.trace["weak"].weak_type
    assert_same(ao.load_state_dict(tx, fresh(), ao.state_dict(state)), state)
    assert PARAMS["dense"]["bias"].dtype == np.float32
