"""Time comes from the clock that a session is given: nobody in the streaming room asks the machine for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

STREAMING = Path(__file__).parents[2] / "s2v" / "streaming"
CLOCKS = {"monotonic", "monotonic_ns", "time", "time_ns", "perf_counter", "perf_counter_ns", "sleep"}  # of `time`
MACHINE_TIME = {  # who reads the machine's clock, and why that is right
    "server/capacity.py": "measures what a frame costs on the real machine",
    "render/client.py": "joins a real process, and sweeps real files",
}
FILES = [path for path in sorted(STREAMING.rglob("*.py")) if path.relative_to(STREAMING).as_posix() not in MACHINE_TIME]


def clock_readings(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every call that reads a clock or waits by it, instead of by one that was handed in.

    A default argument `now=time.monotonic` is none: it is handed in by whoever builds the outermost object.
    """
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "asyncio", "datetime")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        text = ast.unparse(node.func)
        text = names.get(text, text)
        head, _, last = text.rpartition(".")
        is_loop_time = last == "time" and head.endswith(("loop", "loop()"))
        waits = text == "asyncio.sleep" and not (node.args and ast.unparse(node.args[0]) == "0")  # 0 only gives way
        if (
            (head == "time" and last in CLOCKS)
            or is_loop_time
            or waits
            or (last in ("now", "utcnow") and "date" in head)
        ):
            yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(STREAMING).as_posix())
def test_nobody_reads_the_machines_clock(path: Path) -> None:
    found = [f"{path.name}:{line}: {text}" for line, text in clock_readings(path.read_text(encoding="utf-8"))]
    assert not found, "take `now` or `sleep` from whoever makes this object"


@pytest.mark.parametrize("name", MACHINE_TIME)
def test_an_exception_is_needed(name: str) -> None:
    assert list(clock_readings((STREAMING / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("import time\ntime.monotonic()", 1),
        ("import time\ndef f(now=time.monotonic): return now()", 0),
        ("from time import perf_counter as now\nnow()", 1),
        ("import asyncio\nasyncio.get_running_loop().time()", 1),
        ("self._loop.time()", 1),
        ("import asyncio\nasync def f(): await asyncio.sleep(0.1)", 1),
        ("import asyncio\nasync def f(): await asyncio.sleep(0)", 0),
        ("import datetime\ndatetime.datetime.now()", 1),
        ("self.clock.now() + clock.time_of(3)", 0),
    ],
)
def test_readings_are_found_however_they_are_written(source: str, count: int) -> None:
    assert len(list(clock_readings(source))) == count
