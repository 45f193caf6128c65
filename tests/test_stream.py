"""`stream`: rows out of compiled programs, without holding them up."""

import functools
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from adaptive_optax.logging import background, sinks, streaming
from adaptive_optax.logging.sinks import stream


class Kept(sinks.RowSink):
    """Rows in a list; waits for `go`, and raises for the steps in `bad`."""

    def __init__(self, go=None, bad=()):
        super().__init__()
        self.rows, self.go, self.bad = [], go, bad

    def _write(self, step, row):
        if self.go is not None:
            self.go.wait()
        if step in self.bad:
            raise OSError(f"no room for {step}")
        self.rows.append((step, row))


def halving(sink, length, every=1):
    """A compiled scan whose loss starts at 1 and halves."""

    def body(loss, step):
        metrics = {"loss": loss, "half": loss.astype(jnp.bfloat16), "steps": step, "odd": step > 2}
        stream(step, metrics, sink, every=every)
        return loss / 2, None

    return jax.jit(lambda: jax.lax.scan(body, jnp.float32(1.0), jnp.arange(length))[0])


@pytest.mark.parametrize("every", [1, 3, 100])
def test_rows_of_a_scan(every):
    with Kept() as sink:
        halving(sink, 10, every)()
    assert sorted(sink.rows, key=lambda row: row[0]) == [
        (t, {"loss": 0.5**t, "half": 0.5**t, "steps": t, "odd": int(t > 2)})
        for t in range(0, 10, every)
    ]


def test_nothing_leaves_the_program_on_other_steps(monkeypatch):
    sent = []
    monkeypatch.setattr(streaming, "_send", lambda *row: sent.append(row))
    halving(Kept(), 10, every=4)()
    jax.effects_barrier()
    assert len(sent) == 3


def test_a_slow_sink_does_not_hold_up_the_scan():
    """The program ends while the sink still waits in its first row, which only the test ends."""
    go = threading.Event()
    sink = Kept(go)
    assert float(halving(sink, 50)()) == 0.5**50
    jax.effects_barrier()  # all callbacks have returned
    assert sink.rows == []
    go.set()
    sink.close()
    assert sorted(step for step, _ in sink.rows) == list(range(50))


def test_one_slow_sink_does_not_hold_up_another():
    go = threading.Event()
    slow, fast = Kept(go), Kept()
    halving((slow, sinks.Sinks(fast)), 5)()
    sinks.flush(fast)
    assert (len(fast.rows), slow.rows) == (5, [])
    go.set()
    sinks.Sinks(slow, fast).close()
    assert len(slow.rows) == 5


def test_errors_of_a_sink_are_told_once():
    sink = Kept(bad=(1, 3))
    assert float(halving(sink, 5)()) == 0.5**5
    jax.effects_barrier()
    dealt_with = threading.Event()  # what `flush` waits for, without its warning
    background.background(sink)._queue.put(dealt_with)
    dealt_with.wait()
    message = r"Kept\(\): 2 streamed rows were not written, the first for OSError: no room for 1"
    with pytest.warns(RuntimeWarning, match=message):
        sink.write(7, {})
    sink.write(8, {})  # no second warning
    sink.close()
    assert sorted(step for step, _ in sink.rows) == [0, 2, 4, 7, 8]


def test_close_tells_and_still_closes():
    sink = Kept(bad=(2,))
    halving(sink, 5)()
    with pytest.warns(RuntimeWarning, match="1 streamed row was not written"):
        sink.close()
    with pytest.raises(ValueError, match="is closed"):
        sink.write(9, {})
    assert id(sink) not in background._open


def test_a_sink_of_ones_own_needs_two_methods():
    class Own:
        rows = ()

        def write(self, step, metrics):
            self.rows += ((step, metrics),)

        def close(self):
            pass

    own = Own()
    jax.jit(lambda x: stream(4, {"loss": x}, own))(0.5)
    sinks.flush(own)
    assert own.rows == ((4, {"loss": 0.5}),)
    background.release(own)


def test_outside_of_programs():
    with Kept() as sink:
        for step in range(4):
            stream(step, {"loss": jnp.float32(0.1), "step": 3}, sink, every=2)
    assert sink.rows == [(0, {"loss": 0.1}), (2, {"loss": 0.1})]


