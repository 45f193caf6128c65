"""What `warm_start` refuses."""

import jax
import jax.numpy as jnp
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax.learning_rate.warm_start import warm_start

SMALL = {"body": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
FRESH = ao.adam(1.0).init(SMALL)


def tree(head=5):
    return {"params": {"body": {"kernel": jnp.ones(64)}, "head": {"kernel": jnp.ones(head)}}}


def after(tx, params):
    """State after one step of ones."""
    return tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)[1]


OLD = after(ao.adam(1.0), tree())
PLAIN = after(optax.adam(1.0), SMALL)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: warm_start(SMALL, OLD), ValueError, r"^warm_start\(state=.*no slot named mu or n"),
        (lambda: warm_start(FRESH, SMALL), ValueError, r"^warm_start\(pretrained=.*no slot named"),
        (
            lambda: warm_start(FRESH, OLD),
            ValueError,
            r"no slot agrees in path and shape; state has mu of body/bias \[2\].*pretrained mu of "
            r"body/kernel \[64\], .*Start both",
        ),
        (
            lambda: warm_start(FRESH, ao.adam(1.0).init(SMALL)),
            ValueError,
            r"slots/mu/body/bias has seen no update; give the state at the end",
        ),
        (
            lambda: warm_start(FRESH, jax.tree.map(lambda x: jnp.stack([x, x]), PLAIN)),
            ValueError,
            r"no slot agrees",
        ),
        (
            lambda: warm_start(FRESH, jax.tree.map(lambda x: x if x.ndim else x[None], PLAIN)),
            ValueError,
            r"the count of 0/mu/body/bias has shape \(1,\); for a stack of states use jax.vmap",
        ),
        (
            lambda: warm_start(ao.adam(1.0).init(tree(7)), OLD, steps=None),
            ValueError,
            r"^warm_start\(steps=None\): head/kernel is new, .*give steps=10, or give new leaves",
        ),
        (
            lambda: warm_start(
                FRESH,
                after(optax.rmsprop(1.0), SMALL),
                fields=("nu",),
                steps=None,
            ),
            ValueError,
            r"^warm_start\(steps=None\): pretrained has no count for nu; give steps=",
        ),
        (lambda: warm_start(FRESH, OLD, fields="nu"), TypeError, r"\(fields='nu'\): fields must"),
        (lambda: warm_start(FRESH, OLD, fields=()), TypeError, r"\(fields=\(\)\): fields must"),
        (lambda: warm_start(FRESH, OLD, fields={"nu": 1.5}), ValueError, r"\(nu=1.5\): nu must li"),
        (lambda: warm_start(FRESH, OLD, steps=0), ValueError, r"\(steps=0\): steps must be at lea"),
        (lambda: warm_start(FRESH, OLD, where="head"), TypeError, r"\(where='head'\): where must"),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
