"""A training that is killed at random moments ends, bit for bit, as one that was not."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

import adaptive_optax as ao

SCRIPT = Path(__file__).parents[1] / "examples" / "resume.py"
SOON = 0.3  # seconds, in which a run writes two checkpoints on a machine that is not busy


def words(folder, optimizer, steps, every):
    options = ["--optimizer", optimizer, "--steps", str(steps), "--every", str(every)]
    return [sys.executable, str(SCRIPT), str(folder), *options]


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """A start takes half as long where jax finds the compiled step of the first run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
        patch.setenv("XLA_FLAGS", "")  # one device: the tests' eight take longer to start
        yield


def run(*arguments):
    subprocess.run(words(*arguments), check=True, capture_output=True)


def killed(draws, nth, *arguments):
    """Starts a run and kills it soon after its nth line, most often as it writes; its first."""
    process = subprocess.Popen(words(*arguments), stdout=subprocess.PIPE, text=True)
    first, *_ = [process.stdout.readline() for _ in range(nth)]
    assert first.startswith("goes on after step")
    time.sleep(draws.uniform(0.0, SOON))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "it was done before it was killed"
    return int(re.search(r"after step (\d+)", first)[1])


def leaves_of(folder, steps):
    """The last checkpoint's arrays as bytes, by path, read without knowing the tree."""
    newest = max(path for path in folder.iterdir() if re.fullmatch(r"\d+_step_\d+", path.name))
    kept = json.loads((newest / "manifest.json").read_text().splitlines()[0])["words"]
    assert kept["step"] == steps
    with ocp.StandardCheckpointer() as checkpointer:
        arrays = checkpointer.restore((newest / "arrays").absolute())
    return {
        path: (kind, shape, np.asarray(arrays[str(k)]).tobytes())
        for k, (path, kind, shape, _) in enumerate(kept["leaves"])
        if str(k) in arrays
    }


def assert_ends_alike(one, other, steps):
    expected, found = leaves_of(one, steps), leaves_of(other, steps)
    assert len(expected) > 10
    assert expected.keys() == found.keys()
    assert not [path for path in expected if expected[path] != found[path]]


def tried(tmp_path, optimizer, kills, steps, every):
    draws = random.Random(kills)
    run(tmp_path / "whole", optimizer, steps, every)
    starts = []
    for k in range(kills):
        nth = draws.randint(2, 5) if k % 5 else 3 - draws.randint(0, 2)
        starts.append(killed(draws, nth, tmp_path / "killed", optimizer, steps, every))
    run(tmp_path / "killed", optimizer, steps, every)
    assert starts == sorted(starts)  # no kill loses what was there
    assert starts[-1] > 0
    assert_ends_alike(tmp_path / "whole", tmp_path / "killed", steps)


def test_killed_three_times(tmp_path):
    tried(tmp_path, "stored", 3, 90, 3)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "stored", "lookahead"])
def test_killed_twenty_times(tmp_path, optimizer):
    tried(tmp_path, optimizer, 20, 300, 2)


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_killed_and_then_the_newest_is_damaged(tmp_path, harm):
    draws = random.Random(0)
    run(tmp_path / "whole", "stored", 150, 5)
    for _ in range(3):
        killed(draws, 4, tmp_path / "killed", "stored", 150, 5)
        names = sorted(p for p in (tmp_path / "killed").iterdir() if p.name[0] != ".")
        path = max(names[-1].rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
        data = bytearray(path.read_bytes())
        if harm == "flipped":
            data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
            path.write_bytes(data)
        elif harm == "cut":
            path.write_bytes(data[: draws.randrange(len(data))])
        else:
            path.unlink()
        ended = subprocess.run(
            words(tmp_path / "killed", "stored", 10, 5), capture_output=True, text=True, check=True
        )
        assert "it is damaged and passed over" in ended.stderr
    run(tmp_path / "killed", "stored", 150, 5)
    assert_ends_alike(tmp_path / "whole", tmp_path / "killed", 150)


def test_the_stored_run_has_codes():
    """The kernel between the hidden layers, of 2**14 elements, has a byte for each moment."""
    state = ao.stored(ao.adamw(1e-3), ao.minifloat8()).init({"w": np.zeros((128, 128), np.float32)})
    assert sum(x.dtype.itemsize for x in jax.tree.leaves(state) if x.size >= 2**14) == 2
