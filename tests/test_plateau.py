"""Reduce on plateau against torch's trajectories, a plain loop, and cases worked out by hand."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens.record import FOLDER
from problems import form

from adaptive_optax.learning_rate.plateau import reduce_on_plateau

TORCH = {entry["id"]: entry for entry in json.loads((FOLDER / "torch_plateau.json").read_text())}
# Scales are products of a few factors in float32.
ROUNDING = 1e-5


def scales_of(values, **options):
    """The scale after each value, shape (T,), of each run under jit, vmap and scan: (runs, T)."""
    tx = reduce_on_plateau(**options)

    def step(state, value):
        _, state = tx.update(None, state, value=value)
        return state, state

    start = tx.init(None)
    runs = jnp.atleast_2d(jnp.asarray(values, "float32"))
    last, history = jax.jit(jax.vmap(lambda v: jax.lax.scan(step, start, v)))(runs)
    assert form(jax.tree.map(lambda x: x[0], last)) == form(start)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(last._replace(best_value=0.0)))
    return np.array(history.scale).reshape(np.shape(values))


def oracle(
    values,
    factor=0.1,
    patience=10,
    rtol=1e-4,
    atol=0.0,
    mode="min",
    cooldown=0,
    min_scale=0.0,
    grace=0,
    accumulation_size=1,
    increase=1.0,
    increase_patience=0,
    max_scale=1.0,
    on_nan="skip",
):
    """The scale after each value, by a plain loop over a list."""
    scale, best, bad, good, resting, window, scales = 1.0, None, 0, 0, 0, [], []
    for value in values:
        window.append(float(value))
        if len(window) == accumulation_size:
            finite = [v for v in window if math.isfinite(v)]
            broken = len(finite) < len(window) if on_nan == "bad" else not finite
            window = []
            if broken and on_nan == "skip":
                scales.append(scale)
                continue
            mean = None if broken else sum(finite) / len(finite)
            first = best is None
            gain = 0.0 if first or broken else (best - mean if mode == "min" else mean - best)
            better = not broken and (first or gain > max(atol, rtol * abs(best)))
            best = mean if better else best
            if grace > 0 or resting > 0:
                resting, grace = max(resting - (grace == 0), 0), max(grace - 1, 0)
                bad = good = 0
            elif better:
                bad, good = 0, good + (not first)
            else:
                bad, good = bad + 1, 0
            if bad > patience:
                scale, bad, good, resting = max(scale * factor, min_scale), 0, 0, cooldown
            elif good > increase_patience:
                scale, good = min(scale * increase, max_scale), 0
        scales.append(scale)
    return np.array(scales)


@pytest.mark.parametrize("case", TORCH)
def test_every_reduction_comes_where_torch_has_it(case):
    entry = TORCH[case]
    found = scales_of([float(v) for v in entry["values"]], **entry["ours"])
    np.testing.assert_allclose(found, entry["rates"], rtol=ROUNDING)
    assert len(set(entry["rates"])) > 3


def losses(seed, length=120, holes=0.0):
    draw = np.random.default_rng(seed)
    steps = 0.97 ** np.arange(length) * 3 - 1 + 0.2 * draw.standard_normal(length)
    gone = draw.choice([math.nan, math.inf, -math.inf], length)
    return np.where(draw.random(length) < holes, gone, steps).astype(np.float32)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 3},
        {"factor": 0.5, "patience": 2, "atol": 0.1, "rtol": 0.05, "mode": "max"},
        {"factor": 0.5, "patience": 1, "cooldown": 3, "min_scale": 0.01},
        {"factor": 0.7, "patience": 1, "grace": 30},
        {"factor": 0.7, "patience": 0, "accumulation_size": 4},
        {"factor": 0.7, "patience": 0, "accumulation_size": 4, "on_nan": "bad"},
        {"factor": 0.5, "patience": 0, "increase": 1.05, "rtol": 0.0, "max_scale": 4.0},
        {"factor": 0.5, "patience": 1, "increase": 1.3, "increase_patience": 1, "cooldown": 2},
        {"factor": 0.6, "patience": 4, "on_nan": "bad", "cooldown": 2, "grace": 3},
        {"factor": 0.6, "patience": 2, "increase": 1.2, "grace": 5, "mode": "max"},
    ],
)
def test_scales_are_those_of_a_plain_loop(options):
    runs = [losses(seed, holes=holes) for seed in range(3) for holes in (0.0, 0.3)]
    expected = [oracle(values, **options) for values in runs]
    np.testing.assert_allclose(scales_of(runs, **options), expected, rtol=ROUNDING)
    assert all(scales.min() < 1 for scales in expected)


def test_the_bold_driver_rises_with_each_gain_and_halves_at_a_loss():
    options = {"factor": 0.5, "patience": 0, "increase": 1.05, "rtol": 0.0, "max_scale": 10.0}
    found = scales_of([5.0, 4.0, 3.0, 3.5, 2.0], **options)
    np.testing.assert_allclose(found, [1, 1.05, 1.1025, 0.55125, 0.5788125], rtol=1e-6)


def test_without_a_higher_limit_the_rate_rises_back_to_the_one_given():
    options = {"factor": 0.25, "patience": 0, "increase": 3.0}
    assert scales_of([5.0, 6.0, 4.0, 3.0, 2.0], **options).tolist() == [1, 0.25, 0.75, 1, 1]


@pytest.mark.parametrize("constant", [2.0, 0.0, -2.0])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_constant_value_of_any_sign_is_a_plateau(constant, mode):
    assert scales_of([constant] * 4, patience=1, factor=0.5, mode=mode).tolist() == [1, 1, 0.5, 0.5]


def test_a_loss_below_zero_improves_by_falling_further():
    assert scales_of([-1.0, -1.1, -1.3, -1.5], patience=0).tolist() == [1, 1, 1, 1]
    assert scales_of([-1.0, -0.9, -1.3, -1.2], patience=0, factor=0.5).tolist() == [
        1,
        0.5,
        0.5,
        0.25,
    ]


def test_the_first_values_of_a_warm_up_set_the_best_only():
    options = {"patience": 0, "factor": 0.5, "grace": 3}
    assert scales_of([1.0, 5.0, 5.0, 5.0, 0.5], **options).tolist() == [1, 1, 1, 0.5, 0.5]


def test_the_last_reduction_lands_on_the_floor():
    found = scales_of([1.0] * 5, patience=0, factor=0.5, min_scale=0.3)
    np.testing.assert_allclose(found, [1, 0.5, 0.3, 0.3, 0.3], rtol=1e-6)


@pytest.mark.parametrize("hole", [math.nan, math.inf, -math.inf])
def test_a_hole_neither_counts_nor_becomes_the_best(hole):
    options = {"patience": 1, "factor": 0.5}
    assert scales_of([2.0, hole, hole, hole, 2.0, 2.0], **options).tolist() == [1, 1, 1, 1, 1, 0.5]
    assert scales_of([hole, hole, 2.0, 1.0], **options).tolist() == [1, 1, 1, 1]
    assert scales_of([2.0, hole, hole, 1.0], **options, on_nan="bad").tolist() == [1, 1, 0.5, 0.5]


def test_a_mean_is_of_the_finite_ones():
    options = {"patience": 0, "factor": 0.5, "accumulation_size": 3}
    values = [1.0, 3.0, 2.0, math.nan, 1.0, 2.0, math.nan, math.nan, math.nan, 1.8, 1.0, 1.4]
    assert scales_of(values, **options).tolist() == [1.0] * 12
    assert scales_of(values, **options, on_nan="bad").tolist() == [1.0] * 5 + [0.5] * 3 + [0.25] * 4
