"""Sinks: what they refuse, TensorBoard and the terminal, several as one."""

import io
import struct
import sys
import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adaptive_optax.logging import sinks

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.write(-1, {}), ValueError, r"JSONL.write\(step=-1\): .* at least 0"),
        (lambda s: s.write(1.0, {}), TypeError, r"JSONL.write\(step=1.0\): .* an integer"),
        (lambda s: s.write(True, {}), TypeError, r"step=True\): step must be an integer"),
        (lambda s: s.write(0, 0.5), TypeError, r"metrics=float\): metrics must be a dict"),
        (lambda s: s.write(0, {1: 0.5}), TypeError, "name must be a string, not 1"),
        (lambda s: s.write(0, {"": 0.5}), ValueError, "name must not be empty"),
        (lambda s: s.write(0, {"a": "b"}), TypeError, r"metrics\['a'\]='b'\): .* real number"),
        (lambda s: s.write(0, {"a": None}), TypeError, "leave out what has no value"),
        (lambda s: s.write(0, {"a": 1j}), TypeError, "must be a real number"),
        (lambda s: s.write(0, {"a": jnp.ones(3)}), ValueError, r"array of shape \(3,\)\): .* mean"),
        (lambda s: jax.jit(lambda x: s.write(0, {"a": x}))(1.0), TypeError, "call stream"),
        (lambda s: jax.jit(lambda x: s.write(x, {}))(1), TypeError, "call stream"),
        (lambda s: s.close() or s.write(0, {}), ValueError, r"JSONL\('.*'\) is closed"),
        (lambda s: sinks.JSONL(3), TypeError, r"JSONL\(path=3\)"),
        (lambda s: sinks.CSV(s.path.with_name("c"), resume_at=-1), ValueError, r"resume_at=-1"),
        (lambda s: sinks.CSV(s.path / "below"), OSError, r"CSV\('.*'\): cannot write there"),
        (lambda s: sinks.Sinks(s, sinks.CSV), TypeError, r"Sinks\(sink=CSV\): a sink has the"),
        (lambda s: sinks.TensorBoard(3), TypeError, r"TensorBoard\(directory=3\)"),
        (lambda s: sinks.Terminal(0), ValueError, r"Terminal\(total=0\): .* at least 1"),
        (lambda s: sinks.Terminal(interval=-1), ValueError, r"Terminal\(interval=-1\)"),
        (lambda s: sinks.read_log("a.txt"), ValueError, r"read_log\('a.txt'\): .* \.jsonl or"),
    ],
)
def test_errors(tmp_path, call, error, message):
    with sinks.JSONL(tmp_path / "run.jsonl") as sink, pytest.raises(error, match=message):
        call(sink)


