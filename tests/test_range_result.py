"""What a range test says where rates fail and nothing blows up."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import adaptive_optax as ao
from adaptive_optax.learning_rate.range_result import RangeResult
from adaptive_optax.learning_rate.range_test import lr_range_test

QUICK = {"steps": 30, "points": 9, "at_once": 9}


def saturated(x):
    """Below 1 everywhere: no rate blows it up, and a step too far ends on the flat."""
    return jnp.sum(x**2 / (1 + x**2))


def test_where_rates_fail_without_blowing_up_it_says_from_where():
    found = lr_range_test(saturated, jnp.full(1, 3.0), None, ao.adam, highest=1e5, **QUICK)
    assert found.diverges_at == math.inf
    falls = 0.9 - found.smoothed >= 0.1 * (0.9 - found.smoothed.min())
    at = list(found.learning_rates).index(found.idle_from)
    assert falls[at - 1]
    assert not falls[at:].any()
    assert found.high < found.idle_from < 1e5
    told = f"no run blew up, to 1e+05; from {found.idle_from:.3g} on the loss hardly falls\n"
    assert f"  divergence   {told}" in repr(found)
    texts = [text.get_text() for text in found.plot().texts]
    assert texts[1] == f"hardly falls from {found.idle_from:.2g}"


def test_a_sweep_that_fails_without_blowing_up_says_so():
    settings = {"method": "sweep", "lowest": 1e-3, "highest": 1e3, "steps": 120}
    found = lr_range_test(saturated, jnp.full(1, 3.0), None, ao.adam, **settings)
    assert found.diverges_at == math.inf
    on = f"the run did not blow up, to 1e+03; from {found.idle_from:.3g} on the loss is hardly"
    assert on in repr(found)
    assert found.plot().texts[1].get_text() == f"hardly lower from {found.idle_from:.2g}"


@pytest.mark.parametrize(
    ("method", "losses", "words"),
    [
        ("grid", [2.9, 2.0, 1.0, 1.5], "no run blew up, to 1; above 0.2 the loss falls less"),
        ("sweep", [2.9, 2.0, 1.0, 1.5], "the run did not blow up, to 1; above 0.2 the loss is hi"),
        ("grid", [9.0, 2.0, 1.0, 2.9], "no run above the best did, to 1; there the loss hardly"),
        ("grid", [3.1, 3.2, 3.1, 3.2], "no run blew up, to 1; from 0.001 on the loss hardly falls"),
    ],
)
def test_words_where_nothing_diverges(method, losses, words):
    found = RangeResult(
        method=method,
        learning_rates=np.array([1e-3, 1e-2, 1e-1, 1.0]),
        losses=np.array(losses),
        smoothed=np.minimum(losses, 5.0),
        suggestion=0.05,
        low=0.02,
        high=0.2,
        best=0.1,
        diverges_at=math.inf,
        bracket=(1.0, math.inf),
        first_loss=3.0,
        limit=5.0,
        steps=9,
    )
    assert f"  divergence   {words}" in repr(found)
