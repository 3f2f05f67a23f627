"""Time that passes at once: what a test waits for has come as soon as nothing else is left to do.

One approach for all tests without a real wire, browser or sound device: an event loop whose clock stands still while
anything can run and jumps to the next timer when nothing can. `asyncio.sleep`, `asyncio.timeout` and `asyncio.wait`
work as ever; several sleepers wake in their order, as in reality. Threads take no time: while one works, the clock
stands. Whatever reads a clock is given `now`, which is this loop's time.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple, Unpack

LOOK_AGAIN_S = 0.001  # real time, while a thread works
RESOLUTION_S = 1e-9  # asyncio fires what is due within this; the clock must have got there
GIVE_UP_AFTER_S = 3600.0  # of virtual time: a test that waits so long waits for something that never comes
OUR_THREADS = ("s2v-microphone",)  # besides the loop's executors

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")


class VirtualTime:
    """A monotonic clock that a test moves, or the event loop of `run`."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._loop: _Loop | None = None
        self._jobs = 0  # that threads of executors have been given and not finished
        self._resting: dict[threading.Thread, tuple[threading.Event, float]] = {}

    def now(self) -> float:
        return self.now_s

    def run(self, test: Awaitable[None], within_s: float = GIVE_UP_AFTER_S) -> None:
        """Run a coroutine on an event loop that lives in this time; at most that long, in virtual seconds."""

        async def limited() -> None:
            async with asyncio.timeout(within_s):
                await test

        with asyncio.Runner(loop_factory=self._make_loop) as runner:
            runner.run(limited())

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """`event.wait(seconds)` in this time, on a thread of the loop's executors or of OUR_THREADS."""
        loop, until_s = self._loop, self.now_s + seconds
        assert loop is not None
        loop.call_soon_threadsafe(loop.call_at, until_s, lambda: None)  # first: the clock must not jump over it
        self._resting[threading.current_thread()] = event, until_s
        while not event.wait(LOOK_AGAIN_S) and self.now_s < until_s:
            pass
        del self._resting[threading.current_thread()]
        return event.is_set()

    def thread_works(self) -> bool:
        ours = sum(thread.name in OUR_THREADS for thread in threading.enumerate())
        return self._jobs + ours > sum(map(self._rests, list(self._resting.values())))

    def job(self, begins: bool) -> None:
        self._jobs += 1 if begins else -1

    def _rests(self, waiting: tuple[threading.Event, float]) -> bool:
        event, until_s = waiting
        return not event.is_set() and self.now_s < until_s

    def _make_loop(self) -> _Loop:
        self._loop = _Loop(self)
        return self._loop


class _Selector(selectors.SelectSelector):
    """Instead of waiting for the next timer, moves the clock there, unless a thread works or data has come."""

    def __init__(self, virtual: VirtualTime) -> None:
        super().__init__()
        self._virtual = virtual

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        works = self._virtual.thread_works()  # before looking: what a thread has done last must not be overlooked
        ready = super().select(LOOK_AGAIN_S if timeout is None or (works and timeout > 0) else 0)
        if not ready and not works and timeout is not None and timeout > 0:
            self._virtual.now_s += timeout + RESOLUTION_S
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, virtual: VirtualTime) -> None:
        super().__init__(_Selector(virtual))
        self._virtual = virtual

    def time(self) -> float:
        return self._virtual.now_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Arguments]], T], *args: *Arguments
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._virtual.job(begins=True)
        future.add_done_callback(lambda _: self._virtual.job(begins=False))
        return future