@pytest.mark.parametrize(
    ("make", "package"),
    [(sinks.Terminal, "rich"), (lambda: sinks.TensorBoard("never"), "tensorboardX")],
)
def test_missing_packages_are_named(monkeypatch, make, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{package} is .*pip install "adaptive-optax\[monitor'):
        make()


def test_tensorboard(tmp_path, caplog):
    """Event files are records: length, a checksum of it, data, a checksum of that."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    with sinks.TensorBoard(tmp_path, resume_at=7) as sink:
        sink.write(0, {"loss": 0.5, "learning_rate/encoder": jnp.float32(0.25)})
        sink.write(3, {"loss": NAN, "gradient_norm": INF})
    (path,) = tmp_path.iterdir()
    data, found, starts = path.read_bytes(), [], []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
        starts += [event.step] if event.HasField("session_log") else []
        data = data[16 + length :]
    assert starts == [7]  # TensorBoard takes away what an earlier file has from there on
    assert [row[:2] for row in found] == [
        (0, "loss"),
        (0, "learning_rate/encoder"),
        (3, "loss"),
        (3, "gradient_norm"),
    ]
    np.testing.assert_array_equal([row[2] for row in found], [0.5, 0.25, NAN, INF])
    assert not caplog.records  # no complaint about values that are not finite


def console(**options):
    rich_console = pytest.importorskip("rich.console")
    return rich_console.Console(file=io.StringIO(), width=100, **options)


def test_terminal_plain_lines():
    out = console()
    with sinks.Terminal(10, interval=0, console=out) as sink:
        sink.write(1, {"learning_rate": 0.1, "loss": 0.25, "loss/head": 9.0})
        sink.write(2, {"loss": NAN, "skipped": 3})
    first, second = out.file.getvalue().splitlines()
    assert first == "step 1/10  loss 0.25  learning_rate 0.1"
    assert second.startswith("step 2/10  loss nan  learning_rate 0.1  skipped 3  ")
    assert second.endswith("left")
    assert "steps/s" in second


def test_terminal_waits_for_values():
    """What is nan since it is not known yet is left out; the loss is shown whatever it is."""
    out = console()
    with sinks.Terminal(interval=0, console=out) as sink:
        sink.write(0, {"loss": NAN, "cosine": NAN, "update_norm": 0.5})
        sink.write(1, {"loss": NAN, "cosine": 0.5, "update_norm": NAN})
    lines = [line.split("  ")[:4] for line in out.file.getvalue().splitlines()]
    assert lines[0] == ["step 0", "loss nan", "update_norm 0.5"]
    assert lines[1] == ["step 1", "loss nan", "update_norm nan", "cosine 0.5"]


def test_terminal_plain_lines_are_few_and_the_last_row_has_one():
    out = console()
    with sinks.Terminal(interval=1e9, console=out) as sink:
        for step in range(50):
            sink.write(step, {"loss": step / 2})
    lines = out.file.getvalue().splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["step 0", "loss 0"],
        ["step 49", "loss 24.5"],
    ]


def test_terminal_live_view():
    out = console(force_terminal=True, color_system=None)
    with sinks.Terminal(2000, console=out) as sink:
        for step in range(0, 1001, 100):
            row = {"loss": 1000.0 - step, "learning_rate": 0.1, "gradient_norm": 2.0}
            sink.write(step, {**row, "learning_rate/head": 0.5, "[red]x\x1b[2J": 1.0})
        sink.write(50, {"loss": -1.0})  # late: not shown as the newest
    last = out.file.getvalue().split("step ")[-1]
    assert last.startswith("1,000/2,000")
    assert "▇" in last
    assert "left" in last
    assert [
        line.split() for line in last.splitlines() if line.strip().startswith(("grad", "group"))
    ] == [
        ["gradient_norm", "2"],
        ["group", "learning_rate"],
    ]
    assert "[red]x?[2J" in last  # neither markup nor a control sequence
    assert "\x1b[2J" not in out.file.getvalue()


class Broken:
    """A sink by its two methods alone, which raises."""

    def __init__(self):
        self.closed = False

    def write(self, step, metrics):
        raise OSError("disk full")

    def close(self):
        self.closed = True


def test_sinks_write_to_all_whatever_one_raises(tmp_path):
    broken = Broken()
    sink = sinks.Sinks(broken, sinks.JSONL(tmp_path / "a.jsonl"), sinks.CSV(tmp_path / "b.csv"))
    with pytest.raises(OSError, match="disk full"):
        sink.write(0, {"loss": 0.5})
    sink.close()
    assert broken.closed
    assert [
        sinks.read_log(tmp_path / name)["loss"].values.tolist() for name in ("a.jsonl", "b.csv")
    ] == [[0.5], [0.5]]
    assert isinstance(broken, sinks.Sink)


def test_rows_of_several_threads_stay_whole(tmp_path):
    with sinks.JSONL(tmp_path / "run.jsonl") as sink:

        def work(first):
            for step in range(first, 400, 4):
                sink.write(step, {"loss": float(step)})

        threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    loss = sinks.read_log(tmp_path / "run.jsonl")["loss"]
    assert loss.steps.tolist() == loss.values.tolist() == list(range(400))


def test_closing_twice_and_files_are_closed(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sink = sinks.CSV(tmp_path / "run.csv")
        sink.close()
        sink.close()
