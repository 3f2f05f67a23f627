"""What is said to the face: mixed on the clock of its own voice, and nobody can hold that up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from streaming.fakes import ListSource

from s2v.streaming.session.heard import GATHERED_SAMPLES, MOST_SAMPLES, HeardVoices
from s2v.streaming.sources.source import AudioChunk, Pcm

PACKET = 320
PACKETS = GATHERED_SAMPLES // PACKET


class Caller:
    """A microphone whose packets come when the test says so; `None` ends it, an error breaks it."""

    def __init__(self) -> None:
        self.closed = False
        self._said: asyncio.Queue[Pcm | Exception | None] = asyncio.Queue()

    async def says(self, *parts: Pcm | Exception | None) -> None:
        for part in parts:
            self._said.put_nowait(part)
        for _ in range(2 * len(parts) + 2):  # until all of it has been taken
            await asyncio.sleep(0)

    async def read(self) -> AudioChunk | None:
        part = await self._said.get()
        if isinstance(part, Exception):
            raise part
        return None if part is None else AudioChunk(0, np.repeat(part, 3), 0, part)

    def close(self) -> None:
        self.closed = True

    async def wait_closed(self) -> None:
        pass


def run(test: Callable[[HeardVoices], Awaitable[None]]) -> None:
    async def alone() -> None:
        voices, before = HeardVoices(), asyncio.all_tasks()
        await test(voices)
        await voices.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before and len(voices) == 0, "no task is left"

    asyncio.run(asyncio.wait_for(alone(), 10))


def packet(level: float) -> Pcm:
    return np.full(PACKET, level, np.float32)


def taken(voices: HeardVoices, length: int = PACKET) -> Pcm:
    mixed = voices.take(length)
    assert mixed is not None and mixed.shape == (length,) and mixed.dtype == np.float32
    return mixed


def test_several_callers_are_summed_and_clipped_and_without_any_there_is_nobody() -> None:
    async def speak(voices: HeardVoices) -> None:
        assert voices.take(PACKET) is None
        one, two = Caller(), Caller()
        voices.join(one)
        await one.says(*[packet(0.25)] * PACKETS)
        voices.join(two)
        await two.says(packet(0.5), packet(0.875), packet(-0.5))
        assert [float(level) for level in taken(voices, 3 * PACKET)[::PACKET]] == [0.75, 1.0, -0.25]
        assert np.ptp(taken(voices, 100)) == 0

    run(speak)


def test_nothing_is_taken_before_enough_has_come_and_a_gap_is_silence() -> None:
    async def speak(voices: HeardVoices) -> None:
        caller = Caller()
        voices.join(caller)
        await caller.says(*[packet(0.5)] * (PACKETS - 1))
        assert not taken(voices).any()
        await caller.says(packet(0.5))
        assert taken(voices, 100).all() and taken(voices, GATHERED_SAMPLES - 100).all()
        assert not taken(voices).any(), "it stalls"
        await caller.says(packet(0.25))
        assert not taken(voices).any(), "and gathers anew"
        await caller.says(*[packet(0.25)] * (PACKETS - 1))
        halves = taken(voices, GATHERED_SAMPLES + 50)
        assert set(halves[:GATHERED_SAMPLES]) == {np.float32(0.25)} and not halves[GATHERED_SAMPLES:].any()

    run(speak)


def test_who_speaks_faster_than_the_face_is_heard_without_growing_delay() -> None:
    async def speak(voices: HeardVoices) -> None:
        caller = Caller()
        voices.join(caller)
        for number in range(500):  # twice as fast
            await caller.says(packet(number / 1000), packet(number / 1000))
            newest = taken(voices)[-1]
            if number > 10:
                assert number / 1000 - newest <= MOST_SAMPLES / PACKET / 1000
        await caller.says(np.linspace(0, 1, 80_000, dtype=np.float32))  # five seconds of a filled gap at once
        assert taken(voices)[0] == pytest.approx(1 - GATHERED_SAMPLES / 80_000, abs=1e-4), "only the newest"

    run(speak)


@pytest.mark.parametrize("end", [None, ValueError("garbage"), ConnectionError("gone")])
def test_a_caller_who_ends_or_breaks_disturbs_nobody(end: Exception | None, caplog: pytest.LogCaptureFixture) -> None:
    async def speak(voices: HeardVoices) -> None:
        one, two = Caller(), Caller()
        voices.join(one)
        voices.join(two)
        await one.says(*[packet(0.5)] * PACKETS)
        await two.says(*[packet(0.25)] * PACKETS)
        await one.says(end)
        await asyncio.sleep(0)
        assert len(voices) == 1
        assert set(taken(voices)) == {np.float32(0.25)}
        assert ("not heard any more" in caplog.text) == one.closed == (end is not None)
        assert not two.closed

    run(speak)


def test_who_leaves_is_let_go_of_and_the_end_closes_all() -> None:
    async def speak(voices: HeardVoices) -> None:
        one, two = Caller(), Caller()
        first = voices.join(one)
        voices.join(two)
        await asyncio.gather(first.close(), first.close())
        await asyncio.sleep(0)
        assert one.closed and not two.closed and len(voices) == 1
        await voices.close()
        assert two.closed
        await asyncio.sleep(0)
        assert voices.take(PACKET) is None

    run(speak)


def test_a_microphone_that_says_nothing_leaves_at_once() -> None:
    async def speak(voices: HeardVoices) -> None:
        voices.join(ListSource([]))
        assert not taken(voices).any()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert voices.take(PACKET) is None

    run(speak)
