"""The command as people start it, with Ctrl-C and kills at any time, and faults from outside."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_compare_cifar10 import write_python

from adaptive_optax import cli

# A job in the background of a shell is started with Ctrl-C ignored, and so are all that it starts.
START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from adaptive_optax.cli import main; sys.exit(main())"
)
TIMES = ("seconds", "milliseconds_per_step", "compile_seconds", "interrupted")
CALL = ["compare", "--task", "regression", "--optimizers", "sgd,adam,lion,radam", "--epochs", "60"]


def start(*words):
    call = [sys.executable, "-c", START, *map(str, words)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(*words):
    """Runs the command to its end, which must be a good one."""
    process = start(*words)
    told = process.communicate()[1]
    assert process.returncode == 0, told


def results(out):
    def timeless(value):
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if k not in TIMES}
        return [timeless(v) for v in value] if isinstance(value, list) else value

    return timeless(json.loads((Path(out) / "results.json").read_text()))


def tried(tmp_path, number, times):
    """Struck so often at random moments after its first optimizer, then left to end."""
    draws = random.Random(times)
    whole, out = tmp_path / "whole", tmp_path / "out"
    ended(*CALL, "--out", whole)
    for k in range(times):
        process = start(*CALL, "--out", out, "--resume")
        if k % 2:
            process.stdout.readline()
        time.sleep(draws.uniform(0.0, 4.0))
        process.send_signal(number)
        told = process.communicate()[1]
        if process.returncode == 0:
            continue  # done before it was struck
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
        elif "KeyboardInterrupt" not in told:  # before Python has read the command
            assert process.returncode == 130, told
            assert "interrupted" in told
    ended(*CALL, "--out", out, "--resume")
    assert results(out) == results(whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_struck_ten_times(tmp_path, number):
    tried(tmp_path, number, 10)


def test_ctrl_c_in_a_process_of_its_own(tmp_path):
    out = tmp_path / "out"
    process = start(*CALL, "--out", out)
    while process.poll() is None and not list(out.glob("finished/000_*.json")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[1]
    assert process.returncode == 130, told
    assert told.rstrip().endswith(f"--out {out} --resume")
    assert "Traceback" not in told
    assert (out / "results.json").exists()


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty"])
def test_damaged_data_exit_with_2_and_the_path(tmp_path, capsys, harm):
    write_python(tmp_path / "data")
    path = tmp_path / "data" / "data_batch_4"
    data = path.read_bytes()
    flipped = data[:2] + bytes([data[2] ^ 0x80]) + data[3:]
    path.write_bytes({"cut": data[:1000], "flipped": flipped, "empty": b""}[harm])
    words = ["compare", "--task", "cifar10", "--data-dir", tmp_path / "data", "--out", tmp_path]
    assert cli.main(list(map(str, words))) == 2
    told = capsys.readouterr().err
    assert f"{path} is damaged" in told
    assert "Unpack the published archive" in told


@pytest.mark.parametrize("kind", ["a file", "under a file", "read-only", "proc"])
def test_an_unwritable_folder_is_told_before_any_training(tmp_path, capsys, kind, monkeypatch):
    (tmp_path / "file").write_text("")
    out = {"a file": tmp_path / "file", "under a file": tmp_path / "file" / "out"}.get(kind)
    if kind == "read-only":
        out = tmp_path / "closed"
        out.mkdir()
        out.chmod(0o500)
        if os.access(out, os.W_OK):
            pytest.skip("who may write everywhere cannot be kept out")
    monkeypatch.setattr("adaptive_optax.comparison.tasks.load", lambda *words: pytest.fail("began"))
    assert cli.main(["compare", "--out", str(out or "/proc/self/out")]) == 2
    assert "cannot write there" in capsys.readouterr().err
