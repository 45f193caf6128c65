"""States in codes by name: back bit for bit, and over to other formats and to none."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from moving import assert_same, in_a_file, used

import adaptive_optax as ao
from adaptive_optax.checkpoint import compared

PARAMS = {"large": np.full((128, 128), 0.1, np.float32), "small": np.ones(3, np.float32)}
FORMATS = {
    "bfloat16": ao.bfloat16(),
    "minifloat8": ao.minifloat8(),
    "int8": ao.int8(),
    "int4": ao.int4(),
    "factored": ao.factored(),
}


def numbers(state):
    """All numbers of slots, in float32."""
    return [np.asarray(x, np.float32) for x in jax.tree.leaves(state) if jnp.ndim(x)]


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_format_comes_back_bit_for_bit(name, tmp_path):
    tx = optax.chain(optax.clip(1e3), ao.lookahead(ao.stored(ao.adam(1e-2), FORMATS[name])))
    state, params = used(tx, PARAMS)
    saved = in_a_file(ao.state_dict(state), tmp_path)
    assert_same(ao.load_state_dict(tx, params, saved), state)
    moved = ao.stored(optax.chain(ao.adam(1e-2)), FORMATS[name])
    assert_same(
        ao.load_state_dict(moved, params, saved).inner_state[0], state[1].inner_state.inner_state
    )


@pytest.mark.parametrize("name", FORMATS)
def test_into_float32_and_back(name):
    inner = ao.adam(1e-2)
    packed = ao.stored(inner, FORMATS[name])
    state, params = used(packed, PARAMS)
    plain = ao.load_state_dict(inner, params, ao.state_dict(state))
    assert_same(plain, state.decoded())
    back = ao.load_state_dict(packed, params, ao.state_dict(plain))
    assert_same(back, packed.init(params).encoded(plain))
    told = compared(packed, params, ao.state_dict(plain))
    assert not told.new
    assert not told.dropped


def test_from_one_format_to_another():
    state, params = used(ao.stored(optax.adam(1e-2), ao.int8()), PARAMS)
    other = ao.stored(optax.adam(1e-2), ao.bfloat16())
    loaded = ao.load_state_dict(other, params, ao.state_dict(state))
    assert_same(loaded, other.init(params).encoded(state.decoded()))
    told = compared(other, params, ao.state_dict(state))
    assert {name.partition("/")[0] for name in told.dropped} == {"stored.kept"}
    for a, b in zip(numbers(loaded.decoded()), numbers(state.decoded()), strict=True):
        np.testing.assert_allclose(a, b, rtol=2**-8)


def test_codes_of_another_layout_are_not_taken():
    """Their arrays look the same, and mean something else: the numbers tell."""
    tx = ao.stored(ao.adam(1e-2), ao.int8())
    state, params = used(tx, PARAMS)
    saved = ao.state_dict(state)
    layout = np.asarray(saved["stored.kept/stored.layout"]).tobytes()
    saved["stored.kept/stored.layout"] = np.frombuffer(
        layout.replace(b"int8/1", b"int8/9"), np.uint8
    )
    saved["stored.kept/mu/large"] = np.zeros((128, 128), np.uint8)
    loaded = ao.load_state_dict(tx, params, saved)
    assert_same(loaded, tx.init(params).encoded(state.decoded()))


def test_rounded_parameters_keep_what_was_rounded_off():
    params = {"w": np.full((8, 4), 3.0, jnp.bfloat16)}
    tx = ao.rounded(ao.adam(1e-3), "kahan")
    state, params = used(tx, params)
    saved = ao.state_dict(state)
    assert saved["rounded.compensation/w"].dtype == jnp.float32
    assert_same(ao.load_state_dict(tx, params, saved), state)
    assert_same(ao.load_state_dict(ao.adam(1e-3), params, saved), state.inner_state)
