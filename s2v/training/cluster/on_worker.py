"""What a Ray process does with a job: what a process of this machine does, and whatever comes of it is a row.

Nothing is raised here: Ray would end the whole run with a traceback of its own, and what a job raises is its caller's.
"""

from __future__ import annotations

import pickle
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from s2v.errors import DataError, S2vError
from s2v.training.cluster.run_folder import RunFolder
from s2v.version import __version__

TRIES = 3  # a job that has ended as many processes is given up

DONE, LOST, RAISED = "done", "lost", "raised"  # kinds of row; `made` holds the result, nothing, or the exception


@dataclass(frozen=True)
class Task:
    """What all jobs of a run have in common."""

    work: Callable[[Any], Any]
    folder: Path  # of the run
    reads: Path  # the input
    version: str = __version__


def do_job(task: bytes, number: int, job: bytes) -> dict[str, Any]:
    """Do a job. Args: task, job: pickled. Returns: a row with `number`, `kind`, `made`, pickled, and `tries`."""
    tries = 1
    try:
        common = _task(task)
        folder = RunFolder(common.folder)
        tries = _begin(folder, number)
        try:
            if tries > TRIES:
                kind, made = LOST, b""
            else:
                kind, made = DONE, pickle.dumps(common.work(pickle.loads(job)))
        finally:
            folder.end(number)
    except Exception as error:
        kind, made = RAISED, _pickled(error)
    return {"number": number, "kind": kind, "made": made, "tries": tries}


@lru_cache(maxsize=1)
def _task(pickled: bytes) -> Task:
    """Raises: DataError, this machine cannot do it."""
    task: Task = pickle.loads(pickled)
    if task.version != __version__:
        raise DataError(
            f"{socket.gethostname()} of the Ray cluster has speech2vid {__version__}, not {task.version} as this "
            "machine: install the same everywhere"
        )
    for folder in (task.reads, task.folder.parent):
        if not folder.is_dir():
            raise _unseen(folder)
    return task


def _begin(folder: RunFolder, number: int) -> int:
    try:
        return folder.begin(number)
    except FileNotFoundError:
        raise _unseen(folder.path.parent) from None


def _unseen(folder: Path) -> DataError:
    return DataError(
        f"{socket.gethostname()} of the Ray cluster does not see {folder} as this machine does: with --ray, input and "
        "output lie on a file system that all machines share, under the same path"
    )


def _pickled(error: Exception) -> bytes:
    if not isinstance(error, S2vError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)
    except Exception:
        return pickle.dumps(DataError(f"{type(error).__name__}: {error}"))
    return pickled
