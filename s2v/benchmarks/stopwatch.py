"""Times of functions that call each other: every moment counts for the innermost one, so the parts add up."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Spent(NamedTuple):
    """Seconds of one stage."""

    wall_s: float = 0.0
    cpu_s: float = 0.0  # processor time of the whole process: what other threads do meanwhile counts too

    def plus(self, wall_s: float, cpu_s: float) -> Spent:
        return Spent(self.wall_s + wall_s, self.cpu_s + cpu_s)


TimedRun = dict[str, Spent]  # by stage


class Stopwatch:
    """One thread's watch; reading both clocks takes about a microsecond, twice a timed call."""

    def __init__(
        self, wall_s: Callable[[], float] = time.perf_counter, cpu_s: Callable[[], float] = time.process_time
    ) -> None:
        self._wall_s, self._cpu_s = wall_s, cpu_s
        self._running: list[str] = []  # stages entered and not left, the innermost last
        self._since = (0.0, 0.0)
        self._lap: TimedRun = {}

    def timed(self, stage: str, function: Callable[P, R]) -> Callable[P, R]:
        """The same function, whose time counts for `stage`, without what is timed inside it."""

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            self._count()
            self._running.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._count()
                self._running.pop()

        return run

    def put_on(self, owner: object, method: str, stage: str) -> None:
        """Time one object's method from now on; its class and other objects stay as they are.

        Raises: AttributeError, it has no such method.
        """
        setattr(owner, method, self.timed(stage, getattr(owner, method)))

    def lap(self) -> TimedRun:
        """What the stages have taken since the last lap; to be asked when none is running."""
        assert not self._running, f"{self._running} still run"
        lap, self._lap = self._lap, {}
        return lap

    def _count(self) -> None:
        """The time since the last change belongs to the stage that ran."""
        wall_s, cpu_s = self._wall_s(), self._cpu_s()
        if self._running:
            stage = self._running[-1]
            self._lap[stage] = self._lap.get(stage, Spent()).plus(wall_s - self._since[0], cpu_s - self._since[1])
        self._since = wall_s, cpu_s
