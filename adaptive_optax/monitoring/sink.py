"""What a sink is, what ours share, and several as one."""

import abc
import contextlib
import threading
from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

from adaptive_optax.monitoring import background
from adaptive_optax.monitoring.rows import Number, checked_row


@runtime_checkable
class Sink(Protocol):
    """Where rows go. Any object with these two methods is one; it may be used by a thread."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes the metrics of a step."""

    def close(self) -> None:
        """Says that no row will follow."""


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
        """Writes a row.

        Args:
          step: the training step, an integer of at least 0.
          metrics: names and scalars; "step" among them is passed over.

        Raises:
          TypeError, ValueError: for what is no row, or after `close`.
        """
        name = f"{type(self).__name__}.write"
        row = checked_row(name, step, metrics)
        background.tell(self)
        with self._lock:
            if self._closed:
                raise ValueError(f"{name}: {self!r} is closed; make another sink.")
            self._write(*row)

    def close(self) -> None:
        """Writes what was streamed to it and closes it; a second call does nothing."""
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
        """Writes one row."""

    def _close(self) -> None:  # noqa: B027 - most sinks have nothing to close
        """Nothing to close."""


class Sinks:
    """Several sinks as one; what one of them raises does not keep a row from the others.

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
        """Writes a row to each."""
        with contextlib.ExitStack() as stack:  # calls all, and raises what was raised
            for sink in reversed(self.sinks):
                stack.callback(sink.write, step, metrics)

    def close(self) -> None:
        """Closes each, after what was streamed to it is written."""
        with contextlib.ExitStack() as stack:
            for sink in reversed(self.sinks):
                stack.callback(sink.close)
                stack.callback(background.release, sink)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def members(function: str, sink: Any) -> tuple[Sink, ...]:
    """The single sinks in a sink, a Sinks, a tuple or a list."""
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
