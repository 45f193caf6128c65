"""What the report says of a run in words and numbers, and which points of a line it keeps."""

import numpy as np
import pytest
from report_cases import INF, NAN, run, series

from adaptive_optax.report.drawing import thinned
from adaptive_optax.report.notes import notes
from adaptive_optax.report.runs import summary, total


@pytest.mark.parametrize("points", [4, 5, 10, 101])
def test_thinning_keeps_extremes_and_ends(points):
    rng = np.random.default_rng(points)
    for size in (points, points + 1, 1000):
        places = np.sort(rng.choice(10**6, size, replace=False))
        values = rng.normal(size=size)
        values[rng.random(size) < 0.3] = NAN
        kept = thinned(places, values, points)
        known = np.flatnonzero(np.isfinite(values))
        assert len(kept) <= points
        assert (np.diff(kept) > 0).all()
        assert np.isfinite(values[kept]).all()
        assert {known[0], known[-1]} <= set(kept)
        assert values[kept].min() == values[known].min()
        assert values[kept].max() == values[known].max()


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"loss": [2.0, 1.0]}, []),
        ({"loss": [2.0, NAN, 1.0]}, ["loss is not finite at step 1"]),
        ({"loss": [2.0, INF, 1.0, NAN]}, ["loss is not finite in 2 of 4 rows, first at step 1"]),
        ({"loss": [1.0, 3.0]}, ["loss ends at 3, above its start, 1"]),
        ({"loss": [NAN, NAN, 2.0, 1.0]}, []),  # not known yet
        ({"loss": [INF, 1.0]}, ["loss is not finite at step 0"]),
        ({"loss": [NAN], "gradient_norm": [NAN]}, ["nan in all rows: loss, gradient norm"]),
        ({"cosine": [0.5, NAN, 0.5], "update_ratio": [0.01, NAN]}, []),
        (
            {"gradient_norm__head": [1, NAN, INF]},
            ["gradient norm/head is not finite from step 1 on"],
        ),
        ({"gradient_norm": [1, 0, 0]}, ["gradient norm is 0 from step 1: nothing is learned"]),
        ({"gradient_norm__rest": [0, 0, 0]}, []),  # a group that is empty
        ({"learning_rate": [0.0, 1.0, 0.0]}, []),  # a warm-up from 0, a decay to 0
        ({"learning_rate": [0.1, 0.0, 0.0]}, ["learning rate is 0 from step 1"]),
        ({"learning_rate": [0.0, 0.0]}, ["learning rate is 0 from step 0"]),
        (
            {"update_ratio": [0.01, 0.5, 0.1]},
            ["update ratio is above 1e-01 at step 1; the largest is 0.5"],
        ),
        ({"skipped": [0, 1, 0, 1]}, ["skipped 2 steps"]),
        ({"skipped": [0, 1, 1]}, ["skipped 1 step"]),
        ({"skipped": [0, 0]}, []),
        ({}, ["the log has no rows"]),
    ],
)
def test_notes(metrics, expected):
    assert notes(run(**metrics)) == expected


DRAW = np.random.default_rng(0)
T = np.arange(60)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (np.linspace(2.31, 2.30, 50), "2.31 to 2.3"),
        (np.linspace(2.31, 2.30, 49), None),  # too short to tell
        (np.full(50, -1.0), "-1 to -1"),
        (np.linspace(-1.0, -1.005, 50), "-1 to -1.005"),
        (np.linspace(-1.0, -2.0, 50), None),
        (np.linspace(0.001, -3.0, 50), None),
        (np.linspace(2.31, 2.2, 50), None),
        (np.full(60, 1e308), None),  # no sum of these is known
        ([2.31, *np.full(100, 0.1)], None),  # at once
        ([0.09, 2.31, 2.0, *np.full(100, 0.09)], None),  # low by chance at first
        (np.where(abs(T - 30) < 6, 1.0, 2.31), None),  # and lost again
        ([2.31, *2.3 + 0.02 * DRAW.standard_normal(200), 2.30], "2.31 to 2.29"),  # of batches
        ([2.31, *2.3 * 0.99**T + 0.1 * DRAW.standard_normal(60)], None),
    ],
)
def test_a_loss_that_has_hardly_fallen(loss, expected):
    told = [] if expected is None else [f"the loss has hardly fallen: {expected}"]
    found = notes(run(loss=loss))
    assert [text[: len(told[0])] if told else text for text in found] == told


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 2, 7], 7), ([1, 1, 1], 1), ([0, 1, 0, 1, 1], 3), ([3, 0, 2], 2), ([3, NAN], 3)],
)
def test_counts_and_flags(values, expected):
    assert total(series(*values)) == expected


def test_summary_of_groups_alone():
    found = summary(
        run(learning_rate__a=[0.1, 0.2], learning_rate__b=[0.1, 0.4], loss=[NAN, INF, NAN])
    )
    assert found.last_rates == (0.2, 0.4)
    assert str((found.final_loss, found.best_loss, found.best_step)) == "(nan, None, None)"
