"""The range of rates to try in fine-tuning, from a peak, from rates and from records."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaptive_optax.learning_rate.suggested_range import suggested_range
from adaptive_optax.logging.read_log import Series

HALF = 10**0.5
NAN, INF = float("nan"), float("inf")


def test_the_rule():
    assert suggested_range(1e-3) == pytest.approx((1e-4 / HALF, 1e-3 * HALF))
    # What papers chose, but for RoBERTa's lowest.
    for peak, chosen in ((1e-4, (5e-5, 3e-5, 2e-5)), (2e-4, (1e-4,)), (6e-4, (2e-5, 3e-5))):
        low, high = suggested_range(peak)
        assert all(low < rate < high for rate in chosen)


RATES = [0.0, 0.05, 0.1, 0.02]


@pytest.mark.parametrize(
    "pretraining",
    [
        0.1,
        np.float64(0.1),
        jnp.float32(0.1),
        RATES,
        tuple(map(jnp.float32, RATES)),
        np.array(RATES),
        jnp.array([RATES, RATES]),
        [NAN, INF, 0.1, -INF],
        jnp.array([NAN, 0.1, INF]),
        {"learning_rate": RATES, "loss": [3.0, 2.0, 1.0, 1.0]},
        {"learning_rate": jnp.array([NAN, *RATES]), "loss": jnp.arange(5.0)},
        {"learning_rate": 0.1, "step": 10},
        [{"learning_rate": rate, "loss": 1.0} for rate in RATES],
        [{"loss": 1.0}, {"learning_rate": NAN}, {"learning_rate": jnp.array(RATES)}],
        {"learning_rate": Series(np.arange(4), np.array(RATES)), "loss": None},
    ],
)
def test_the_largest_finite_rate_counts(pretraining):
    assert suggested_range(pretraining) == pytest.approx((0.01 / HALF, 0.1 * HALF))


def test_a_generator_and_half_precision():
    records = ({"learning_rate": rate} for rate in (1e-4, 6e-3, 1e-5))
    assert suggested_range(records) == pytest.approx((6e-4 / HALF, 6e-3 * HALF))
    found = suggested_range(jnp.array([0.25, 0.125], jnp.bfloat16))
    assert found == pytest.approx((0.025 / HALF, 0.25 * HALF))


def test_metrics_stacked_by_scan():
    def step(count, _):
        return count + 1, {"learning_rate": 0.1 * (count + 1) / 4, "loss": 1.0 / (count + 1)}

    _, seen = jax.lax.scan(step, jnp.float32(0), None, length=4)
    assert suggested_range(seen) == pytest.approx((0.01 / HALF, 0.1 * HALF))


@pytest.mark.parametrize(
    ("pretraining", "kind", "message"),
    [
        ([{"loss": 1.0}], ValueError, r"=list\): it holds no 'learning_rate'; give the peak rate"),
        ({"loss": [1.0]}, ValueError, r"=dict\): it holds no 'learning_rate'"),
        ([], ValueError, r"=list\): it holds no"),
        (jnp.zeros(0), ValueError, r"it holds no"),
        (0.0, ValueError, r"=0.0\): pretraining must be finite and above 0"),
        (jnp.float32(-1), ValueError, r"=-1.0\): pretraining must be finite and above 0"),
        ([0.0, 0.0], ValueError, r"=0.0\): pretraining must be finite and above 0"),
        ([NAN, NAN], ValueError, r"=nan\): pretraining must be finite and above 0"),
        ({"learning_rate": INF}, ValueError, r"=inf\): pretraining must be finite"),
        ("0.1", TypeError, r"='0.1'\): pretraining must be a number, an array or list of rates"),
        ({"learning_rate": ["a"]}, TypeError, r"='a'\): pretraining must be a number"),
        (np.array(["0.1"]), TypeError, r"pretraining must be a number"),
        (None, TypeError, r"=None\): pretraining must be a number"),
        (True, TypeError, r"=True\): pretraining must be a number"),
        (jnp.array([True]), TypeError, r"pretraining must be a number"),
        ({"learning_rate": len}, TypeError, r"function len>\): pretraining must be a number"),
    ],
)
def test_errors(pretraining, kind, message):
    with pytest.raises(kind, match=r"^suggested_range\(pretraining.*" + message):
        suggested_range(pretraining)
