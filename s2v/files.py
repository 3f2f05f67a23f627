"""Files that appear whole or not at all, whatever ends the process that writes them.

What is being written lies beside its place as `.s2v-<random>.part`, locked by its writer. The lock goes with the
process, also when that is killed: whoever writes into the folder next removes the parts that nobody holds.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no such locks, so that nothing there can be known to be left over
    fcntl = None  # type: ignore[assignment]

_PART = re.compile(r"\.s2v-[0-9a-f]{12}\.part")


class PartFile:
    """A file on its way: written under another name, until `keep` or `discard`. Both are safe to call twice."""

    def __init__(self, target: Path) -> None:
        """Make it, empty; parts that were left behind in its folder are removed.

        Raises: OSError, naming `target`: its folder cannot be written.
        """
        self.target = target
        folder = target.absolute().parent
        _remove_leftovers_once(folder)
        try:
            self.path, self._lock = _new_part(folder)
        except OSError as error:
            error.filename = str(target)
            raise
        self._open = True

    def keep(self) -> None:
        """Give it its name; what had that name is replaced. Raises: OSError, it cannot have it; then it is gone."""
        if self._open:
            try:
                self.path.replace(self.target)
            finally:
                self.discard()

    def discard(self) -> None:
        """Remove it, unless it has been kept."""
        if self._open:
            self._open = False
            self.path.unlink(missing_ok=True)
            if self._lock is not None:
                os.close(self._lock)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; it gets the name at the end, or is removed if that is never reached."""
    part = PartFile(path)
    try:
        yield part.path
        part.keep()
    finally:
        part.discard()


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file in one go, text as UTF-8."""
    with written_whole(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_leftovers(folder: Path) -> int:
    """Remove the parts in a folder that no living process writes; returns how many. What cannot be removed stays."""
    if fcntl is None:
        return 0
    removed = 0
    with suppress(OSError):  # no such folder, or one that may not be listed
        for path in folder.iterdir():
            removed += _PART.fullmatch(path.name) is not None and _remove_if_left(path)
    return removed


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Whether this process alone works in a folder that exists, until the block ends; True where nobody can tell."""
    if fcntl is None:
        yield True
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        yield _locked(lock, otherwise=True)
    finally:
        os.close(lock)


@cache
def _remove_leftovers_once(folder: Path) -> None:
    """Of processes before this one: listing a folder of a hundred thousand files takes its time."""
    remove_leftovers(folder)


def _new_part(folder: Path) -> tuple[Path, int | None]:
    """An empty part and the descriptor whose lock says that it is being written; None where there are no locks."""
    while True:
        path = folder / f".s2v-{secrets.token_hex(6)}.part"
        # Created by us: honours the umask, and never follows somebody else's link.
        lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if fcntl is None:
            os.close(lock)
            return path, None
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return path, lock
        os.close(lock)  # removed by somebody who saw it before it was locked


def _remove_if_left(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDWR)
    except OSError:  # gone meanwhile, or somebody else's
        return False
    try:
        if not _locked(lock, otherwise=False):
            return False
        path.unlink()
        return True
    except OSError:
        return False
    finally:
        os.close(lock)


def _locked(lock: int, otherwise: bool) -> bool:
    """Take a lock if nobody has it. Args: otherwise: what to say where the file system has no locks."""
    if fcntl is None:
        return otherwise
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return otherwise
    return True
