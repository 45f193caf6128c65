"""The range test: known edges of divergence, curves by NumPy, and what it must not touch."""

import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax.learning_rate import range_analysis as reading
from adaptive_optax.learning_rate.range_batches import stacked
from adaptive_optax.learning_rate.range_test import lr_range_test

QUICK = {"steps": 30, "points": 9, "at_once": 9}


def bowl(curvatures):
    lam = jnp.asarray(curvatures, jnp.float32)
    return lambda x: 0.5 * jnp.sum(lam * x**2)


def momentum(mu, nesterov=False):
    return lambda rate: ao.sgd(rate, momentum=mu, nesterov=nesterov)


FLAT, STEEP = (1e-2, 10, 1e3), (1e4, 2, 10.0)  # largest curvature, dimensions, condition
EDGES = [
    (ao.sgd, 2.0, FLAT),
    (optax.sgd, 2.0, STEEP),
    *((momentum(mu), 2 * (1 + mu), at) for mu, at in [(0.5, STEEP), (0.9, FLAT), (0.95, STEEP)]),
    *(
        (momentum(mu, True), 2 * (1 + mu) / (1 + 2 * mu), at)
        for mu, at in [(0.5, FLAT), (0.9, STEEP), (0.95, FLAT)]
    ),
]


@pytest.mark.parametrize(("make_tx", "edge", "landscape"), EDGES)
def test_the_edge_on_quadratics_is_known(make_tx, edge, landscape):
    """2 / L for descent, 2 (1 + mu) / L with momentum, 2 (1 + mu) / ((1 + 2 mu) L) by Nesterov."""
    largest, size, condition = landscape
    loss = bowl(np.geomspace(largest / condition, largest, size))
    start = jnp.asarray(np.random.default_rng(0).standard_normal(size), jnp.float32)
    found = lr_range_test(loss, start, None, make_tx, highest=1e4, steps=100)
    assert found.diverges_at == pytest.approx(edge / largest, rel=0.03)
    holds, lost = found.bracket
    assert holds < found.diverges_at < lost < 1.02 * holds
    assert found.low <= found.suggestion <= found.high < lost


def line_batches(count=7, size=4):
    draw = np.random.default_rng(1)
    x = draw.standard_normal((count, size, 3))
    return x.astype(np.float32), (x @ [1.0, -2.0, 0.5]).astype(np.float32)


def line_loss(w, batch):
    return jnp.mean((batch[0] @ w - batch[1]) ** 2)


def by_numpy(rates, w, batches):
    """Losses of plain descent, in float64, a rate each step."""
    x, y = (np.asarray(part, float) for part in batches)
    losses = []
    for t, rate in enumerate(rates):
        rest = x[t % len(x)] @ w - y[t % len(x)]
        losses.append(np.mean(rest**2))
        w = w - rate * 2 * x[t % len(x)].T @ rest / len(rest)
    return np.array(losses)


def test_curves_of_the_grid_are_those_of_descent():
    found = lr_range_test(line_loss, jnp.ones(3), line_batches(), ao.sgd, highest=0.1, **QUICK)
    for rate, curve in zip(found.learning_rates, found.curves, strict=True):
        np.testing.assert_allclose(
            curve, by_numpy([rate] * 30, np.ones(3), line_batches()), rtol=1e-3, atol=1e-6
        )
    np.testing.assert_allclose(found.losses, found.curves[:, 24:].mean(1))
    still = by_numpy([0.0] * 30, np.ones(3), line_batches())
    assert found.first_loss == pytest.approx(still[24:].mean(), rel=1e-5)


def test_the_sweep_is_one_run_at_a_growing_rate():
    found = lr_range_test(
        line_loss, jnp.ones(3), line_batches(), ao.sgd, method="sweep", steps=60, highest=100.0
    )
    np.testing.assert_allclose(found.learning_rates, np.geomspace(1e-7, 100.0, 60))
    expected = by_numpy(found.learning_rates, np.ones(3), line_batches())
    kept = np.isfinite(found.losses) & (found.learning_rates < 0.3)
    np.testing.assert_allclose(found.losses[kept], expected[kept], rtol=1e-3, atol=1e-6)
    assert 0.05 < found.diverges_at < 20
    assert found.low <= found.suggestion <= found.high < found.diverges_at


