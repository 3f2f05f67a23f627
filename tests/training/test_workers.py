from __future__ import annotations

import os
import signal

import pytest

from s2v.errors import DataError
from s2v.training.workers import worker_pool


def test_workers_are_fresh_processes_that_leave_ctrl_c_to_their_parent() -> None:
    with worker_pool(1) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


def test_a_worker_that_is_killed_is_one_line() -> None:
    with pytest.raises(DataError, match="a worker was killed"), worker_pool(1) as pool:
        pool.submit(os._exit, 9).result()


def test_ctrl_c_does_not_wait_for_jobs_that_have_not_begun() -> None:
    with pytest.raises(KeyboardInterrupt), worker_pool(1) as pool:
        jobs = [pool.submit(pow, 2, i) for i in range(5000)]
        raise KeyboardInterrupt
    assert any(job.cancelled() for job in jobs)
