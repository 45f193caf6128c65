"""Transformations are values: repr, equality, hash, pickle, and programs that equal rules share."""

import copy
import inspect
import math
import pickle
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax.core import lifting
from adaptive_optax.core.value import key_of
from adaptive_optax.optimizers.record import records

SCOPE = {name: getattr(ao, name) for name in ao.__all__} | {
    "jnp": jnp,
    "inf": math.inf,
    "nan": math.nan,
}
PARAMS = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3)}


def off(name, default):
    """Another value of an option of that default."""
    if isinstance(default, bool):
        return not default
    if isinstance(default, float) and 0 < default < 1:
        return round(default * 0.97, 6)
    if isinstance(default, float) and default == 0 and "decay" in name:
        return 0.03125
    if isinstance(default, int) and default > 1:
        return default + 1
    return default


def constructors():
    """Every optimizer, with all options off their defaults that can be."""
    for name, record in records().items():
        parameters = list(inspect.signature(record.constructor).parameters.values())[1:]
        options = {p.name: off(p.name, p.default) for p in parameters}
        if options.get("nesterov"):
            options["momentum"] = 0.8
        yield pytest.param(
            name, {k: v for k, v in options.items() if v is not None and not callable(v)}, id=name
        )


WRAPPED = {
    "lookahead": lambda: ao.lookahead(ao.adam(1e-3), every=7, step_size=0.25, at_sync="reset"),
    "averaged": lambda: ao.averaged(ao.sgd(0.1), power=2.0),
    "cautious": lambda: ao.cautious(ao.adam(1e-3)),
    "schedule_free": lambda: ao.schedule_free(ao.sgd(0.1), b1=0.8),
    "guarded": lambda: ao.guarded(ao.lion(1e-3), limit=3, norm_sigmas=6.0),
    "monitored": lambda: ao.monitored(ao.sgd(0.1), every=5, groups=["w"]),
    "blend": lambda: ao.blend({"a": ao.sgd(0.1), "b": ao.lion(1e-3)}, {"a": 1, "b": 3}),
    "switch": lambda: ao.switch({"b": ao.adam(1e-3), "a": ao.sgd(0.1)}, at=[10]),
    "multi_steps": lambda: ao.multi_steps(ao.adam(1e-3), 4),
    "hypergradient": lambda: ao.hypergradient(ao.adam(1e-3), mode="multiplicative"),
    "layerwise_decay": lambda: ao.layerwise_decay(ao.adam(1e-3), 0.5, layers=["b", "w"]),
    "gradual_unfreezing": lambda: ao.gradual_unfreezing(ao.adam(1e-3), 5, layers=["b", "w"]),
    "reduce_on_plateau": lambda: ao.reduce_on_plateau(0.5, patience=3),
    "smoothed": lambda: ao.smoothed(ao.adam(1e-3), 0.9),
    "filter": lambda: ao.smoothed(decay=0.9),
    "variance_reduced": lambda: ao.variance_reduced(ao.adam(1e-3), "mars", gamma=0.1),
    "stored": lambda: ao.stored(ao.adamw(1e-3), ao.int8(block=64)),
    "rounded": lambda: ao.rounded(ao.sgd(0.1), "kahan"),
    "descend": lambda: ao.descend(ao.scale_by_adam(b1=0.8), 0.1, weight_decay=0.5, name="mine"),
    "scale_by_muon": lambda: ao.scale_by_muon(rest=ao.scale_by_lion()),
    "scheduled": lambda: ao.adam(ao.schedules.linear(0.5, length=90).warmed_up(10)),
    "fraction": lambda: ao.sgd(
        ao.schedules.one_cycle(0.5, length=90, warm_up=ao.schedules.fraction(0.25))
    ),
    "views": lambda: ao.muon(0.1, matrices={"w": ao.MatrixView(outputs=1), "b": False}),
    "array": lambda: ao.adam(jnp.float32(0.1), b1=jnp.bfloat16(0.5)),
    "special": lambda: ao.lamb(0.1, norm_bounds=(0.0, math.inf)),
}