def test_a_lost_run_touches_no_other():
    few = lr_range_test(bowl([1.0, 9.0]), jnp.ones(2), None, ao.adam, highest=1e-1, **QUICK)
    wide = QUICK | {"points": 33}
    many = lr_range_test(bowl([1.0, 9.0]), jnp.ones(2), None, ao.adam, highest=1e17, **wide)
    assert many.losses[-1] > 1e6 * many.first_loss
    np.testing.assert_allclose(many.learning_rates[:9], few.learning_rates)
    np.testing.assert_allclose(many.losses[:9], few.losses, rtol=1e-4)


@pytest.mark.parametrize("method", ["grid", "sweep"])
def test_nothing_trips_debug_nans(method):
    def loss(x):
        return jnp.sum(jnp.exp(x) - x)

    with jax.debug_nans(True):
        found = lr_range_test(loss, jnp.ones(3), None, ao.sgd, highest=1e6, method=method, **QUICK)
    assert math.isfinite(found.diverges_at)


def test_nan_from_some_step_on_is_marked():
    def loss(x, batch):
        return jnp.sum(x**2) + jnp.where(x[0] < 0.5, jnp.nan, 0.0) + 0 * batch

    found = lr_range_test(loss, jnp.ones(1), jnp.zeros(4), ao.sgd, **QUICK)
    lost = ~np.isfinite(found.losses)
    assert 0 < lost.sum() < 9
    assert np.all(np.isfinite(found.curves[:, 0]))
    assert found.suggestion < found.diverges_at < found.learning_rates[lost][0] * 1.01


def test_params_and_batches_stay_and_runs_repeat():
    params = {"w": jnp.ones(3)}
    given = line_batches()

    def once():
        return lr_range_test(lambda p, b: line_loss(p["w"], b), params, given, ao.adam, **QUICK)

    one, other = once(), once()
    np.testing.assert_array_equal(params["w"], np.ones(3))
    np.testing.assert_array_equal(given[0], line_batches()[0])
    np.testing.assert_array_equal(one.curves, other.curves)
    assert one.suggestion == other.suggestion


class Loader:
    def __iter__(self):
        return zip(*line_batches(), strict=True)


def test_all_forms_of_batches_are_one():
    x, y = line_batches()
    for_ever = itertools.cycle(zip(x, y, strict=True))
    for form in ((x, y), list(zip(x, y, strict=True)), Loader(), for_ever):
        made, count = stacked("f", form, steps=7)
        assert count == 7
        for found, expected in zip(made, (x, y), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert stacked("f", Loader(), steps=3)[1] == 3
    assert stacked("f", None, steps=3) == (None, 1)


def test_neither_a_list_nor_runs_at_a_time_matter():
    pairs = list(zip(*line_batches(), strict=True))
    found = lr_range_test(line_loss, jnp.ones(3), pairs, ao.sgd, **QUICK)
    direct = lr_range_test(line_loss, jnp.ones(3), line_batches(), ao.sgd, **QUICK | {"at_once": 4})
    np.testing.assert_allclose(found.losses, direct.losses, rtol=1e-4)
    assert found.diverges_at == pytest.approx(direct.diverges_at, rel=0.03)


def test_a_refused_traced_rate_becomes_a_schedule():
    def make(rate):
        if isinstance(rate, jax.Array):
            raise TypeError("no arrays, please")
        return optax.chain(optax.scale_by_schedule(lambda count: -rate(count)))

    found = lr_range_test(line_loss, jnp.ones(3), line_batches(), make, **QUICK)
    direct = lr_range_test(line_loss, jnp.ones(3), line_batches(), optax.sgd, **QUICK)
    np.testing.assert_allclose(found.curves, direct.curves, rtol=1e-5)


def test_where_both_are_refused_the_first_error_is_told():
    def make(rate):
        raise KeyError("neither" if callable(rate) else "at all")

    with pytest.raises(KeyError, match="at all") as caught:
        lr_range_test(line_loss, jnp.ones(3), line_batches(), make, **QUICK)
    assert "make_tx" in caught.value.__notes__[-1]
    assert "neither" in caught.value.__notes__[-1]


def test_update_gets_value_grad_and_value_fn():
    def make(rate):
        def update(grads, state, params=None, *, value, grad, value_fn):
            same = jnp.abs(value - value_fn(params)) < 1e-6
            return jax.tree.map(lambda g: jnp.where(same, -rate * g, 1e9), grad), state

        return optax.GradientTransformationExtraArgs(lambda p: optax.EmptyState(), update)

    found = lr_range_test(line_loss, jnp.ones(3), line_batches(), make, **QUICK)
    direct = lr_range_test(line_loss, jnp.ones(3), line_batches(), optax.sgd, **QUICK)
    np.testing.assert_allclose(found.curves, direct.curves, rtol=1e-4)


@pytest.mark.parametrize(
    "make_tx",
    [ao.soap, ao.muon, ao.lion, lambda rate: ao.lookahead(ao.sgd(rate))],
)
def test_matrices_and_odd_leaves(make_tx):
    kernel = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)), jnp.bfloat16)
    params = {"kernel": kernel, "count": jnp.arange(3), "none": None, "empty": jnp.zeros((0,))}
    found = lr_range_test(
        lambda p: jnp.sum(p["kernel"].astype(jnp.float32) ** 2), params, None, make_tx, **QUICK
    )
    assert np.min(found.smoothed) < 0.7 * found.first_loss
    assert found.low <= found.suggestion <= found.high


