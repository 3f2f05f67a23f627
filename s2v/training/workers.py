"""Processes that share the work of a command."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import NoReturn, Protocol, TypeVar

from s2v.errors import DataError
from s2v.interrupts import ignore_ending, signals_blocked
from s2v.logs import LogSettings, log_settings, start_logging
from s2v.terminal import guard_streams

CLEAN_UP_TIMEOUT_S = 1  # half-written files are removed by then
Job = TypeVar("Job")
Result = TypeVar("Result")


class JobRunner(Protocol):
    """Does many jobs; each result comes when it is there."""

    def __call__(
        self,
        work: Callable[[Job], Result],
        jobs: Sequence[Job],
        lost: Callable[[Job], Result] | None = None,
    ) -> Iterator[Result]:
        """
        Args: lost: what stands for the result of a job that has killed its process again and again, where a run can
            go on without it; None, it cannot.
        Raises: what `work` raises; DataError, a worker was killed.
        """


@contextmanager
def job_processes(workers: int) -> Iterator[JobRunner]:
    """New processes of this machine, see `worker_pool`."""
    with worker_pool(workers) as pool:

        def run(
            work: Callable[[Job], Result], jobs: Sequence[Job], lost: Callable[[Job], Result] | None = None
        ) -> Iterator[Result]:
            return (made.result() for made in as_completed([pool.submit(work, job) for job in jobs]))

        yield run


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """New processes, quiet on Ctrl-C: it ends after the jobs at hand, and only this process tells it.

    They end with this process, however it ends. They are spawned: a fork copies the locks of this process's
    threads, and torch and OpenCV have threads.
    Raises: DataError, a worker was killed.
    """
    with signals_blocked():  # the standard library's own helper ignores Ctrl-C and SIGTERM, but not a closing terminal
        resource_tracker.ensure_running()
    with ProcessPoolExecutor(max(1, workers), _Spawn(), _begin, (log_settings(),)) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise DataError("a worker was killed, mostly for want of memory: take fewer, or cut the clips") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _Process(SpawnProcess):
    """A Ctrl-C that comes while it starts waits until it is ignored."""

    def start(self) -> None:
        with signals_blocked():
            super().start()


class _Spawn(SpawnContext):
    Process = _Process


def _begin(logged: LogSettings) -> None:
    # Signals reach the workers too: they leave them to their parent, or each would end with a traceback ...
    ignore_ending()
    if hasattr(signal, "pthread_sigmask"):  # ... but the pool itself ends with SIGTERM those that are left
        signal.signal(signal.SIGTERM, _clean_up)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    guard_streams()
    start_logging(logged)
    end_with_parent()


def _clean_up(number: int, _: object) -> NoReturn:
    if hasattr(signal, "alarm"):  # the pool takes what ends a job for its result, and waits for the next one
        signal.alarm(CLEAN_UP_TIMEOUT_S)
    raise SystemExit(128 + number)


def end_with_parent() -> None:
    """For a worker: it ends when its parent does, however that ends, and whatever it is doing or waiting for."""
    threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    # A killed parent closes no queue: every worker holds both ends of it and would wait for ever.
    parent = parent_process()
    assert parent is not None, "a worker is a child"
    parent.join()
    os._exit(1)
