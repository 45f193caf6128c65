"""Where the metrics of a run go: a terminal, TensorBoard, or files that `read_log` reads.

A sink takes rows, `sink.write(step, metrics)`, and is closed at the end, best by `with`. Inside
jit and scan `stream(step, metrics, sink)` sends the rows. A class of your own is a sink if it has
`write` and `close`; derive it from `RowSink` to get plain numbers, one row at a time.

    with ao.sinks.Sinks(ao.sinks.Terminal(total=1000), ao.sinks.JSONL("run.jsonl")) as sink:
        for step in range(1000):
            params, state, loss = train(params, state)
            sink.write(step, {"loss": loss})

Files that were written so become pictures with `adaptive-optax report DIR`.
"""

from adaptive_optax.monitoring.background import flush as flush
from adaptive_optax.monitoring.files import CSV as CSV
from adaptive_optax.monitoring.files import JSONL as JSONL
from adaptive_optax.monitoring.logs import Series as Series
from adaptive_optax.monitoring.logs import read_log as read_log
from adaptive_optax.monitoring.sink import RowSink as RowSink
from adaptive_optax.monitoring.sink import Sink as Sink
from adaptive_optax.monitoring.sink import Sinks as Sinks
from adaptive_optax.monitoring.streaming import stream as stream
from adaptive_optax.monitoring.tensorboard import TensorBoard as TensorBoard
from adaptive_optax.monitoring.terminal import Terminal as Terminal
