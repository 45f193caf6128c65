"""Rows as TensorBoard's event files."""

import os
from typing import Any

from adaptive_optax.logging.optional_packages import optional
from adaptive_optax.logging.read_log import Number
from adaptive_optax.logging.rows import checked_step
from adaptive_optax.logging.sink import RowSink


class TensorBoard(RowSink):
    """Event files for TensorBoard, with one scalar per metric; its tag is the metric's name.

    TensorBoard shows the groups of a metric, such as "learning_rate/encoder", in one section.
    NaN and inf are kept; it marks them. Needs tensorboardX.

    Args:
      directory: where the files go; TensorBoard tells runs apart by their directories.
      resume_at: the step at which a run resumes: TensorBoard hides what was there from this step
        on. None hides nothing.

    Raises:
      ImportError: without tensorboardX.
      TypeError, ValueError: for an option of the wrong kind or range.
      OSError: if the directory cannot be written.
    """

    def __init__(self, directory: str | os.PathLike[str], *, resume_at: int | None = None):
        super().__init__()
        if not isinstance(directory, str | os.PathLike):
            raise TypeError(
                f"TensorBoard(directory={directory!r}): directory must be a string or a Path."
            )
        start = None if resume_at is None else checked_step("TensorBoard", resume_at, "resume_at")
        package = optional("TensorBoard", "tensorboardX")
        self._events = optional("TensorBoard", "tensorboardX.proto.event_pb2")
        self._summaries = optional("TensorBoard", "tensorboardX.proto.summary_pb2")
        self.directory = os.fspath(directory)
        try:
            # Its SummaryWriter would log a warning for each value that is not finite.
            self._writer: Any = package.FileWriter(self.directory, flush_secs=10)
        except OSError as error:
            raise OSError(
                f"TensorBoard({self.directory!r}): cannot write there "
                f"({error.strerror or error}); give another directory."
            ) from error
        if start is not None:
            log = self._events.SessionLog(status=self._events.SessionLog.START)
            self._writer.add_event(self._events.Event(session_log=log), start)

    def __repr__(self) -> str:
        return f"TensorBoard({self.directory!r})"

    def _write(self, step: int, row: dict[str, Number]) -> None:
        value = self._summaries.Summary.Value
        values = [value(tag=name, simple_value=number) for name, number in row.items()]
        self._writer.add_summary(self._summaries.Summary(value=values), step)

    def _close(self) -> None:
        self._writer.close()
