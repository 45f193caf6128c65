"""What load_state_dict refuses, with the names of the leaves; what it tells; the recorded file."""

import json
import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from moving import PARAMS, assert_same, fresh, used

import adaptive_optax as ao
from adaptive_optax.checkpoint import compared
from adaptive_optax.checkpoint.state_dict import VERSION

FILE = Path(__file__).parent / "recorded" / "state_dict_1.npz"
ADAM = optax.adam(1e-2)
STATE, AFTER = used(ADAM)
SAVED = ao.state_dict(STATE)
WIDER = {"dense": {**PARAMS["dense"], "scale": np.ones(3, np.float32)}}


def without(*names):
    return {name: x for name, x in SAVED.items() if name not in names}


def with_text(text):
    return {**SAVED, "format": np.frombuffer(text, np.uint8)}


def load(saved, tx=ADAM, params=PARAMS, **options):
    return ao.load_state_dict(tx, fresh(params), saved, **options)


def test_a_partial_file():
    for name in ("count", "nu/dense/kernel"):
        with pytest.raises(ValueError, match=f"saved is not whole: it lists {name} and does not"):
            load(without(name))
    with pytest.raises(ValueError, match="lists nu/dense/bias, nu/dense/kernel and does not have"):
        load(without("nu/dense/kernel", "nu/dense/bias"))
    loaded = load(without("nu/dense/kernel"), strict=False)
    assert_same(loaded[0].mu, STATE[0].mu)
    assert not loaded[0].nu["dense"]["kernel"].any()


def test_what_is_lost_on_purpose_is_no_partial_file():
    saved = ao.state_dict(used(ao.lookahead(ADAM))[0])
    del saved["lookahead.anchor/dense/kernel"]
    assert int(load(saved)[0].count) == int(STATE[0].count)


def test_other_shapes():
    other = {"dense": {"kernel": np.ones((4, 2), np.float32), "bias": np.ones(3, np.float32)}}
    message = r"mu/dense/kernel has shape \[4, 3\], and the state's has \[4, 2\]; nu/dense/kernel"
    for strict in (True, False):
        with pytest.raises(ValueError, match=message):
            load(SAVED, params=other, strict=strict)
    freed = without("mu/dense/kernel", "nu/dense/kernel")
    loaded = load(freed, params=other, strict=False)
    assert loaded[0].mu["dense"]["kernel"].shape == (4, 2)


def test_other_kinds():
    with pytest.raises(ValueError, match="count is float32, and the state's is int32"):
        load({**SAVED, "count": jnp.float32(1)})
    noise = [optax.add_noise(0.1, 0.5, jax.random.key(0, impl=i)) for i in ("threefry2x32", "rbg")]
    saved = ao.state_dict(noise[0].init(PARAMS))
    with pytest.raises(ValueError, match="is a PRNG key threefry2x32, and the state's is rbg"):
        load(saved, noise[1])
    del saved["add_noise.rng_key/impl"]
    with pytest.raises(ValueError, match="is no PRNG key, and the state's is threefry2x32"):
        load(saved, noise[0], strict=False)


def test_leaves_that_only_one_side_has():
    with pytest.raises(ValueError, match=r"saved has no mu/dense/scale, nu/dense/scale, but other"):
        load(SAVED, params=WIDER)
    wider = load(SAVED, params=WIDER, strict=False)
    assert_same(wider[0].mu["dense"]["bias"], STATE[0].mu["dense"]["bias"])
    saved = ao.state_dict(wider)
    with pytest.raises(ValueError, match="saved has mu/dense/scale, nu/dense/scale, for which par"):
        load(saved)
    assert_same(load(saved, strict=False), STATE)
    anchored = ao.state_dict(ao.lookahead(optax.sgd(0.1)).init(fresh()))
    with pytest.raises(ValueError, match=r"saved has no lookahead.anchor/dense/scale, but other"):
        load(anchored, ao.lookahead(optax.sgd(0.1)), WIDER)


