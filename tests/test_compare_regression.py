"""The regression task's losses are known to the last digits (float64, NumPy seed 42)."""

import jax
import numpy as np

from adaptive_optax import cli

LOSSES = [
    30.571330924788207,
    0.4574675521921959,
    0.2413588981620703,
    0.2272726502116684,
    0.22378153802601042,
    0.2209402657943377,
    0.21835485037118157,
    0.21600100193173397,
    0.21386427603989375,
    0.21192891045699627,
]


def test_the_command_prints_the_known_losses(tmp_path, capsys):
    words = ["compare", "--task", "regression", "--optimizers", "sgd", "--learning-rate", "0.01"]
    assert cli.main([*words, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines() if line.strip().startswith("epoch ")]
    assert [int(words[1]) for words in lines] == list(range(0, 1000, 100))
    np.testing.assert_allclose([float(words[2]) for words in lines], LOSSES, rtol=0, atol=1e-9)
    assert not jax.config.jax_enable_x64
