"""Processes that share the work of a command."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

from s2v.errors import DataError


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """New processes, quiet on Ctrl-C: it ends after the jobs at hand, and only this process tells it.

    They are spawned: a fork copies the locks of this process's threads, and torch and OpenCV have threads.
    Raises: DataError, a worker was killed.
    """
    # Ctrl-C reaches the workers too: they leave it to this process, or each would end with a traceback.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    spawn = get_context("spawn")
    with ProcessPoolExecutor(max(1, workers), spawn, initializer=signal.signal, initargs=ignore) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise DataError("a worker was killed, mostly for want of memory: take fewer, or cut the clips") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
