"""Waiting for a library that hangs."""

from __future__ import annotations

import operator
import signal
import threading
from functools import partial

import pytest

from s2v.media.threads.reader_thread import ReaderThread


def test_results_and_failures_come_back_in_order() -> None:
    thread = ReaderThread()
    assert [thread.run(partial(operator.mul, n, n)) for n in range(4)] == [0, 1, 4, 9]
    with pytest.raises(ZeroDivisionError):
        thread.run(lambda: 1 // 0)
    assert thread.run(threading.current_thread) is not threading.current_thread()
    thread.finish(int)


def test_what_hangs_is_left_behind_and_closed_when_it_comes_back() -> None:
    thread, goes_on, closed = ReaderThread(timeout_s=0.01), threading.Event(), threading.Event()
    with pytest.raises(TimeoutError, match=r"nothing came for 0\.01 s"):
        thread.run(goes_on.wait)
    thread.finish(closed.set)
    assert not closed.is_set()
    goes_on.set()
    assert closed.wait(10)


def test_ctrl_c_cuts_the_wait() -> None:
    thread, goes_on = ReaderThread(), threading.Event()
    waiting = threading.main_thread().ident
    assert waiting is not None

    def interrupted_while_it_reads() -> None:
        signal.pthread_kill(waiting, signal.SIGINT)
        goes_on.wait()

    with pytest.raises(KeyboardInterrupt):
        thread.run(interrupted_while_it_reads)
    thread.finish(int)
    goes_on.set()