def check_value(make):
    tx = make()
    again = eval(repr(tx), dict(SCOPE))
    for other in (again, make(), copy.copy(tx), copy.deepcopy(tx), pickle.loads(pickle.dumps(tx))):
        assert other == tx
        assert hash(other) == hash(tx)
        assert repr(other) == repr(tx)
        assert jax.tree.structure(other.init(PARAMS)) == jax.tree.structure(tx.init(PARAMS))
    inside = optax.chain(optax.clip(1.0), tx).update.__closure__
    assert inside is not None
    seen = jax.jit(lambda tx, x: 2 * x, static_argnums=0)
    assert float(seen(tx, 1.0)) == float(seen(make(), 1.0))
    assert seen._cache_size() == 1
    return tx


@pytest.mark.parametrize(("name", "options"), list(constructors()))
def test_an_optimizer_is_its_call(name, options):
    make = getattr(ao, name)
    tx = check_value(lambda: make(1e-3, **options))
    shown = repr(tx)
    defaults = {p.name: p.default for p in inspect.signature(make).parameters.values()}
    assert all(f"{key}=" in shown for key in options if options[key] != defaults[key])
    assert tx != make(2e-3, **options)
    assert make(1e-3) == make(1e-3)


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapper_is_its_call(name):
    check_value(WRAPPED[name])


def test_repr_is_short():
    assert repr(ao.adam(1e-3)) == "adam(learning_rate=0.001)"
    assert repr(ao.lookahead(ao.sgd(0.1), 3)) == "lookahead(inner=sgd(learning_rate=0.1), every=3)"
    assert "<optax.chain>" in repr(ao.lookahead(optax.adam(0.1)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ao.adam(0.1, eps=0.0), ao.adam(0.1, eps=-0.0)),
        (ao.adam(1), ao.adam(1.0)),
        (ao.adam(0.1), ao.adamw(0.1, weight_decay=0.0)),
        (ao.adam(lambda t: 0.1), ao.adam(lambda t: 0.1)),
        (ao.adam(jnp.float32(0.1)), ao.adam(jnp.float32(0.2))),
        (ao.adam(jnp.float32(0.1)), ao.adam(jnp.float16(0.1))),
        (
            ao.switch({"a": ao.sgd(0.1), "b": ao.adam(0.1)}, at=[5]),
            ao.switch({"b": ao.adam(0.1), "a": ao.sgd(0.1)}, at=[5]),
        ),
    ],
)
def test_what_computes_differently_is_not_equal(one, other):
    assert one != other
    assert one == one
    assert ao.adam(0.1, eps=0.0).body.rule.static != ao.adam(0.1, eps=-0.0).body.rule.static


def test_nan_equals_itself_and_arrays_their_bits():
    assert key_of((math.nan, 1)) == key_of((math.nan, 1))
    assert ao.adam(np.array(0.1, np.float32)) == ao.adam(jnp.float32(0.1))
    assert ao.adam(jnp.array([0.1])[0]) == ao.adam(jnp.array(0.1))


def test_options_that_change_later_change_nothing():
    mask, at = {"w": True, "b": False}, [3]
    tx = ao.adamw(0.1, mask=mask)
    chosen = ao.switch({"a": ao.sgd(0.1), "b": ao.adam(0.1)}, at=at)
    before = repr(tx), repr(chosen)
    mask["b"], at[0] = True, 7
    assert (repr(tx), repr(chosen)) == before
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, PARAMS), tx.init(PARAMS), PARAMS)
    assert not np.any(updates["b"])


