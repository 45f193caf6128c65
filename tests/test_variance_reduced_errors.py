"""What `variance_reduced` refuses, at its construction and at update."""

import jax
import jax.numpy as jnp
import pytest

import adaptive_optax as ao

ONES = jnp.ones(2)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"inner": ao.sgd}, TypeError, r"\(inner=sgd\): inner must be an optax transformation"),
        ({"mode": "strom"}, ValueError, r"\(mode='strom'\): mode must be .* did you mean 'storm'"),
        ({"a": 0.0}, ValueError, r"\(a=0\.0\): a must be finite and above 0"),
        ({"a": 1.5}, ValueError, r"\(a=1\.5\): a must lie in \(0, 1\]"),
        ({"a": "much"}, TypeError, r"\(a='much'\): a must be a number or a scalar array"),
        ({"gamma": -1.0}, ValueError, r"\(gamma=-1\.0\): gamma must be finite and at least 0"),
        ({"b1": 1.0}, ValueError, r"\(b1=1\.0\): b1 must lie in \[0, 1\)"),
    ],
)
def test_options(options, kind, words):
    with pytest.raises(kind, match=f"^variance_reduced{words}"):
        ao.variance_reduced(**{"inner": ao.sgd(0.1), **options})


def test_an_update_without_previous_gradients():
    tx = ao.variance_reduced(ao.sgd(0.1))
    words = r"^variance_reduced\.update needs previous_grads=, .*call previous_grads = jax\.grad\("
    with pytest.raises(ValueError, match=words):
        tx.update(ONES, tx.init(ONES), ONES)
    with pytest.raises(ValueError, match=r"At the first step give grads\."):
        jax.jit(tx.update)(ONES, tx.init(ONES), ONES)


@pytest.mark.parametrize(
    ("grads", "previous", "words"),
    [
        ({"w": ONES}, {"w": jnp.ones(3)}, r"at \['w'\] it is float32\[3\] and .* float32\[2\]\."),
        ({"w": ONES}, {"w": None}, r"at \['w'\] it is None and the gradient is float32\[2\]\."),
        (ONES, ONES + 1j, r"at the root it is complex64\[2\] and the gradient is float32\[2\]"),
        (ONES, jnp.ones(2, int), r"at the root it is int32\[2\] and the gradient is float32"),
        ({"w": ONES}, {"v": ONES}, r"of one loss: "),
        ({"w": ONES}, [ONES], r"of one loss: "),
    ],
)
def test_previous_gradients_that_do_not_fit(grads, previous, words):
    tx = ao.variance_reduced(ao.sgd(0.1))
    head = r"^variance_reduced\.update\(previous_grads=\.\.\.\): previous_grads must be a tree like"
    with pytest.raises(ValueError, match=rf"(?s){head}.*{words}"):
        tx.update(grads, tx.init(grads), grads, previous_grads=previous)
