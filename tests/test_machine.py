"""In processes of their own: what is asked of the C library holds for a whole process."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

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

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")


def outcome(arenas: str, **environment: str) -> dict[str, float]:
    inherited = {name: text for name, text in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", PROGRAM, arenas, str(THREADS)]
    done = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_threads_share_two_arenas() -> None:
    few, many = outcome("few"), outcome("as it is")
    assert few["changed"] is True and few["arenas"] == 2
    assert many["arenas"] > 2


def test_whoever_has_set_another_number_keeps_it() -> None:
    chosen = outcome("few", MALLOC_ARENA_MAX="5")
    assert chosen["changed"] is False and chosen["arenas"] == 5


def test_what_is_free_goes_back_to_the_system() -> None:
    assert outcome("few")["given"] is True
    assert outcome("few")["mb"] > 80