def test_the_key_is_of_the_step_and_the_same_at_all_rates():
    def loss(x, key):
        return jnp.sum(x**2) + jax.random.normal(key)

    key = jax.random.key(3)
    found = lr_range_test(loss, jnp.zeros(2), None, lambda r: ao.sgd(0.0), key=key, **QUICK)
    expected = [float(jax.random.normal(jax.random.fold_in(key, t))) for t in range(30)]
    np.testing.assert_allclose(found.curves, np.tile(expected, (9, 1)), rtol=1e-5)


def test_nowhere_diverging_is_inf_and_advice_is_given():
    found = lr_range_test(bowl([1.0]), jnp.ones(1), None, ao.sgd, highest=0.1, **QUICK)
    assert found.diverges_at == math.inf
    assert found.bracket == (0.1, math.inf)
    assert found.high == 0.1
    assert found.idle_from == math.inf
    assert "  divergence   no run blew up, to 0.1\n" in repr(found)
    assert "give a larger highest than 0.1" in found.advice


def test_where_nothing_trains_advice_is_given():
    found = lr_range_test(bowl([1.0]), jnp.ones(1), None, lambda rate: optax.sgd(0.0), **QUICK)
    assert "no rate lowers the loss" in repr(found)


def test_the_result_prints_and_is_json():
    found = lr_range_test(bowl([1.0, 10.0]), jnp.ones(2), None, ao.sgd)
    printed = repr(found)
    assert "grid: 33 rates of 300 steps" in printed
    assert "diverges at  0.2" in printed
    assert found.advice == ""
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["suggestion"] == found.suggestion
    assert plain["losses"][-1] is None
    assert found.suggested_range == (found.low, found.high)
    assert 0.2 / 30 < found.suggestion < 0.2


@pytest.mark.parametrize("method", ["grid", "sweep"])
def test_the_plot_has_curve_suggestion_and_edge(method, tmp_path):
    found = lr_range_test(bowl([1.0, 9.0]), jnp.ones(2), None, ao.sgd, method=method, highest=1e3)
    axes = found.plot()
    assert axes.get_xscale() == "log"
    words = [text.get_text() for text in axes.texts]
    assert words == [f"take {found.suggestion:.2g}", f"diverges at {found.diverges_at:.2g}"]
    axes.figure.savefig(tmp_path / "plot.png")
    assert found.plot(axes) is axes


def test_the_limit_moves_with_the_loss():
    start = np.array([3.0, 5.0])
    limit = reading.limit_above(start, lowest=1.0)
    assert limit == 7.0
    assert reading.limit_above(10 * start - 100, lowest=10 - 100) == 10 * limit - 100
    assert reading.limit_above(start, lowest=3.9) == 5.0  # no less than the batches differ


def test_divergence_below_the_best_rate_counts_for_nothing():
    assert reading.first_diverged(np.array([9.0, 2.0, 1.0, np.inf]), limit=5.0) == 3
    assert reading.first_diverged(np.array([9.0, 2.0, 1.0, 4.0]), limit=5.0) is None
