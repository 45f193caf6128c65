"""The learning rate of each leaf: against what a twin at rate 1 makes of the same gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from catalogue import every

import adaptive_optax as ao
from adaptive_optax.introspection.effective_rate import effective, rates
from adaptive_optax.introspection.structure import structure
from adaptive_optax.monitoring.group_rates import mean_rate

PARAMS = {"layer_0": jnp.array([1.0, -2.0]), "layer_1": jnp.array([3.0, 1.0, 0.5])}
FIRST = {"layer_0": True, "layer_1": False}
LAST = {"layer_0": False, "layer_1": True}
LABELS = {"layer_0": "x", "layer_1": "y"}
RAMP = optax.linear_schedule(0.5, 0.1, 4)
WARM = optax.warmup_cosine_decay_schedule(0.1, 1.0, 2, 6)
STEPS = 5

sgd, adam = optax.sgd, optax.adam


def plateau():
    return ao.reduce_on_plateau(0.5, patience=1)


def optax_plateau():
    return optax.contrib.reduce_on_plateau(0.5, patience=2)


def split(x, y, labels=LABELS):
    return optax.partition({"x": x, "y": y}, labels)


# What is looked at, and the same at rate 1: the effective rate is the quotient of their updates.
AGAINST = {
    "a number": (sgd(0.3), sgd(1.0)),
    "an array": (sgd(jnp.float32(0.3)), sgd(1.0)),
    "a schedule": (adam(RAMP), adam(1.0)),
    "a schedule and a sign": (
        optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(WARM), optax.scale(-0.5)),
        adam(1.0),
    ),
    "scale before adam": (optax.chain(optax.scale(0.1), adam(0.2, eps=0)), adam(1.0, eps=0)),
    "scale before sgd": (optax.chain(optax.scale(0.1), sgd(0.2, momentum=0.9)), sgd(1.0, 0.9)),
    "scale after": (optax.chain(adam(0.2), optax.scale(0.1)), adam(1.0)),
    "uphill": (optax.chain(sgd(0.2), optax.scale(-1.0)), sgd(1.0)),
    "a chain in a chain": (optax.chain(optax.chain(optax.chain(sgd(0.2)))), sgd(1.0)),
    "a named chain": (
        optax.named_chain(("rule", optax.scale_by_adam()), ("rate", optax.scale(-0.2))),
        adam(1.0),
    ),
    "a plateau": (optax.chain(sgd(0.4), plateau()), sgd(1.0)),
    "optax's plateau": (optax.chain(sgd(0.4), optax_plateau()), sgd(1.0)),
    "a plateau before sgd": (optax.chain(plateau(), ao.sgd(0.4)), sgd(1.0)),
    "a plateau before adam": (optax.chain(plateau(), ao.lion(0.4)), ao.lion(1.0)),
    "a partition": (split(adam(0.1), sgd(RAMP)), split(adam(1.0), sgd(1.0))),
    "a partition by numbers": (
        optax.partition({0: sgd(0.1), 1: sgd(0.2)}, {"layer_0": 0, "layer_1": 1}),
        sgd(1.0),
    ),
    "a partition by a function": (
        split(sgd(0.1), sgd(0.2), lambda p: jax.tree.map(lambda x: "xy"[x.size > 2], p)),
        sgd(1.0),
    ),
    "a partition in a partition": (
        split(split(ao.sgd(0.1), sgd(0.2)), sgd(0.3), {"layer_0": "x", "layer_1": "x"}),
        sgd(1.0),
    ),
    "ours in a partition, and a plateau": (
        optax.chain(split(ao.adam(0.1), optax.chain(ao.adam(0.2), plateau())), optax.scale(0.5)),
        ao.adam(1.0),
    ),
    "frozen leaves": (split(sgd(0.1), optax.set_to_zero()), sgd(1.0)),
    "frozen after": (optax.chain(sgd(0.1), optax.transforms.freeze(FIRST)), sgd(1.0)),
    "a masked scale": (optax.chain(sgd(0.1), optax.masked(optax.scale(0.1), FIRST)), sgd(1.0)),
    "two masks": (
        optax.chain(
            optax.masked(sgd(0.1), FIRST), optax.masked(sgd(0.2), lambda p: LAST), optax.scale(1.0)
        ),
        sgd(1.0),
    ),
    "flat": (optax.flatten(adam(0.1)), adam(1.0)),
    "finite": (optax.apply_if_finite(adam(RAMP), 3), adam(1.0)),
    "injected": (optax.inject_hyperparams(adam)(0.3), adam(1.0)),
    "injected schedule": (optax.inject_hyperparams(adam)(RAMP), adam(1.0)),
    "injected ours": (optax.inject_hyperparams(ao.adam)(RAMP), ao.adam(1.0)),
    "injected plateau": (
        optax.inject_hyperparams(lambda learning_rate: optax.chain(sgd(learning_rate), plateau()))(
            0.3
        ),
        sgd(1.0),
    ),
    "ours": (ao.adam(0.3), ao.adam(1.0)),
    "ours by a schedule": (ao.lion(ao.schedules.cosine(0.5, 4)), ao.lion(1.0)),
    "a rule of ours": (optax.chain(ao.scale_by_prodigy(0.3), optax.scale(-0.5)), ao.prodigy(1.0)),
    "descend over a chain": (
        ao.descend(optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(RAMP)), 0.3),
        adam(1.0),
    ),
    "cautious": (ao.cautious(sgd(0.3)), sgd(1.0)),
    "layerwise": (ao.layerwise_decay(sgd(RAMP), 0.5), sgd(1.0)),
    "unfreezing": (ao.gradual_unfreezing(ao.sgd(0.3), 2), sgd(1.0)),
    "layers and a plateau": (
        optax.chain(ao.layerwise_decay(ao.gradual_unfreezing(sgd(0.3), 2), 0.5), plateau()),
        sgd(1.0),
    ),
    "hypergradient": (ao.hypergradient(ao.sgd(0.3), 0.1), sgd(1.0)),
    "monitored": (ao.monitored(optax.chain(sgd(RAMP), plateau())), sgd(1.0)),
}


def walked(tx, steps=STEPS):
    """Of each step the rates that are told, and the updates; the loss never falls."""
    tx = optax.with_extra_args_support(tx)

    def step(state, t):
        grads = jax.tree.map(lambda p: p * (1 + t) + 0.25, PARAMS)
        updates, after = tx.update(grads, state, PARAMS, value=1.0)
        return after, (jnp.stack(rates(tx, state, after, PARAMS)), updates)

    return jax.jit(lambda: jax.lax.scan(step, tx.init(PARAMS), jnp.arange(steps)))()[1]


@pytest.mark.parametrize("name", every(2, [*AGAINST]))
def test_the_rate_is_the_updates_over_those_at_rate_one(name):
    (told, moved), (_, unit) = map(walked, AGAINST[name])
    for i, leaf in enumerate(PARAMS):
        u, v = np.float64(moved[leaf]), np.float64(unit[leaf])
        measured = (u * v).sum(1) / (v * v).sum(1)
        np.testing.assert_allclose(told[:, i], measured, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("gather", [optax.MultiSteps, ao.multi_steps])
def test_gathered_steps_count_as_one(gather):
    told, _ = walked(gather(sgd(RAMP), 2), steps=6)
    np.testing.assert_allclose(told[:, 0], [0.5, 0.5, 0.4, 0.4, 0.3, 0.3], rtol=1e-6)


@pytest.mark.parametrize("wrap", [ao.lookahead, ao.schedule_free, ao.averaged])
def test_wrappers_that_keep_parameters_have_the_inner_rate(wrap):
    for inner in (ao.sgd(RAMP), sgd(RAMP)):
        told, _ = walked(wrap(inner))
        np.testing.assert_allclose(told, [[float(RAMP(t))] * 2 for t in range(STEPS)], rtol=1e-6)


def test_a_line_search_is_a_factor():
    tx = optax.chain(sgd(1.0), optax.scale_by_backtracking_linesearch(10, store_grad=True))

    def loss(params):
        return 20 * optax.tree.norm(params, squared=True)

    state = tx.init(PARAMS)
    value, grads = jax.value_and_grad(loss)(PARAMS)
    updates, after = tx.update(grads, state, PARAMS, value=value, grad=grads, value_fn=loss)
    (base, factor), _ = effective(structure(tx), state, after, PARAMS)
    assert base == 1.0
    assert 0 < factor < 1
    np.testing.assert_allclose(-updates["layer_0"], factor * grads["layer_0"], rtol=1e-6)


def test_what_the_state_does_not_tell_is_not_known():
    polyak = optax.polyak_sgd()
    assert np.isnan(rates(polyak, *[polyak.init(PARAMS)] * 2, PARAMS)).all()
    at_times = optax.chain(
        sgd(0.1), optax.conditionally_mask(optax.scale(1.0), lambda step: step > 1)
    )
    assert np.isnan(rates(at_times, *[at_times.init(PARAMS)] * 2, PARAMS)).all()
    rule = optax.scale_by_adam()
    assert rates(rule, *[rule.init(PARAMS)] * 2, PARAMS) == [None, None]


@pytest.mark.parametrize("make", [optax.rprop, optax.contrib.cocob, optax.contrib.madgrad])
def test_rates_of_rules_that_turn_or_not(make):
    tx = make(1.0)
    assert rates(tx, *[tx.init(PARAMS)] * 2, PARAMS) == [1.0, 1.0]


def test_frozen_is_zero_without_a_sign():
    tx = optax.transforms.selective_transform(sgd(0.1), freeze_mask=FIRST)
    found = rates(tx, *[tx.init(PARAMS)] * 2, PARAMS)
    assert [str(rate) for rate in found] == ["0.0", "0.1"]


def test_base_and_factor_are_kept_apart():
    tx = optax.chain(ao.layerwise_decay(ao.sgd(0.4), 0.5), plateau(), optax.scale(0.5))
    state = tx.init(PARAMS)
    for _ in range(3):
        before = state
        _, state = tx.update(PARAMS, state, PARAMS, value=1.0)
    first, last = effective(structure(tx), before, state, PARAMS)
    np.testing.assert_allclose([first.base, last.base], 0.2)
    np.testing.assert_allclose([first.factor, last.factor], [0.25, 0.5])


def test_odd_leaves_have_a_place():
    params = {"a": None, "b": jnp.ones(2), "c": jnp.array([3]), "d": jnp.zeros((0, 2))}
    mask = {"a": None, "b": True, "c": False, "d": True}
    tx = optax.chain(ao.adam(0.1), optax.masked(optax.scale(0.5), mask))
    state = tx.init(params)
    np.testing.assert_allclose(rates(tx, state, state, params), [0.1, 0.05, 0.1, 0.05], rtol=1e-6)
    assert rates(ao.adam(0.1), ao.adam(0.1).init({}), ao.adam(0.1).init({}), {}) == []


def test_leaves_share_what_they_share():
    """A thousand leaves of one rate are one product, traced once."""
    params = [jnp.ones(1)] * 1000
    tx = optax.chain(optax.adam(RAMP), plateau(), optax.scale(0.5))
    state = tx.init(params)
    found = effective(structure(tx), state, state, params)
    assert len({id(each) for each in found}) == 1


RULES = {
    "scale_by_adam": True,
    "scale_by_lion": True,
    "scale_by_belief": True,
    "scale_by_novograd": True,
    "scale_by_trust_ratio": True,
    "scale_by_sign": True,
    "scale_by_sgd": False,
    "trace": False,
    "ema": False,
    "identity": False,
    "scale_by_sophia": False,
    "clip_by_global_norm": False,
    "somebodys_own": False,
}


@pytest.mark.parametrize("name", RULES)
def test_rules_that_do_not_depend_on_scale(name):
    part = structure(optax.identity())._replace(name=name)
    assert part.scale_invariant is RULES[name]


@pytest.mark.parametrize(
    "make",
    [
        lambda: optax.scale_by_adam(eps=0),
        optax.scale_by_belief,
        optax.scale_by_lion,
        optax.scale_by_novograd,
        optax.contrib.scale_by_acprop,
        optax.contrib.scale_by_simplified_ademamix,
        optax.contrib.normalize,
        optax.contrib.scale_by_cocob,
        optax.scale_by_optimistic_gradient,
        lambda: optax.trace(0.9),
        ao.scale_by_adam,
        lambda: ao.scale_by_sgd(0.9),
    ],
)
def test_what_is_said_of_scale_is_so(make):
    moves = []
    for scale in (1.0, 1024.0):
        tx = make()
        state = tx.init(PARAMS)
        for t in range(4):
            grads = jax.tree.map(lambda p, t=t, s=scale: s * (jnp.sin(p * (t + 1)) + 0.5), PARAMS)
            updates, state = tx.update(grads, state, PARAMS)
        moves.append(np.concatenate([np.asarray(u) for u in jax.tree.leaves(updates)]))
    same = np.allclose(*moves, rtol=1e-3)
    assert same == structure(make()).scale_invariant


def test_the_mean_rate_is_weighed_by_size():
    assert mean_rate([0.1, 0.1], [2, 3]) == pytest.approx(0.1)
    assert mean_rate([0.1, 0.2], [1, 3]) == pytest.approx(0.175)
    assert mean_rate([0.5, None], [1, 0]) == 0.5
    assert np.isnan(mean_rate([0.5, None], [1, 1]))
    assert np.isnan(mean_rate([], []))
    assert np.isnan(mean_rate([0.5], [0]))
