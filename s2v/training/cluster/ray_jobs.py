"""Jobs on a Ray cluster: Ray Data hands each of them to a process somewhere, and again if that process dies.

Ray moves no film, feature or shard: jobs name files, which all machines see under the same path, and write them whole
or not at all. So a job that is done twice leaves what it leaves when it is done once.
"""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from s2v.errors import DataError
from s2v.training.cluster.connection import ray_connection
from s2v.training.cluster.on_worker import DONE, LOST, TRIES, Task
from s2v.training.cluster.run_folder import RunFolder, run_folder
from s2v.training.workers import JobRunner

_AT_ONCE = 4096  # jobs handed to Ray Data together: 3 ms of processor and a few kB each, before the first is begun
Job = TypeVar("Job")
Result = TypeVar("Result")
_log = logging.getLogger("s2v")


@contextmanager
def ray_jobs(address: str, workers: int | None, reads: Path, writes: Path) -> Iterator[JobRunner]:
    """A runner of jobs on a cluster.

    Args:
        address: see `ray_connection`.
        workers: processes that work at the same time; None, as many as the cluster has processors.
        reads: absolute path of the input folder; writes: of the output, both on a file system that all machines share.
    Raises: DataError, no cluster.
    """
    with ray_connection(address, workers), run_folder(writes) as folder:
        yield _RayJobs(folder, reads, workers)


@dataclass(frozen=True)
class _RayJobs:
    folder: RunFolder
    reads: Path
    workers: int | None

    def __call__(
        self,
        work: Callable[[Job], Result],
        jobs: Sequence[Job],
        lost: Callable[[Job], Result] | None = None,
    ) -> Iterator[Result]:
        from ray import cloudpickle

        task = cloudpickle.dumps(Task(work, self.folder.path, self.reads))  # type: ignore[no-untyped-call]
        for start in range(0, len(jobs), _AT_ONCE):
            some = jobs[start : start + _AT_ONCE]
            waited_for = set(range(len(some)))
            for row in _rows(task, [pickle.dumps(job) for job in some], self.workers):
                number = row["number"]
                if number in waited_for:  # once, whatever Ray has done again
                    waited_for.remove(number)
                    if row["tries"] > 1:
                        _log.warning("a process of the Ray cluster was killed, and its job was begun again")
                    yield _result(row, some[number], lost)
            if waited_for:
                raise DataError(
                    f"Ray has lost {len(waited_for)} of {len(some)} jobs: run the command again, it goes on"
                )


def _rows(task: bytes, jobs: list[bytes], workers: int | None) -> Iterator[dict[str, Any]]:
    """What became of each job, as they are done. Raises: DataError, the cluster fails."""
    from ray import data

    def step(asked: dict[str, Any]) -> dict[str, Any]:  # inside another function: Ray sends it as code
        try:
            from s2v.training.cluster.on_worker import do_job
        except Exception as error:
            import socket

            text = f"{socket.gethostname()} of the Ray cluster cannot load speech2vid ({error}): install it there"
            return {"number": asked["number"], "kind": "unable", "made": text.encode(), "tries": 1}
        return do_job(task, int(asked["number"]), asked["job"])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        items = [{"number": number, "job": job} for number, job in enumerate(jobs)]
        asked = data.from_items(
            items, override_num_blocks=len(items)
        )  # a job a task: a process that dies ends only one
        most = data.TaskPoolStrategy(size=workers and min(workers, len(items)))
        rows = iter(asked.map(step, num_cpus=1, compute=most).iter_rows())
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row = next(rows)
        except StopIteration:
            return
        except Exception as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise DataError(f"the Ray cluster has failed ({reason}): run the command again, it goes on") from error
        yield row


def _result(row: dict[str, Any], job: Job, lost: Callable[[Job], Result] | None) -> Result:
    if row["kind"] == DONE:
        made: Result = pickle.loads(row["made"])
        return made
    if row["kind"] == LOST:
        if lost is None:
            raise DataError(
                f"the same job has ended {TRIES} processes of the Ray cluster, mostly for want of memory: give it "
                "machines with more, or fewer processes (-w)"
            )
        return lost(job)
    if row["kind"] == "unable":
        raise DataError(row["made"].decode())
    raise pickle.loads(row["made"])
