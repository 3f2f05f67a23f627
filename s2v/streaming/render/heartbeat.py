"""Whether a process still works: it is asked again and again, and one that stands still does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

BEAT_S = 1.0  # how often it is asked, and how long each look for the answer lasts
LATE = 2  # missed: nobody should be sent there now
MISSES = 5  # looks in a row, not seconds of a clock: while all of us were stopped (Ctrl-Z), nobody looked


class Line(Protocol):
    """What is used of `multiprocessing.connection.Connection`."""

    def send(self, what: None, /) -> None: ...

    def poll(self, within_s: float, /) -> bool: ...

    def recv(self) -> bool: ...


class Heartbeat:
    """The asking side. The answer is whether work is overdue, see `Deadlines`."""

    def __init__(self, line: Line, beat_s: float = BEAT_S) -> None:
        self.answered = True  # the last question
        self.late = False  # the last answers have not come, or said that work is overdue
        self._line = line
        self._beat_s = beat_s
        self._misses = 0

    def look(self) -> str | None:
        """Ask, unless an answer is still to come, and look for the answer for one beat.

        Returns: what is wrong with the process, if it must be replaced.
        """
        try:
            if self.answered:
                self._line.send(None)
            self.answered = self._line.poll(self._beat_s)
            overdue = self._line.recv() if self.answered else True
        except (EOFError, OSError):
            return "has ended"
        self._misses = self._misses + 1 if overdue else 0
        self.late = self._misses >= LATE
        return "stands still" if self._misses >= MISSES else None


class Deadlines:
    """The answering side: what is being worked on, on any thread, and whether it takes longer than it may."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._ends_s: dict[object, float] = {}

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What is done inside should be done by then."""
        work = object()
        with self._lock:
            self._ends_s[work] = self._now() + seconds
        try:
            yield
        finally:
            with self._lock:
                del self._ends_s[work]

    @property
    def overdue(self) -> bool:
        with self._lock:
            return any(self._now() > ends_s for ends_s in self._ends_s.values())
