"""Every message of the range test."""

import jax.numpy as jnp
import pytest
from test_range_test import QUICK, line_batches, line_loss

import adaptive_optax as ao
from adaptive_optax.learning_rate.range_test import lr_range_test

GOOD = (line_loss, jnp.ones(3), line_batches(), ao.sgd)


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"lowest": 0.0}, ValueError, r"lr_range_test\(lowest=0.0\): .* above 0"),
        ({"highest": 1e-8}, ValueError, r"highest=1e-08\): highest must be above lowest=1e-07"),
        ({"method": "grit"}, ValueError, r"method='grit'\).*did you mean 'grid'"),
        ({"steps": 1}, ValueError, r"steps=1\): steps must be at least 2"),
        ({"steps": 2.5}, TypeError, r"steps=2.5\): steps must be an integer"),
        ({"points": 2}, ValueError, r"points=2\): points must be at least 3"),
        ({"at_once": 0}, ValueError, r"at_once=0\): at_once must be at least 1"),
        ({"tolerance": 1.0}, ValueError, r"tolerance=1.0\): tolerance must be below 1"),
        ({"loss_fn": 1.0}, TypeError, r"loss_fn=1.0\): loss_fn must be a function"),
        ({"loss_fn": lambda w, b: w}, TypeError, r"must return a scalar float, not float32\[3\]"),
        ({"loss_fn": lambda w, b: None}, TypeError, "must return a scalar float, not NoneType"),
        ({"loss_fn": lambda w, b: w[0] / 0}, ValueError, r"params=\.\.\.\): the loss at params is"),
        ({"make_tx": ao.sgd(0.1)}, TypeError, r"make_tx=\w+\): make_tx must be a function"),
        ({"params": jnp.arange(3)}, ValueError, "params must hold at least one array of floats"),
        ({"batches": []}, ValueError, r"batches=\[\]\): give at least one batch"),
        ({"batches": "text"}, TypeError, "batches must be a tree of arrays"),
        ({"batches": (jnp.ones(2), jnp.ones(3))}, ValueError, "one first axis"),
        (
            {"batches": [jnp.ones(2), jnp.ones(3)]},
            ValueError,
            r"batch 1 is .*float32\[3\].*smaller",
        ),
        ({"lowest": 5.0}, ValueError, r"diverges at every rate from 5 to 10; give a smaller"),
    ],
)
def test_errors(changed, kind, message):
    names = ("loss_fn", "params", "batches", "make_tx")
    given = dict(zip(names, GOOD, strict=True)) | QUICK | changed
    with pytest.raises(kind, match=message):
        lr_range_test(**given)
