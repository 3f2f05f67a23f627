"""What this machine gives a process: the cores it may use, and memory given back to the system."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

# glibc gives each busy thread an arena of its own, up to eight per core, and keeps what is freed in it. Measured: after
# 300 calls 550 of 1000 MB were free and not given back; with two arenas, 220 of 675 MB after 150; 460 MB after a trim.
M_ARENA_MAX = -8  # glibc's malloc.h
ARENAS = 2
LEAST_CORES = 0.1  # a container with less cannot even start Python; a quota that says so is a mistake


def usable_cores(root: Path = Path("/")) -> float:
    """The processors that this process may use: those it is bound to, or the share that its control groups are given.

    Args:
        root: where /proc and /sys/fs/cgroup are looked for.
    Returns: at least LEAST_CORES; 0.5 is half the time of one.
    Source: the kernel's cgroup-v2.rst ("cpu.max") and sched-bwc.rst (version 1). A limit holds for all groups below it.
    """
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return max(min((cores, *_quotas(root))), LEAST_CORES)


def core_count() -> int:
    """How many threads or processes `usable_cores` can keep busy: at least 1."""
    return max(1, int(usable_cores()))


def processor_name() -> str:
    """What its maker calls it, where the system says so."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _quotas(root: Path) -> Iterator[float]:
    """The cores that each control group around this process is given, where it has a limit."""
    try:
        memberships = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        memberships = []
    for line in memberships:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not group.startswith("/"):
            continue
        if not controllers:  # version 2; with version 1 beside it, it lies in "unified"
            for mount in ("", "unified"):
                yield from map(_quota_v2, _groups(root / "sys/fs/cgroup" / mount, group))
        elif "cpu" in controllers.split(","):
            for mount in {"cpu", controllers}:
                yield from map(_quota_v1, _groups(root / "sys/fs/cgroup" / mount, group))


def _groups(mount: Path, group: str) -> Iterator[Path]:
    """A group's folder and those around it. In a container the mount may be the group itself: there is no more then."""
    parts = PurePosixPath(group).parts[1:]
    if ".." not in parts:  # a group outside of what this process is shown
        yield from (mount.joinpath(*parts[:n]) for n in range(len(parts), 0, -1))
    yield mount


def _quota_v2(group: Path) -> float:
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such limit, or "max"
        return math.inf


def _quota_v1(group: Path) -> float:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((group / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return quota / period if quota > 0 else math.inf  # -1: no limit
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


@cache
def _glibc() -> ctypes.CDLL | None:
    """None on other systems, and with other C libraries."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def use_few_arenas() -> bool:
    """To be called before threads are started; whoever sets MALLOC_ARENA_MAX knows better.

    Returns: whether anything was changed.
    """
    library = _glibc()
    return library is not None and "MALLOC_ARENA_MAX" not in os.environ and library.mallopt(M_ARENA_MAX, ARENAS) == 1


def give_memory_back() -> bool:
    """Give what is free to the system, on any thread; takes some tens of milliseconds.

    Returns: whether anything was given.
    """
    library = _glibc()
    return library is not None and library.malloc_trim(0) == 1
