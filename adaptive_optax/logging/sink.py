"""The protocol of a sink, the base class of ours, and several sinks as one."""

import abc
import contextlib
import threading
from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

from adaptive_optax.logging import background
from adaptive_optax.logging.read_log import Number
from adaptive_optax.logging.rows import checked_row


@runtime_checkable
class Sink(Protocol):
    """Where rows go. Any object with these two methods is one; it may be used by a thread."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of a step."""

    def close(self) -> None:
        """End: no row will follow."""


class RowSink(abc.ABC):
    """A sink to derive from: `_write` gets plain numbers, one row at a time, `_close` the end.

    >>> class Largest(RowSink):
    ...     loss = 0.0
    ...
    ...     def _write(self, step, row):
    ...         self.loss = max(self.loss, row["loss"])
    >>> with Largest() as sink:
    ...     sink.write(0, {"loss": 0.5})
    ...     sink.write(1, {"loss": 0.25})
    >>> sink.loss
    0.5
    """

    _closed = False

    def __init__(self) -> None:
        self._lock = threading.RLock()  # rows come from the host and from the sink's thread

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def write(self, step: Any, metrics: Mapping[str, Any]) -> None:
        """Write a row.

        Args:
          step: the training step, an integer of at least 0.
          metrics: names and scalars; "step" among them is left out.

        Raises:
          TypeError, ValueError: for anything that is not a row, or after `close`.
        """
        name = f"{type(self).__name__}.write"
        row = checked_row(name, step, metrics)
        background.warn_of_lost_rows(self)
        with self._lock:
            if self._closed:
                raise ValueError(f"{name}: {self!r} is closed; make another sink.")
            self._write(*row)

    def close(self) -> None:
        """Write what was streamed to it and close it; a second call does nothing."""
        if self._closed:
            return
        try:
            background.release(self)
        finally:
            with self._lock:
                self._closed = True
                self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    @abc.abstractmethod
    def _write(self, step: int, row: dict[str, Number]) -> None:
        """Write one row."""

    def _close(self) -> None:  # noqa: B027 - most sinks have nothing to close
        """Nothing to close."""


class Sinks:
    """Several sinks as one; an error of one of them does not keep a row from the others.

    Args:
      *sinks: the sinks; each has its own thread when rows are streamed.

    >>> with Sinks(JSONL("run.jsonl"), CSV("run.csv")) as sink:  # doctest: +SKIP
    ...     sink.write(0, {"loss": 0.5})
    """

    def __init__(self, *sinks: Sink):
        self.sinks = members("Sinks", sinks)

    def __repr__(self) -> str:
        return f"Sinks({', '.join(map(repr, self.sinks))})"

    def write(self, step: Any, metrics: Mapping[str, Any]) -> None:
        """Write a row to each."""
        with contextlib.ExitStack() as stack:  # calls all, and raises what was raised
            for sink in reversed(self.sinks):
                stack.callback(sink.write, step, metrics)

    def close(self) -> None:
        """Close each, after writing what was streamed to it."""
        with contextlib.ExitStack() as stack:
            for sink in reversed(self.sinks):
                stack.callback(sink.close)
                stack.callback(background.release, sink)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def members(function: str, sink: Any) -> tuple[Sink, ...]:
    """Return the single sinks in a sink, a `Sinks`, a tuple or a list."""
    if isinstance(sink, Sinks):
        return sink.sinks
    if isinstance(sink, tuple | list):
        return tuple(each for part in sink for each in members(function, part))
    if isinstance(sink, type) or not isinstance(sink, Sink):
        what = sink.__name__ if isinstance(sink, type) else repr(sink)
        raise TypeError(
            f"{function}(sink={what}): a sink has the methods write(step, metrics) and close(), "
            f'such as JSONL("run.jsonl").'
        )
    return (sink,)
