"""Rows written by a thread of their own, so that a slow sink does not delay training.

A callback inside a compiled program only puts its row into a queue. Errors of the sink stop
nothing: they are counted, and one warning reports them at the next call from the host.
"""

import atexit
import queue
import threading
import warnings
from collections.abc import Callable
from typing import Any

import jax

from adaptive_optax.logging.rows import checked_row

SECONDS_AT_EXIT = 10.0  # that a sink which nobody closed may take for its last rows


class Background:
    """The queue and the thread of one sink."""

    def __init__(self, sink: Any):
        self.sink = sink
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lost = 0
        self._error: BaseException | None = None  # the first that was not reported yet
        self._thread = threading.Thread(target=self._work, name="adaptive_optax sink", daemon=True)
        self._thread.start()

    def put(self, read: Callable[[], tuple[Any, Any]]) -> None:
        """Queue a row; the thread, where waiting costs nothing, calls `read` to get it."""
        self._queue.put(read)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all rows queued so far are written, at most `timeout` seconds."""
        if threading.current_thread() is self._thread:
            return
        written = threading.Event()
        self._queue.put(written)
        written.wait(timeout)
        self.warn()

    def stop(self) -> None:
        """End the thread after the rows in the queue."""
        self._queue.put(None)

    def warn(self) -> None:
        """Warn of rows that were lost since the last warning; does nothing on the sink's thread."""
        error, lost = self._error, self._lost
        if error is None or threading.current_thread() is self._thread:
            return
        self._error, self._lost = None, 0
        rows = "1 streamed row was" if lost == 1 else f"{lost} streamed rows were"
        warnings.warn(
            f"{self.sink!r}: {rows} not written, the first for {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=4,
        )

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self.sink.write(*checked_row("stream", *item()))
            except BaseException as error:  # training continues after any error
                self._lost += 1
                self._error = self._error or error


_open: dict[int, Background] = {}  # by id of the sink, which its Background keeps alive
_lock = threading.Lock()


def background(sink: Any) -> Background:
    """Return the sink's queue, made at its first row."""
    with _lock:
        if id(sink) not in _open:
            _open[id(sink)] = Background(sink)
        return _open[id(sink)]


def warn_of_lost_rows(sink: Any) -> None:
    """Warn, once, of the sink's streamed rows that could not be written."""
    if id(sink) in _open:
        _open[id(sink)].warn()


def flush(sink: Any) -> None:
    """Wait until every row that was streamed to the sink so far is written.

    Sinks of this library do it when they are closed; a sink of your own may need the call.
    """
    jax.effects_barrier()
    if id(sink) in _open:
        _open[id(sink)].flush()


def release(sink: Any) -> None:
    """Flush the sink and end its thread."""
    try:
        flush(sink)
    finally:
        with _lock:
            writer = _open.pop(id(sink), None)
        if writer is not None:
            writer.stop()


@atexit.register
def _flush_all() -> None:
    """Write the last rows of sinks that nobody closed."""
    if _open:
        jax.effects_barrier()
    for writer in list(_open.values()):
        writer.flush(SECONDS_AT_EXIT)
