"""The stand-in for time itself: what the other tests believe of it must be true."""

from __future__ import annotations

import asyncio
import threading
import time as wall

import pytest
from streaming.virtual_time import VirtualTime


def test_an_hour_passes_at_once_and_sleepers_wake_in_their_order() -> None:
    time, woken = VirtualTime(), list[tuple[float, str]]()

    async def sleeper(name: str, *naps_s: float) -> None:
        for nap_s in naps_s:
            await asyncio.sleep(nap_s)
            woken.append((time.now_s - 1000.0, name))

    async def night() -> None:
        await asyncio.gather(sleeper("a", 3600, 10), sleeper("b", 20, 3595))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()

    began_s = wall.monotonic()
    time.run(night(), within_s=4000)
    assert wall.monotonic() - began_s < 5
    assert [name for _, name in woken] == ["b", "a", "a", "b"]
    assert [moment for moment, _ in woken] == pytest.approx([20, 3600, 3610, 3615], abs=1e-6)
    assert time.now_s == pytest.approx(1000 + 3620, abs=1e-6)


def test_the_clock_stands_while_a_thread_works_and_runs_while_it_waits_by_it() -> None:
    time, seen = VirtualTime(), list[float]()

    def work(wait_s: float) -> None:
        wall.sleep(0.02)
        seen.append(time.now_s)
        time.wait(threading.Event(), wait_s)
        seen.append(time.now_s)

    async def day() -> None:
        ticking = asyncio.create_task(asyncio.sleep(30))
        await asyncio.gather(asyncio.to_thread(work, 10.0), asyncio.to_thread(work, 10.0))
        assert not ticking.done()
        await ticking

    time.run(day())
    assert sorted(seen) == pytest.approx([1000, 1000, 1010, 1010], abs=1e-6)
    assert time.now_s == pytest.approx(1030, abs=1e-6)


def test_an_event_ends_a_threads_wait_before_its_time() -> None:
    time, event = VirtualTime(), threading.Event()

    async def ring() -> None:
        waiting = asyncio.create_task(asyncio.to_thread(time.wait, event, 100.0))
        await asyncio.sleep(2)
        event.set()
        assert await waiting
        assert time.now_s == pytest.approx(1002, abs=1e-6)

    time.run(ring())


def test_what_never_comes_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        VirtualTime().run(asyncio.Event().wait())  # type: ignore[arg-type]
