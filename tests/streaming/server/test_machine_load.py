"""A busy machine is noticed while callers are served, and so is one that has become idle."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streaming.fakes import fake_avatar
from streaming.virtual_time import VirtualTime

from s2v.streaming.server.call_manager import SETTLED_AFTER_S, STRAINED_S, CallManager, LiveOptions
from s2v.streaming.server.capacity import Capacity
from s2v.streaming.server.face_store import FaceStore
from s2v.streaming.server.machine_load import LOOK_EVERY_S, LOOKS_FOR_CORES, IdleCores, MachineLoad

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def write_stat(root: Path, idle_s: float, waits_s: float = 0.0) -> None:
    """Of as many cores as this machine has, all alike; and one more that we may not use."""
    (root / "proc").mkdir(exist_ok=True)
    allowed = os.sched_getaffinity(0)
    lines = ["cpu  1 2 3 4 5 6 7 8 9 10"]
    for core in sorted({*allowed, max(allowed) + 1}):
        idle = round(idle_s * TICKS) if core in allowed else 10**9
        lines.append(f"cpu{core} 500 {round(3 * idle_s * TICKS)} 300 {idle} {round(waits_s * TICKS)} 0 0 0 0 0")
    (root / "proc/stat").write_text("\n".join([*lines, "intr 1 2 3", ""]), encoding="ascii")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="not Linux")
def test_cores_are_idle_that_nobody_uses_or_only_waits_with(tmp_path: Path) -> None:
    time = VirtualTime()
    write_stat(tmp_path, 100.0)
    idle = IdleCores(tmp_path, time.now)
    time.now_s += 2.0
    write_stat(tmp_path, 100.5, 0.5)
    assert idle.look() == pytest.approx(0.5 * idle.bound)
    time.now_s += 2.0
    assert idle.look() == 0.0
    time.now_s += 2.0
    write_stat(tmp_path, 200.0)
    assert idle.look() == idle.bound, "counters jump"
    assert idle.look() is None, "no time has passed"
    time.now_s += 2.0
    write_stat(tmp_path, 0.0, 1.0)
    assert idle.look() is None, "counters begin anew"


@pytest.mark.parametrize(
    "stat", [None, "nothing of the kind", "cpu0 1 2 3", "cpu0 a b c d e", "cpu0 0 0 0 0 0 0 0 0 0 0"]
)
def test_where_nobody_counts_idle_cores_none_are_told(stat: str | None, tmp_path: Path) -> None:
    time = VirtualTime()
    (tmp_path / "proc").mkdir()
    if stat is not None:
        (tmp_path / "proc/stat").write_text(stat)
    idle = IdleCores(tmp_path, time.now)
    time.now_s += 2.0
    assert idle.look() is None


def test_a_loop_that_comes_late_is_noticed_and_forgotten_again(tmp_path: Path) -> None:
    time = VirtualTime()
    late_s = 0.0
    lags: list[float] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)
        time.now_s += seconds + late_s

    async def test() -> None:
        nonlocal late_s
        load = MachineLoad(IdleCores(tmp_path), time.now, sleep)
        watching = asyncio.create_task(load.watch(lambda: lags.append(load.loop_lag_s)))
        for looks, late_s in ((1, 0.0), (12, 0.4), (12, 0.0)):  # noqa: B007
            before = len(lags)
            while len(lags) < before + looks:
                await asyncio.sleep(0)
        watching.cancel()

    asyncio.run(test())
    assert lags[0] == 0.0 and lags[12] == pytest.approx(0.4, rel=0.05) and lags[-1] < 0.01
    assert lags[1] < 0.6 * lags[12], "not at once"
    assert LOOK_EVERY_S * LOOKS_FOR_CORES == 2.0


def capacity(**changes: Any) -> Capacity:
    return Capacity(**{"draw_s": 0.011, "encode_s": 0.005, "network_s": 0.001, "cores": 2.0, "fps": 25, **changes})


def test_what_other_programs_use_is_not_promised_to_callers() -> None:
    assert capacity().sessions == capacity(busy_cores=0.5).sessions == 3, "a quarter is kept free for them"
    assert capacity(busy_cores=1.0).sessions == 2 and capacity(busy_cores=2.0).sessions == 1
    assert "other programs" not in str(capacity(busy_cores=0.4))
    assert "2 sessions: " in str(capacity(busy_cores=1.0)) and "keep 1.0 of them busy now" in str(
        capacity(busy_cores=1.0)
    )


def test_another_is_carried_on_cores_that_idle_beyond_the_reserve() -> None:
    assert capacity().has_room(5, 1.01, 0.0) and not capacity().has_room(5, 0.99, 0.0)  # 25 * 20 ms, and 25 %
    assert capacity(shared=True).has_room(9, 0.73, 0.0), "it is drawn already"
    assert not capacity(network_s=0.02).has_room(1, 2.0, 0.0), "the one runtime carries no more"
    assert not capacity().has_room(5, None, 0.0)


def test_another_is_carried_while_faces_are_in_time_though_others_use_all_cores() -> None:
    busy = capacity(busy_cores=2.0)
    assert busy.has_room(2, 0.0, 0.02), "they give way"
    assert not busy.has_room(3, 0.0, 0.02), "three are carried by a machine that has nothing else to do"
    assert not busy.has_room(2, 0.0, 0.05) and not busy.has_room(2, 0.0, 0.0)


class FakeCall:
    """What a manager asks of a call that is on."""

    ending = False

    def __init__(self, lag_s: float) -> None:
        self.session = SimpleNamespace(lag_s=lag_s)
        self.messages: list[str] = []

    def tell_busy(self, reason: str) -> None:
        self.messages.append(reason)


def manager_of(lags_s: list[float], time: VirtualTime, **options: Any) -> tuple[CallManager, list[FakeCall]]:
    shown = LiveOptions(fake_avatar(), **options)
    manager = CallManager(shown, FaceStore(shown.avatar), MachineLoad(IdleCores(Path("/none"))), time.now)
    calls = [FakeCall(lag_s) for lag_s in lags_s]
    manager._calls.update(calls)  # type: ignore[arg-type]
    return manager, calls


def test_a_full_server_looks_again_whether_the_machine_is_idle_now() -> None:
    time = VirtualTime()
    manager, _ = manager_of([0.05], time, max_sessions=1, capacity=capacity(busy_cores=2.0))
    assert manager.refusal() == ("the only place is taken by other callers: try again in a minute", 60)
    manager.load.idle_cores = 1.5
    assert manager.refusal() is None and manager.refusal() is None
    assert manager.places == 1 == manager.metrics.max_sessions, "whoever only asks, as /ready does, takes no place"
    manager._take(FakeCall(0.05))  # type: ignore[arg-type]
    assert manager.places == 2 == manager.metrics.max_sessions
    assert manager.refusal() == ("all 2 places are taken by other callers: try again in a minute", 60)
    time.now_s += SETTLED_AFTER_S
    assert manager.refusal() is None, "and it idles still"
    fixed, _ = manager_of([0.05], time, max_sessions=1)
    fixed.load.idle_cores = 2.0
    assert fixed.refusal() is not None, "a number that somebody gave is kept"


def test_a_machine_that_has_become_busy_takes_nobody_and_tells_those_who_are_in() -> None:
    manager, calls = manager_of([0.02, 0.5], VirtualTime(), max_sessions=9)
    manager.tell_who_is_behind()
    assert [len(call.messages) for call in calls] == [0, 1] and "500 ms behind" in calls[1].messages[0]
    manager.load.loop_lag_s = STRAINED_S + 0.05
    manager.tell_who_is_behind()
    assert "150 ms behind" in calls[0].messages[0]
    refusal = manager.refusal()
    assert refusal is not None and refusal[0].startswith("this machine is busy") and refusal[1] == 10
    alone, _ = manager_of([], VirtualTime(), max_sessions=9)
    alone.load.loop_lag_s = 1.0
    assert alone.refusal() is None, "the first caller is always taken"


def test_while_the_drawing_process_is_replaced_nobody_is_taken() -> None:
    runtime = SimpleNamespace(
        batches=0, rows=0, pid=os.getpid(), trouble="it stands still", shortage="no room", restart_failed=False
    )
    manager, _ = manager_of([], VirtualTime(), runtime=runtime)
    assert manager.refusal() == ("it stands still: try again in ten seconds", 10)
    runtime.trouble = None
    assert manager.refusal() == ("no room", 10), "the memory that processes share is full"
    runtime.shortage = None
    assert manager.refusal() is None
