"""Memory in processes of their own (what is asked of the C library holds for a whole process), cores in a made-up /."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from s2v.machine import LEAST_CORES, core_count, processor_name, usable_cores

THREADS = 12
PROGRAM = """
import ctypes, json, re, sys, tempfile, threading
from s2v.machine import give_memory_back, use_few_arenas

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def resident_mb():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20

def arenas():
    libc.fopen.restype, libc.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_char_p]
    libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
    with tempfile.NamedTemporaryFile() as file:
        stream = libc.fopen(file.name.encode(), b"w")
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        return len(re.findall("<heap ", file.read().decode()))

changed = use_few_arenas() if sys.argv[1] == "few" else None
together = threading.Barrier(int(sys.argv[2]))

def work():
    together.wait()
    for _ in range(100):
        libc.free(libc.malloc(50_000))
    together.wait()

threads = [threading.Thread(target=work) for _ in range(int(sys.argv[2]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
count = arenas()

pieces = [libc.malloc(60_000) for _ in range(2000)]
for piece in pieces: ctypes.memset(piece, 1, 60_000)
for piece in pieces[:-1]: libc.free(piece)  # the last one keeps the top of the heap
before = resident_mb()
given = give_memory_back()
print(json.dumps({"changed": changed, "arenas": count, "given": given, "mb": before - resident_mb()}))
"""

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")


def outcome(arenas: str, **environment: str) -> dict[str, float]:
    inherited = {name: text for name, text in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", PROGRAM, arenas, str(THREADS)]
    done = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@needs_glibc
def test_threads_share_two_arenas() -> None:
    few, many = outcome("few"), outcome("as it is")
    assert few["changed"] is True and few["arenas"] == 2
    assert many["arenas"] > 2


@needs_glibc
def test_whoever_has_set_another_number_keeps_it() -> None:
    chosen = outcome("few", MALLOC_ARENA_MAX="5")
    assert chosen["changed"] is False and chosen["arenas"] == 5


@needs_glibc
def test_what_is_free_goes_back_to_the_system() -> None:
    assert outcome("few")["given"] is True
    assert outcome("few")["mb"] > 80


BOUND_TO = usable_cores(Path("/nowhere"))  # without any quota
HALF, TENTH = "50000 100000", "10000 100000"


def a_system(root: Path, memberships: str, files: dict[str, str]) -> Path:
    """A tree with this /proc/self/cgroup and these files below /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(memberships)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("memberships", "files", "cores"),
    [
        pytest.param("0::/\n", {"cpu.max": HALF}, 0.5, id="inside a container"),
        pytest.param("0::/\n", {"cpu.max": "max 100000"}, BOUND_TO, id="no limit"),
        pytest.param("0::/\n", {}, BOUND_TO, id="the root group has no such file"),
        pytest.param("0::/a.slice/b.service\n", {"a.slice/b.service/cpu.max": HALF}, 0.5, id="a service of systemd"),
        pytest.param(
            "0::/a.slice/b.service\n",
            {"a.slice/b.service/cpu.max": HALF, "a.slice/cpu.max": TENTH, "cpu.max": "max 100000"},
            0.1,
            id="the group around it has less",
        ),
        pytest.param(
            "0::/a.slice/b.service\n",
            {"a.slice/cpu.max": HALF, "a.slice/other/cpu.max": TENTH},
            0.5,
            id="a neighbour's",
        ),
        pytest.param(
            "0::/../../elsewhere\n",
            {"cpu.max": HALF, "../cpu.max": TENTH, "../../elsewhere/cpu.max": TENTH},
            0.5,
            id="a group that this process is not shown",
        ),
        pytest.param("0::elsewhere\n", {"cpu.max": HALF}, BOUND_TO, id="not a group's name"),
        pytest.param("0::/a/b\n", {"a/b/cpu.max": "1 1", "a/cpu.max": "3 10"}, 0.3, id="another period"),
        pytest.param(
            "4:cpu,cpuacct:/\n",
            {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"},
            0.5,
            id="version 1, mounted without the other controller",
        ),
        pytest.param(
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "0", "cpu/cpu.cfs_period_us": "100000"},
            BOUND_TO,
            id="version 1, a quota of nothing",
        ),
        pytest.param(
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "5"},
            0.2,
            id="version 1, the smallest quota",
        ),
        pytest.param(
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "0"},
            BOUND_TO,
            id="version 1, no period",
        ),
        pytest.param("0::/docker/abc\n", {"cpu.max": HALF}, 0.5, id="the host's name of a group mounted alone"),
        pytest.param(
            "4:cpu,cpuacct:/\n1:name=systemd:/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            0.5,
            id="version 1",
        ),
        pytest.param(
            "1:cpu:/docker/abc\n0::/\n",
            {
                "cpu/docker/cpu.cfs_quota_us": "20000",
                "cpu/docker/cpu.cfs_period_us": "50000",
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
            },
            0.4,
            id="version 1, the group around it",
        ),
        pytest.param(
            "2:cpuset:/x\n1:cpu:/\n",
            {"cpuset/x/cpu.cfs_quota_us": "50000", "cpuset/x/cpu.cfs_period_us": "100000"},
            BOUND_TO,
            id="version 1, another controller",
        ),
        pytest.param("1:cpu:/\n0::/a\n", {"unified/a/cpu.max": HALF}, 0.5, id="both versions"),
        pytest.param("0::/\n", {"cpu.max": "100 100000"}, LEAST_CORES, id="next to nothing"),
        pytest.param("0::/\n", {"cpu.max": "50000 0"}, BOUND_TO, id="no period"),
        pytest.param("0::/\n", {"cpu.max": "damaged"}, BOUND_TO, id="damaged"),
        pytest.param("nonsense\n\n0::/\n", {"cpu.max": HALF}, 0.5, id="a line of another form"),
        pytest.param("0::/\n", {"cpu.max": "100000000 100000"}, BOUND_TO, id="more than there are"),
    ],
)
def test_cores_are_what_the_control_groups_leave(
    tmp_path: Path, memberships: str, files: dict[str, str], cores: float
) -> None:
    assert usable_cores(a_system(tmp_path, memberships, files)) == pytest.approx(cores)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to a core")
def test_a_process_bound_to_one_core_has_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from pathlib import Path;"
        "from s2v.machine import usable_cores; print(usable_cores(Path('/nowhere')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "1.0\n", done.stderr


@pytest.mark.parametrize(("cores", "count"), [(0.1, 1), (1.0, 1), (1.9, 1), (2.0, 2), (3.6, 3)])
def test_a_part_of_a_core_keeps_no_thread_busy(monkeypatch: pytest.MonkeyPatch, cores: float, count: int) -> None:
    monkeypatch.setattr("s2v.machine.usable_cores", lambda: cores)
    assert core_count() == count


def test_a_system_that_does_not_say_has_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(Path("/nowhere")) == 1


def test_there_is_a_core_and_a_name() -> None:
    assert core_count() >= 1 and isinstance(core_count(), int)
    assert processor_name()
