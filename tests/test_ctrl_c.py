"""Ctrl-C that Python drops in a callback ends a comparison all the same."""

import gc
import signal
import sys
import threading

import pytest
from test_compare_task import line

from adaptive_optax.comparison import compare
from adaptive_optax.comparison.interrupts import CtrlC
from adaptive_optax.comparison.progress import Silent

NAMES = ["sgd", "lion", "adam"]


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """A job in the background of a shell begins with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # given back
    signal.signal(signal.SIGINT, before)


def struck_in_a_callback():
    """Ctrl-C while Python calls back at a garbage collection, as jax asks it to."""

    def callback(phase, info):
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGINT)

    gc.callbacks.append(callback)
    gc.collect()


class Struck(Silent):
    """Strikes in a callback, once, as the second optimizer trains."""

    def __init__(self):
        self.begun, self.struck = [], 0

    def optimizer(self, name):
        self.begun.append(name)

    def epoch(self, done):
        if len(self.begun) == 2:
            self.struck += 1
            if self.struck == 1:
                struck_in_a_callback()


def test_a_comparison_ends_where_python_dropped_it(tmp_path):
    watch = Struck()
    found = compare(line(), NAMES, out=tmp_path, progress=watch)
    assert found.interrupted
    assert watch.struck == 1  # at the next evaluation, and no later
    assert (watch.begun, [row.name for row in found.rows]) == (NAMES[:2], NAMES[:1])
    again = compare(line(), NAMES, out=tmp_path, resume=True)
    assert not again.interrupted
    assert sorted(row.name for row in again.rows) == sorted(NAMES)


def test_what_else_python_drops_is_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(dropped.exc_type))

    def callback(phase, info):
        gc.callbacks.remove(callback)
        raise ValueError("a fault")

    before = sys.unraisablehook
    with CtrlC():
        struck_in_a_callback()
        gc.callbacks.append(callback)
        gc.collect()
    assert told == [ValueError]
    assert sys.unraisablehook is before


def test_it_is_raised_at_once_and_again_at_a_check():
    with CtrlC() as ctrl_c:
        ctrl_c.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.check()


def test_a_handler_of_somebody_else_stays():
    seen = []
    signal.signal(signal.SIGINT, lambda *signalled: seen.append("theirs"))
    with CtrlC() as ctrl_c:
        signal.raise_signal(signal.SIGINT)
        ctrl_c.check()
    signal.raise_signal(signal.SIGINT)
    assert seen == ["theirs", "theirs"]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_in_a_thread_nothing_is_handled():
    found = []

    def inside():
        with CtrlC():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
