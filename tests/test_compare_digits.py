import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaptive_optax import cli
from adaptive_optax.comparison.tasks.augmentation import moved
from adaptive_optax.comparison.tasks.digits import digits
from adaptive_optax.comparison.tasks.models import LeNet5, PatchConv
from adaptive_optax.comparison.tasks.splits import stratified


@pytest.fixture(scope="module")
def task():
    return digits()


def test_patches_times_kernel_is_a_convolution():
    x = np.random.RandomState(0).randn(3, 9, 8, 4).astype(np.float32)  # channels, h, w, batch
    layer = PatchConv(6)
    params = layer.init(jax.random.key(0), x)
    kernel = params["params"]["kernel"].reshape(6, 5, 5, 3)  # out, across, down, channels
    expected = jax.lax.conv_general_dilated(
        x,
        jnp.transpose(kernel, (2, 1, 3, 0)),
        (1, 1),
        "VALID",
        dimension_numbers=("CHWN", "HWIO", "CHWN"),
    )
    np.testing.assert_allclose(layer.apply(params, x), expected, atol=1e-5)


def test_the_layers_are_lenets():
    params = jax.eval_shape(LeNet5().init, jax.random.key(0), jnp.zeros((1, 32, 32, 1)))["params"]
    shapes = {name: layer["kernel"].shape for name, layer in params.items()}
    assert shapes == {
        "PatchConv_0": (6, 25),
        "PatchConv_1": (16, 150),
        "Dense_0": (400, 120),
        "Dense_1": (120, 84),
        "Dense_2": (84, 10),
    }


def test_the_data_are_split_by_class(task):
    sizes = [split.size for split in (task.train, task.validation, task.test)]
    assert sum(sizes) == 1797
    assert task.train.inputs.shape[1:] == (16, 16, 1)
    for split in (task.train, task.validation, task.test):
        shares = np.bincount(split.targets, minlength=10) / split.size
        assert shares.min() > 0.08
    rows = stratified(np.repeat(np.arange(10), 30), (0.6, 0.2, 0.2))
    assert sorted(np.concatenate(rows).tolist()) == list(range(300))


def test_no_motion_leaves_pictures_as_they_are():
    x = np.random.RandomState(0).rand(4, 16, 16, 3).astype(np.float32)
    np.testing.assert_allclose(moved(jax.random.key(0), x, 0.0, 0.0), x, atol=1e-5)


def test_motion_keeps_most_of_the_ink(task):
    x = task.train.inputs[:64]
    one = moved(jax.random.key(0), x, 10.0, 1.0)
    other = moved(jax.random.key(1), x, 10.0, 1.0)
    assert not np.allclose(one, other)
    assert 0.9 < float(one.sum() / x.sum()) < 1.1


def test_mirrored_pictures_are_half():
    x = np.zeros((400, 4, 4, 1), np.float32)
    x[:, :, 0] = 1
    found = np.asarray(moved(jax.random.key(0), x, 0.0, 0.0, mirrored=True))
    assert 0.4 < np.mean(found[:, 0, 3, 0] > 0.5) < 0.6
    assert set(np.round(found[:, 0, :, 0].sum(-1), 5)) == {1.0}


@pytest.mark.slow
def test_the_default_run(tmp_path):
    assert cli.main(["compare", "--out", str(tmp_path)]) == 0
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = {row["optimizer"]: row for row in csv.DictReader(file)}
    assert len(rows) == 22
    assert min(float(row["test_mean"]) for row in rows.values()) > 0.9
    assert float(rows["adam"]["test_mean"]) > 0.95
