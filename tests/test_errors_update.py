"""Refused calls of `update`, by message: missing parameters, trees and masks that do not match."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import grads_of, params_of

import adaptive_optax as ao

NEED_PARAMS = [
    (
        ao.adamw(0.1),
        r"^adamw\.update needs params for weight_decay; call tx\.update\(grads, state, ",
    ),
    (ao.lion(0.1, weight_decay=0.1), r"^lion\.update needs params for weight_decay; "),
    (ao.lion(0.1, weight_decay=lambda count: 0.1), r"^lion\.update needs params for weight_decay"),
    (ao.descend(ao.ema(0.9), 0.1, weight_decay=0.1), r"^ema\.update needs params for weight_decay"),
    (
        ao.descend(optax.scale_by_adam(), 0.1, weight_decay=0.1),
        r"^descend\.update needs params for weight_decay; call",
    ),
    (ao.adam(0.1, l2=0.1), r"^adam\.update needs params for l2; call tx\.update\(grads, state, "),
    (ao.lamb(0.1), r"^lamb\.update needs params for their norms; call tx\.update\("),
    (ao.lars(0.1), r"^lars\.update needs params for their norms; call tx\.update\("),
    (ao.adafactor(), r"^adafactor\.update needs params for scale_by_parameter; call tx\.update\("),
    (ao.prodigy(), r"^prodigy\.update needs params for its distances; call tx\.update\("),
    (ao.dadapt_adam(), r"^dadapt_adam\.update needs params for its distances; call tx\.update\("),
    (ao.dog(), r"^dog\.update needs params for its distances; call tx\.update\("),
    (ao.dowg(), r"^dowg\.update needs params for its distances; call tx\.update\("),
    (ao.averaged(ao.sgd(0.1)), r"^averaged\.update needs params for its average; call tx\.up"),
    (ao.schedule_free(ao.sgd(0.1)), r"^schedule_free\.update needs params for its average; call"),
    (ao.lookahead(ao.sgd(0.1)), r"^lookahead\.update needs params for its slow weights; call tx"),
]


@pytest.mark.parametrize(("tx", "words"), NEED_PARAMS, ids=[words for _, words in NEED_PARAMS])
def test_update_without_params(tx, words):
    state = tx.init(params_of())
    with pytest.raises(ValueError, match=words):
        tx.update(grads_of(params_of()), state)
    with pytest.raises(ValueError, match=words):
        jax.jit(tx.update)(grads_of(params_of()), state)


ONES = jnp.ones(2)
MISMATCHED = [  # gradients, parameters, words
    ({"w": ONES}, {"w": ONES, "b": ONES}, r"structure at \['w'\] against \['b'\]; give both"),
    ({"w": ONES, "b": ONES}, {"w": ONES}, r"structure at \['b'\] against \['w'\]"),
    ({"a": {"w": ONES}}, {"a": {"v": ONES}}, r"structure at \['a'\]\['w'\] against \['a'\]\['v'\]"),
    ([ONES], (ONES,), r"structure at its containers: .* against "),
    (ONES, {"w": ONES}, r"structure at the root against \['w'\]"),
    (
        {"a": {"w": jnp.ones(3)}},
        {"a": {"w": ONES}},
        r"at \['a'\]\['w'\] the gradient is float32\[3\] and the parameter is float32\[2\]; shapes",
    ),
    (jnp.ones((2, 1)), ONES, r"at the root the gradient is float32\[2, 1\] and the parameter is"),
    (
        {"w": ONES * 1j, "b": ONES},
        {"w": ONES, "b": ONES},
        r"at \['w'\] the gradient is complex64\[2\] .* a real parameter takes a real gradient\.",
    ),
]


@pytest.mark.parametrize(("grads", "params", "words"), MISMATCHED)
def test_gradients_that_do_not_match_the_params(grads, params, words):
    for tx in (ao.lion(0.1), ao.lookahead(ao.lion(0.1))):
        with pytest.raises(ValueError, match=rf"^lion\.update: .*{words}"):
            tx.update(grads, tx.init(params), params)


def test_a_mask_of_another_structure():
    tx, params = ao.adamw(0.1, mask={"v": True}), {"w": ONES}
    with pytest.raises(ValueError, match=r"^adamw\(mask=\.\.\.\): mask must be a tree of bools"):
        tx.update(params, tx.init(params), params)


def test_a_complex_parameter_takes_a_real_gradient():
    tx = ao.lion(0.1)
    updates, _ = tx.update(ONES, tx.init(ONES * 1j), ONES * 1j)
    assert updates.dtype == jnp.complex64


@pytest.mark.parametrize("with_params", [True, False])
def test_a_state_of_other_parameters(with_params):
    tx, params = ao.adam(0.1), {"w": ONES, "b": ONES}
    with pytest.raises(ValueError, match=r"^adam\.update: the state does not fit the gradients; "):
        tx.update(params, tx.init({"w": ONES}), params if with_params else None)


def test_errors_do_not_change_what_follows():
    """A refused update leaves the state usable."""
    tx, params = ao.adam(0.1), {"w": ONES}
    state = tx.init(params)
    with pytest.raises(ValueError, match="shapes must agree"):
        tx.update({"w": jnp.ones(3)}, state, params)
    updates, _ = tx.update({"w": ONES}, state, params)
    np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-6)
