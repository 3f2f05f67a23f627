"""Memory that two processes share, which is there before anybody writes: else the system kills who writes."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

from s2v.errors import BackendError, UnavailableError

FOLDER = Path("/dev/shm")  # where Linux keeps it; elsewhere it is reserved when it is made, or has no name to be left
PREFIX = "s2v-frames-"
LEFT_BEHIND_S = 60.0  # a name is there for moments only, until both sides have the memory
NO_ROOM = (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT)


def reserve(size: int) -> SharedMemory:
    """So many bytes, all of them set aside. To be closed, and unlinked as soon as the other side has it.

    Raises: UnavailableError, there is not as much left. BackendError, this machine shares none.
    """
    name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
    try:
        memory = SharedMemory(name, create=True, size=size)
    except OSError as error:
        raise _refusal(error, size) from None
    try:
        _set_aside(FOLDER / memory.name.lstrip("/"), size)
    except OSError as error:
        memory.close()
        memory.unlink()
        raise _refusal(error, size) from None
    return memory


def shortage(size: int) -> str | None:
    """Why so many bytes could not be reserved now, in one line, where that can be known beforehand."""
    try:
        free = shutil.disk_usage(FOLDER).free
    except OSError:
        return None
    return None if free >= size else str(_refusal(OSError(errno.ENOSPC, ""), size))


def sweep(now_s: float, folder: Path = FOLDER) -> int:
    """Remove what processes that were killed have left behind before `now_s` (epoch). How many pieces that were."""
    before_s = now_s - LEFT_BEHIND_S
    swept = 0
    for path in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another server sweeps too, or it is another user's
            if path.stat().st_mtime < before_s:
                path.unlink()
                swept += 1
    return swept


def _set_aside(path: Path, size: int) -> None:
    """Raises: OSError, there is no room."""
    if not hasattr(os, "posix_fallocate") or not path.is_file():
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def _refusal(error: OSError, size: int) -> BackendError:
    if error.errno not in NO_ROOM:
        return BackendError(f"processes cannot share memory here ({error.strerror}): mount {FOLDER}, for all to write")
    left = ""
    with contextlib.suppress(OSError):
        left = f" has {shutil.disk_usage(FOLDER).free >> 10} KiB left and"
    return UnavailableError(
        f"{FOLDER}{left} is too full for another session, which needs {-(-size // 1024)} KiB: make it larger "
        "(docker run --shm-size=1g), or serve fewer sessions"
    )
