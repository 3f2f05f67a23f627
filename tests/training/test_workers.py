from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from s2v.errors import DataError
from s2v.files import written_whole
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


PARENT = """
import os, time
from s2v.training.workers import worker_pool
if __name__ == "__main__":
    with worker_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        busy = pool.submit(time.sleep, {sleep_s})
        time.sleep(60)
"""


@pytest.mark.parametrize("sleep_s", [0, 60], ids=["idle", "at work"])
@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, ended_by: int, sleep_s: int) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(sleep_s=sleep_s))
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert _runs(worker)
        parent.send_signal(ended_by)
    deadline_s = time.monotonic() + 20
    while _runs(worker) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    """Whether the process runs still; a zombie, which its new parent has not fetched yet, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _write_slowly(path: Path) -> None:
    with written_whole(path) as beside:
        beside.write_text("half")
        time.sleep(60)


def test_a_worker_that_is_told_to_end_leaves_no_half_written_file(tmp_path: Path) -> None:
    """As the pool tells them when another one has been killed, and a service manager all of a group."""
    with pytest.raises(DataError, match="a worker was killed"), worker_pool(1) as pool:
        worker = pool.submit(os.getpid).result()
        job = pool.submit(_write_slowly, tmp_path / "out")
        deadline_s = time.monotonic() + 20
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert list(tmp_path.iterdir())
        os.kill(worker, signal.SIGTERM)
        with pytest.raises(SystemExit):  # the job's, handed on ...
            job.result(20)
        assert list(tmp_path.iterdir()) == []
        pool.submit(time.sleep, 60).result(20)  # ... and the worker itself follows
