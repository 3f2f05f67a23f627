"""The folder of a run on a Ray cluster: how its processes know that they see the run's output, and count their tries.

It lies hidden in the output, `.s2v-ray-<random>`. A machine that does not find it writes somewhere else. While a job is
done a file with its number lies there, a byte long for each time that it was begun: a job whose process was killed is
begun again by Ray, without end where it is the job that kills.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = ".s2v-ray-"
_ABANDONED_S = 24 * 3600  # every job that begins or ends changes the folder; none takes a day


class RunFolder:
    """As one process sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, number: int) -> int:
        """Returns: how often this job has been begun, now included. Raises: FileNotFoundError, no such folder here."""
        with self._tries(number).open("ab") as file:
            file.write(b".")
            file.flush()
            return file.tell()

    def end(self, number: int) -> None:
        """The job has come to its end, a good or a bad one, in a living process."""
        with suppress(OSError):
            self._tries(number).unlink(missing_ok=True)

    def _tries(self, number: int) -> Path:
        return self.path / str(number)


@contextmanager
def run_folder(output: Path) -> Iterator[RunFolder]:
    """A new one, removed in the end; those that killed runs have left are removed, too. Raises: OSError."""
    output.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        for old in output.glob(f"{_PREFIX}*"):
            if time.time() - old.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(old, ignore_errors=True)
    path = output / f"{_PREFIX}{secrets.token_hex(6)}"
    path.mkdir()
    try:
        yield RunFolder(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
