"""How far results differ in a process with the flags that users have.

Under jax 0.12 the suite's own processes do without the instruction that rounds a product and a sum
at once (conftest.py), so that its tests of equal bits say something. Users have that instruction.
There eager, jit, scan and vmap may differ by the roundings that the contract allows, and no more.
"""

import os
import subprocess
import sys

import pytest

from adaptive_optax.optimizers.record import records

LEFT_OUT = {
    "soap": "its steps of rounding differ by program, as docs/contract.md says",
    "sophia": "the command gives no Hessian",
}


@pytest.mark.slow
def test_eager_jit_scan_and_vmap_agree_with_the_flags_of_users():
    targets = [f"adaptive_optax.{name}" for name in records() if name not in LEFT_OUT]
    command = [sys.executable, "-m", "adaptive_optax.cli", "contract", *targets]
    done = subprocess.run(
        [*command, "--properties", "eager_jit_scan,vmap"],
        env={name: value for name, value in os.environ.items() if name != "XLA_FLAGS"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
