"""Memory for frames is there when it is given, or one caller is told; names do not pile up."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from s2v.errors import BackendError, UnavailableError
from s2v.streaming.render.frame_memory import FOLDER, LEFT_BEHIND_S, PREFIX, reserve, shortage, sweep

on_linux = pytest.mark.skipif(not FOLDER.is_dir(), reason="elsewhere it has no folder")


@on_linux
def test_all_of_it_is_there_before_anybody_writes() -> None:
    memory = reserve(300_000)
    try:
        assert memory.size >= 300_000
        assert (FOLDER / memory.name.lstrip("/")).stat().st_blocks * 512 >= 300_000, "a hole would kill who fills it"
    finally:
        memory.close()
        memory.unlink()


@on_linux
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOMEM])
def test_a_caller_for_whom_there_is_no_room_is_told_and_nothing_is_left(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(number, os.strerror(number))

    before = sorted(FOLDER.iterdir())
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UnavailableError, match=r"/dev/shm has \d+ KiB left .* needs 98 KiB: .*--shm-size") as refusal:
        reserve(100_000)
    assert "\n" not in str(refusal.value) and isinstance(refusal.value, BackendError)
    assert sorted(FOLDER.iterdir()) == before
    number = errno.EPERM
    with pytest.raises(BackendError, match=r"cannot share memory here \(.*\): mount /dev/shm") as other:
        reserve(100_000)
    assert not isinstance(other.value, UnavailableError) and sorted(FOLDER.iterdir()) == before


@on_linux
def test_whether_there_is_room_is_known_beforehand() -> None:
    assert shortage(1) is None
    reason = shortage(1 << 60)
    assert reason is not None and "too full for another session" in reason and "\n" not in reason


SERVE_UNTIL_FULL = """
import sys
from s2v.errors import UnavailableError
from s2v.streaming.render.frame_memory import reserve

held = []
try:
    while len(held) < 100:
        held.append(reserve(300_000))
except UnavailableError as error:
    print(error)
for memory in held:
    memory.buf[:] = bytes(memory.size)  # the system ends whoever writes where nothing is
    memory.close()
    memory.unlink()
print(len(held))
"""


@on_linux
@pytest.mark.skipif(os.geteuid() != 0 if hasattr(os, "geteuid") else True, reason="only root may mount")
def test_on_a_small_file_system_those_who_fit_can_fill_what_they_have(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=2m none /dev/shm || exit 77; exec "$0" -c "$1"'
    command = ["unshare", "-m", "sh", "-c", mount, sys.executable, SERVE_UNTIL_FULL]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if ended.returncode in (1, 77) and ("mount" in ended.stderr or "unshare" in ended.stderr):
        pytest.skip("this container may not mount")
    assert ended.returncode == 0, ended.stderr
    refused, held = ended.stdout.splitlines()
    assert refused.startswith("/dev/shm has") and held == "6", "2 MiB hold six of 293 KiB, in pages"


def test_what_killed_processes_left_behind_is_swept_and_what_others_just_make_is_not(tmp_path: Path) -> None:
    for name in (f"{PREFIX}1-old", f"{PREFIX}2-new", "another-program"):
        (tmp_path / name).write_bytes(b"frames")
        os.utime(tmp_path / name, (1000.0, 1000.0 if "new" not in name else 1000.0 + LEFT_BEHIND_S))
    assert sweep(1000.0 + LEFT_BEHIND_S + 1, tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another-program", f"{PREFIX}2-new"]
    assert sweep(1e9, tmp_path / "none") == 0
