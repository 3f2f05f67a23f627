"""Calls into a library that may hang: whoever waits for one can be interrupted, and waits only so long.

A thread inside C takes no Ctrl-C: Python handles signals between its own steps only. So such calls are made on a thread
of their own, and the caller waits in Python.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

READ_TIMEOUT_S = 30.0
_POLL_S = 0.2  # Windows handles Ctrl-C only between two waits

Result = TypeVar("Result")


class ReaderThread:
    """Runs calls one after the other on a thread of its own, which does not keep the process from ending."""

    def __init__(self, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="s2v-media", daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], Result]) -> Result:
        """What `call` returns or raises.

        Raises: TimeoutError, it has not come back in time; it goes on until it does, and all later calls wait for it.
        """
        answer: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()
        self._calls.put((call, answer))
        until_s = time.monotonic() + self._timeout_s
        while True:
            try:
                result, error = answer.get(timeout=min(_POLL_S, max(0.0, until_s - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= until_s:
                    raise TimeoutError(f"nothing came for {self._timeout_s:g} s") from None
                continue
            if error is not None:
                raise error
            return result  # type: ignore[return-value]  # one of the two is set

    def finish(self, last: Callable[[], object]) -> None:
        """Make a last call when those at hand have come back, and end, without waiting for either."""
        self._calls.put((last, queue.SimpleQueue()))
        self._calls.put(None)

    def _run(self) -> None:
        while (asked := self._calls.get()) is not None:
            call, answer = asked
            try:
                answer.put((call(), None))
            except BaseException as error:  # handed to whoever asked
                answer.put((None, error))
            del asked, call, answer  # the frame of a loop would keep what they hold until the next call