def test_while_cond_and_a_traced_interval():
    def body(every):
        def step_on(step):
            row = functools.partial(stream, step, {"x": step}, sink, every=every)
            jax.lax.cond(step < 4, row, lambda: None)
            return step + 1

        return step_on

    with Kept() as sink:
        loop = jax.jit(lambda every: jax.lax.while_loop(lambda s: s < 8, body(every), jnp.int32(0)))
        loop(2), loop(3)
    assert sorted(step for step, _ in sink.rows) == [0, 0, 2, 3]


@pytest.mark.parametrize(
    "transform",
    [
        jax.grad,
        lambda f: jax.jit(jax.value_and_grad(f)),
        lambda f: lambda x: jax.jvp(f, (x,), (1.0,)),
    ],
)
def test_differentiated_programs(transform):
    def loss(x):
        stream(jnp.int32(0) + (x > 99), {"loss": x * x}, sink)
        return x * x

    with Kept() as sink:
        found = transform(loss)(3.0)
    assert sink.rows == [(0, {"loss": 9.0})]
    np.testing.assert_array_equal(found, transform(lambda x: x * x)(3.0))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_on_a_mesh_the_whole_value_is_sent_once(kind):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
    x = jax.device_put(jnp.arange(16.0), NamedSharding(mesh, P("data")))

    @jax.jit
    def train(x):
        def body(x, step):
            stream(step, {"sum": jnp.sum(x), "step0": step, "largest": jnp.max(x)}, sink, every=2)
            return x + 1, None

        return jax.lax.scan(body, x, jnp.arange(4))

    with jax.set_mesh(mesh), Kept() as sink:
        train(x)
    assert sorted(sink.rows) == [
        (0, {"sum": 120.0, "step0": 0, "largest": 15.0}),
        (2, {"sum": 152.0, "step0": 2, "largest": 17.0}),
    ]


def test_in_shard_map_the_first_device_sends():
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)

    def local(x):
        whole = jax.lax.psum(jnp.sum(x), "data")
        stream(jnp.int32(3), {"sum": whole, "own": jnp.sum(x)}, sink)
        return x

    with Kept() as sink:
        mapped = jax.shard_map(local, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
        jax.jit(mapped)(jnp.arange(8.0))
    assert sink.rows == [(3, {"sum": 28.0, "own": 1.0})]


def test_under_strict_promotion():
    with (
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        Kept() as sink,
    ):
        halving(sink, 3)()
    assert len(sink.rows) == 3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: stream(0, {}, s, every=0), ValueError, r"stream\(every=0\): .* at least 1"),
        (lambda s: stream(-1, {}, s), ValueError, r"stream\(step=-1\): .* at least 0"),
        (lambda s: stream(0, {}, "run.jsonl"), TypeError, r"stream\(sink='run.jsonl'\): a sink"),
        (lambda s: stream(0, {}, Kept), TypeError, r"stream\(sink=Kept\): a sink has the methods"),
        (lambda s: stream(0, [1.0], s), TypeError, r"stream\(metrics=list\): .* a dict"),
        (lambda s: stream(0, {"a": "b"}, s), TypeError, r"stream\(metrics\['a'\]='b'\)"),
        (
            lambda s: jax.jit(lambda x: stream(x, {}, s))(0.5),
            TypeError,
            r"stream\(step=float32\): step must be an integer",
        ),
        (
            lambda s: jax.jit(lambda x: stream(0, {"a": x}, s))(jnp.ones(3)),
            ValueError,
            r"stream\(a=float32 array of shape \(3,\)\): a metric must be a real scalar",
        ),
        (
            lambda s: jax.vmap(lambda x: stream(0, {"a": x}, s))(jnp.ones(3)),
            ValueError,
            r"stream under vmap: 3 rows for one step\. Return the metrics",
        ),
    ],
)
def test_errors(call, error, message):
    with Kept() as sink, pytest.raises(error, match=message):
        call(sink)


UNCLOSED = """
import sys, jax, jax.numpy as jnp
from adaptive_optax.logging.sinks import JSONL, stream
sink = JSONL(sys.argv[1])
def body(x, step):
    stream(step, {"loss": x}, sink)
    return x / 2, None
jax.jit(lambda: jax.lax.scan(body, jnp.float32(1.0), jnp.arange(200)))()
"""


def test_a_sink_that_nobody_closed_is_written_at_exit(tmp_path):
    path = tmp_path / "run.jsonl"
    subprocess.run([sys.executable, "-c", UNCLOSED, str(path)], check=True, timeout=120)
    assert len(sinks.read_log(path)["loss"].steps) == 200
