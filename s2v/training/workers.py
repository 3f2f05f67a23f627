"""Processes that share the work of a command."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process

from s2v.errors import DataError


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """New processes, quiet on Ctrl-C: it ends after the jobs at hand, and only this process tells it.

    They end with this process, however it ends. They are spawned: a fork copies the locks of this process's
    threads, and torch and OpenCV have threads.
    Raises: DataError, a worker was killed.
    """
    with ProcessPoolExecutor(max(1, workers), get_context("spawn"), initializer=_begin) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise DataError("a worker was killed, mostly for want of memory: take fewer, or cut the clips") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin() -> None:
    # Ctrl-C reaches the workers too: they leave it to their parent, or each would end with a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed parent closes no queue: every worker holds both ends of it and would wait for ever.
    parent = parent_process()
    assert parent is not None, "a worker is a child"
    parent.join()
    os._exit(1)
