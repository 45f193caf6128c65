"""save_checkpoint struck at each thing that it asks of the system: nothing earlier is lost."""

import errno
import os
import resource
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import adaptive_optax as ao
from adaptive_optax.checkpoint import manifest, through_orbax

ASKED = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "open")
LIKE = {"w": jnp.zeros(3)}


class Struck(BaseException):
    """What a kill is here: nothing at all is done after it."""


@pytest.fixture
def strike(monkeypatch):
    """`strike(at, error)`: the at-th thing asked raises; after a kill all that follow do."""

    def arm(at, error):
        monkeypatch.undo()
        asked = []

        def over(name, real):
            def call(*words, **options):
                asked.append(name)
                late = isinstance(error, Struck) and len(asked) > at
                if len(asked) == at + 1 or late:
                    raise error
                return None if name == "fsync" else real(*words, **options)  # which takes long

            return call

        def write(ocp, folder, leaves):  # Orbax's own threads are struck by real kills elsewhere
            folder.mkdir()
            (folder / "data").write_bytes(np.asarray(leaves[0]).tobytes())

        for name in ASKED:
            monkeypatch.setattr(os, name, over(name, getattr(os, name)))
        monkeypatch.setattr(through_orbax, "write", write)
        return asked

    yield arm
    monkeypatch.undo()


def read(ocp, folder, like):
    return [jnp.asarray(np.frombuffer((folder / "data").read_bytes(), np.float32))]


def tree(step):
    return {"w": jnp.full(3, float(step))}


def left(folder, monkeypatch):
    """The step that is restored, with the tree checked; no warning may be told."""
    with monkeypatch.context() as patch:
        patch.setattr(through_orbax, "read", read)
        step, found = ao.restore_checkpoint(folder, LIKE)
    assert found["w"].tolist() == [float(step)] * 3
    return step


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("error", [Struck(), OSError(errno.ENOSPC, "No space left on device")])
def test_whatever_is_struck_the_old_or_the_new_one_is_whole(
    tmp_path, strike, monkeypatch, error, keep
):
    steps, told, at, count = set(), [], 0, 1
    while at < count:
        folder = tmp_path / str(at)
        never = strike(10**6, error)
        for step in (1, 2):
            ao.save_checkpoint(folder, step, tree(step), keep=keep)
        count = len(never) // 2 + 10  # the third one also removes
        strike(at, error)
        try:
            ao.save_checkpoint(folder, 3, tree(3), keep=keep)
        except (Struck, OSError) as raised:
            told.append(raised)
        monkeypatch.undo()
        steps.add(left(folder, monkeypatch))
        strike(10**6, error)
        ao.save_checkpoint(folder, 4, tree(4), keep=keep)  # goes on, and cleans up
        monkeypatch.undo()
        assert left(folder, monkeypatch) == 4
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
        at += 1
    assert count > 15
    assert steps == {2, 3}
    full = [each for each in told if isinstance(each, OSError)]
    assert all("the disk is full; make room" in str(each) for each in full)


def test_a_full_disk_loses_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", disk]).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        ao.save_checkpoint(disk / "run", 1, LIKE)
        noise = {"w": np.random.RandomState(0).randn(200_000)}
        for _ in range(2):
            with pytest.raises(OSError, match=r"step 2 could not be written, since the disk is"):
                ao.save_checkpoint(disk / "run", 2, noise)
            assert [path.name for path in (disk / "run").iterdir()] == ["00000000_step_1"]
        assert ao.restore_checkpoint(disk / "run", LIKE)[0] == 1
        ao.save_checkpoint(disk / "run", 3, LIKE)
        assert ao.restore_checkpoint(disk / "run", LIKE)[0] == 3
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


LIMITED = """
import resource, sys, numpy as np, adaptive_optax as ao
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
ao.save_checkpoint(sys.argv[1], 2, {"w": np.random.RandomState(0).randn(200_000)})
"""


@pytest.mark.slow
def test_a_limit_on_files_loses_nothing(tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] < 0
    ao.save_checkpoint(tmp_path, 1, LIKE)
    words = [sys.executable, "-c", LIMITED, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "step 2 could not be written, since file too large" in ended.stderr
    assert ao.restore_checkpoint(tmp_path, LIKE)[0] == 1


def test_the_manifest_is_written_whole_or_not(tmp_path, monkeypatch):
    manifest.write_manifest(tmp_path, {"step": 1})
    monkeypatch.setattr(os, "replace", lambda *words: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        manifest.write_manifest(tmp_path, {"step": 2})
    assert manifest.read_manifest(tmp_path) == {"step": 1}
