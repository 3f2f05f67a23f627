"""Where the jobs of a command are done: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s2v.training.workers import JobRunner, job_processes


@contextmanager
def shared_work(workers: int | None, ray: str | None, reads: Path, writes: Path) -> Iterator[JobRunner]:
    """A runner of jobs that read below one folder and write below another.

    Args:
        workers: processes; None is one here, and as many as there are processors on a cluster.
        ray: the cluster's address, "local", "auto" or HOST:PORT. All its machines see both folders, and absolute paths
            name them.
    Raises: DataError, no cluster, or a worker was killed.
    """
    if ray is None:
        with job_processes(workers or 1) as run:
            yield run
        return
    from s2v.training.cluster.ray_jobs import ray_jobs

    with ray_jobs(ray, workers, reads, writes) as run:
        yield run