def test_one_slot_of_a_rule_without_another():
    saved = ao.state_dict(used(ao.lion(0.1))[0])
    with pytest.raises(ValueError, match=r"saved has no nu/dense/bias, nu/dense/kernel, but other"):
        load(saved)
    many = {f"layer{i}": np.ones(2, np.float32) for i in range(12)}
    saved = ao.state_dict(ao.lion(0.1).init(many))
    with pytest.raises(ValueError, match=r"saved has no .*nu/layer5 and 4 more, but other"):
        load(saved, params=many)


def test_nothing_in_common():
    with pytest.raises(ValueError, match="optimizer, trace, saved has none, but mu, nu; give"):
        load(SAVED, optax.sgd(0.1, momentum=0.9))
    assert not load(SAVED, optax.trace(0.9), strict=False).trace["dense"]["bias"].any()
    assert load(SAVED, optax.sgd(0.1)) == optax.sgd(0.1).init(PARAMS)
    load(ao.state_dict(optax.sgd(0.1).init(PARAMS)), ADAM)


def test_no_state_dict():
    with pytest.raises(TypeError, match=r"load_state_dict\(saved=tuple\): saved must be what st"):
        load(STATE)
    with pytest.raises(ValueError, match=r"load_state_dict\(saved=...\): saved has no 'format'"):
        load(without("format"))
    with pytest.raises(ValueError, match=r"compared\(saved=...\): saved has no 'format'"):
        compared(ADAM, PARAMS, {})
    with pytest.raises(ValueError, match=r"its format is 'adaptive_optax.state_dict/2', and this"):
        load(with_text(b"adaptive_optax.state_dict/2\n[]"))
    for text in (b"", b"\n{", b"\n[1]", b"\n" + b"[" * 100_000):
        with pytest.raises(ValueError, match="its list of names, in 'format', is damaged"):
            load(with_text(VERSION.encode() + text))
    with pytest.raises(TypeError, match=r"load_state_dict\(tx=adam\): tx must be an optax transf"):
        load(SAVED, optax.adam)


def test_all_is_told(caplog):
    caplog.set_level(logging.INFO, "adaptive_optax.checkpoint")
    state, params = used(ao.adam(1e-2))
    tx = optax.chain(ao.lookahead(optax.adamw(lambda count: 1e-2)))
    saved = ao.state_dict(state)
    told = compared(tx, params, saved)
    anchors = ("lookahead.anchor/dense/bias", "lookahead.anchor/dense/kernel")
    assert told.new == ("lookahead.count", *anchors)
    assert told.dropped == ("rate/now", "rate/held")
    assert told.carried == (*without("format"), "scale_by_schedule.count")
    assert told.notes == ("scale_by_schedule.count is taken from count",)
    ao.load_state_dict(tx, params, saved)
    [record] = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage() == f"load_state_dict:\n{told}"
    assert "carried: count, mu (2), nu (2), scale_by_schedule.count\n" in str(told)


def recorded():
    """What the recorded file was made of."""
    two = {"fast": ao.lookahead(ao.adam(1e-2)), "slow": optax.sgd(1e-3, momentum=0.9)}
    noise = optax.add_noise(0.1, 0.5, jax.random.key(5))
    return optax.chain(noise, optax.clip(1e3), ao.blend(two, (0.5, 0.5)), optax.ema(0.5))


def test_the_file_of_version_1_loads_for_ever():
    """Made by version 1 and never again: a change that breaks this breaks the files of users."""
    with np.load(FILE, allow_pickle=False) as file:
        loaded = ao.load_state_dict(recorded(), fresh(), file)
        names = json.loads(file["format"].tobytes().partition(b"\n")[2])
        again = ao.state_dict(loaded)
        assert [*names, "format"] == list(again)
        for name in names:
            np.testing.assert_array_equal(again[name], file[name])
        assert int(again["fast:count"]) == 4
        assert abs(file["slow:trace/dense/kernel"]).min() > 0
