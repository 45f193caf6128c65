"""Where the metrics of a run go: a terminal, TensorBoard, or files that `read_log` reads.

A sink takes rows, `sink.write(step, metrics)`, and is closed at the end, best by `with`. Inside
jit and scan `stream(step, metrics, sink)` sends the rows. A class of your own is a sink if it has
`write` and `close`; derive it from `RowSink` to get plain numbers, one row at a time.

    with ao.sinks.Sinks(ao.sinks.Terminal(total=1000), ao.sinks.JSONL("run.jsonl")) as sink:
        for step in range(1000):
            params, state, loss = train(params, state)
            sink.write(step, {"loss": loss})

`adaptive-optax report DIR` makes pictures of the files.
"""

from adaptive_optax.logging.background import flush
from adaptive_optax.logging.log_files import CSV, JSONL
from adaptive_optax.logging.read_log import Series, read_log
from adaptive_optax.logging.sink import RowSink, Sink, Sinks
from adaptive_optax.logging.streaming import stream
from adaptive_optax.logging.tensorboard import TensorBoard
from adaptive_optax.logging.terminal import Terminal

__all__ = ["CSV", "JSONL", "RowSink", "Series", "Sink", "Sinks", "TensorBoard", "Terminal"]
__all__ += ["flush", "read_log", "stream"]
