"""The gallery covers every optimizer, and draws."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from catalogue import CASES
from matplotlib.image import imread

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "gallery.png"


@pytest.fixture(scope="module")
def gallery():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("gallery")


def test_every_optimizer_has_its_panels(gallery):
    words = {word for row in gallery.TABLE for word in re.findall(r"\w+", row.name)}
    assert words >= {row.names[0] for row in CASES}
    assert words >= {row.id for row in CASES if row.rule and "(" not in row.id}
    assert len({row.name for row in gallery.TABLE}) == len(gallery.TABLE)


def test_grids_are_of_one_size_around_their_centres(gallery):
    for row in gallery.TABLE:
        rates = gallery.grid(row.centre)
        assert len(rates) == gallery.RATES
        np.testing.assert_allclose(rates[gallery.RATES // 2], row.centre)
        np.testing.assert_allclose(rates[1:] / rates[:-1], 10**0.5)


def test_landscapes_have_their_minima_where_they_say(gallery):
    for landscape in gallery.LANDSCAPES:
        least = landscape.loss(np.array(landscape.minimum, np.float32))
        x, y, heights = gallery._heights(landscape)
        assert float(least) <= heights.min()
        for point in (landscape.start, landscape.minimum):
            assert x[0] < point[0] < x[-1]
            assert y[0] < point[1] < y[-1]


def test_the_best_rate_is_the_least_median_and_a_diverged_run_the_worst(gallery):
    losses = np.full((gallery.RATES, gallery.SEEDS), 2.0)
    losses[1] = [np.nan] * (gallery.SEEDS // 2 + 1) + [0.0] * (gallery.SEEDS // 2)
    losses[3, gallery.SEEDS // 2 :] = 1.0
    rates, points = np.arange(1.0, gallery.RATES + 1), np.zeros((*losses.shape, 2, 2))
    best = gallery._best(rates, points, losses)
    assert (best.rate, best.loss) == (4.0, 1.0)


def test_draws_two(gallery, tmp_path, capsys):
    out = tmp_path / "two.png"
    assert gallery.main(["--out", str(out), "--optimizers", "adam, lion"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["adam", "lion"]
    picture = imread(out)
    assert picture.shape[0] > 2 * gallery.PANEL
    assert picture.std() > 0.02


def test_says_which_names_it_knows(gallery, tmp_path, capsys):
    assert gallery.main(["--out", str(tmp_path / "none.png"), "--optimizers", "adm"]) == 2
    assert "unknown optimizer 'adm'; known are sgd, momentum" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_picture_is_there_in_full_and_light(gallery):
    lines = -(-len(gallery.TABLE) // gallery.COLUMNS)
    high, wide, _ = imread(PICTURE).shape
    assert wide >= gallery.COLUMNS * gallery.PANEL
    assert high >= 2 * lines * gallery.PANEL
    assert PICTURE.stat().st_size < 900_000