def test_a_function_that_cannot_be_pickled_is_named():
    with pytest.raises(pickle.PicklingError, match=r"adam\(learning_rate=<function .*schedules"):
        pickle.dumps(ao.adam(lambda t: 0.1))
    copy.deepcopy(ao.adam(lambda t: 0.1))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ao.scale_by_adam(b1=1.2), r"scale_by_adam\(b1=1.2\)"),
        (lambda: ao.adamw(0.1, b1=1.2), r"adamw\(b1=1.2\)"),
        (lambda: ao.lookahead(ao.sgd(0.1), every=0), r"lookahead\(every=0\)"),
        (lambda: ao.descend(ao.scale_by_lion(), -1.0), r"descend\(learning_rate=-1.0\)"),
        (lambda: ao.scale_by_rms(decay=2), r"scale_by_rms\(decay=2\)"),
    ],
)
def test_errors_name_the_function_that_was_called(call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_update_errors_show_the_name():
    tx = ao.adamw(0.1)
    with pytest.raises(ValueError, match=r"adamw.update needs params for weight_decay"):
        tx.update(PARAMS, tx.init(PARAMS))


def compiled():
    return lifting._UPDATE_LEAF._cache_size()


def test_equal_rules_share_one_program():
    def run(**options):
        tx = ao.scale_by_adam(b2=0.987, **options)
        tx.update(PARAMS, tx.init(PARAMS))
        return compiled()

    first = run()
    assert run() == first
    arrays = run(b1=jnp.float32(0.9))
    assert run(b1=jnp.float32(0.5)) == arrays
    assert run(b1=0.7) > arrays
    assert run(eps=0.0) < run(eps=-0.0)


class Slots(NamedTuple):
    """Slots of a rule."""

    trace: jax.Array


FACTOR = {"value": 2.0}


def test_functions_use_the_present_values():
    def init(p):
        return Slots(jnp.zeros_like(p))

    def update(g, slots, p, count):
        return FACTOR["value"] * g, slots

    g = jnp.ones(2)
    tx = ao.leafwise(Slots, init, update)
    same = pickle.loads(pickle.dumps(ao.descend(ao.scale_by_adam(), 0.1)))
    assert same == ao.descend(ao.scale_by_adam(), 0.1)
    assert tx != ao.leafwise(Slots, init, update)
    assert copy.copy(tx) == tx
    try:
        assert tx.update(g, tx.init(g))[0].tolist() == [2.0, 2.0]
        FACTOR["value"] = 3.0
        for each in (tx, ao.leafwise(Slots, init, update), ao.descend(tx, 1.0)):
            sign = -1 if each.body.learning_rate is not None else 1
            assert (sign * each.update(g, each.init(g))[0]).tolist() == [3.0, 3.0]
            assert (sign * jax.jit(each.update)(g, each.init(g))[0]).tolist() == [3.0, 3.0]
    finally:
        FACTOR["value"] = 2.0


class Scaled(ao.Rule):
    """A rule of somebody's own that reads a global besides its option."""

    by: float = 1.0

    def update(self, g, slots, p, step):
        return self.by * FACTOR["value"] * g, slots


def test_a_rule_of_ones_own_is_built_with_the_present_values():
    g = jnp.ones(2)
    tx = ao.leafwise(Scaled(2.0))
    assert tx == ao.leafwise(Scaled(2.0))
    assert repr(Scaled(2.0)) == "Scaled(by=2.0)"
    try:
        assert tx.update(g, tx.init(g))[0].tolist() == [4.0, 4.0]
        FACTOR["value"] = 3.0
        again = ao.descend(Scaled(2.0), 1.0)
        assert again.update(g, again.init(g))[0].tolist() == [-6.0, -6.0]
        assert jax.jit(ao.leafwise(Scaled(2.0)).update)(g, tx.init(g))[0].tolist() == [6.0, 6.0]
    finally:
        FACTOR["value"] = 2.0


def test_rules_with_traced_options_do_not_leak():
    def loss(b1):
        tx = ao.adam(0.1, b1=b1)
        assert "traced" in repr(tx)
        updates, _ = tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
        return jnp.sum(updates)

    with jax.checking_leaks():
        assert np.isfinite(jax.jit(jax.grad(loss))(0.9))
