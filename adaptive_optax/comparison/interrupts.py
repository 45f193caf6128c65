"""Ctrl-C that is not lost.

Python drops an exception that is raised in a callback, such as jax's at a garbage collection, and
prints "Exception ignored in ..." and a traceback. Here nothing is printed, and what runs for
minutes asks from time to time.
"""

import signal
import sys
import threading
from typing import Any


class CtrlC:
    """While it is entered Ctrl-C raises KeyboardInterrupt, and `check` does where that was dropped.

    In a thread, or where somebody else handles or ignores Ctrl-C, all stays as it is.
    """

    def __init__(self) -> None:
        self._struck = False
        self._before: Any = None
        self._tell: Any = None

    def __enter__(self) -> "CtrlC":
        alone = threading.current_thread() is threading.main_thread()
        if alone and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._strike)
            self._tell, sys.unraisablehook = sys.unraisablehook, self._dropped
        return self

    def __exit__(self, *error: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            sys.unraisablehook = self._tell

    def check(self) -> None:
        """Raises KeyboardInterrupt where Ctrl-C was pressed."""
        if self._struck:
            raise KeyboardInterrupt

    def _strike(self, *signalled: Any) -> None:
        self._struck = True
        raise KeyboardInterrupt

    def _dropped(self, unraisable: Any) -> None:
        if not (self._struck and unraisable.exc_type is KeyboardInterrupt):
            self._tell(unraisable)
