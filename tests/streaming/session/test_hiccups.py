"""The machine or the network stands still for half a second: that costs pictures and packets once, and no delay."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray
from streaming.fakes import FakeEngine, session_of, stamp_of, tone
from streaming.packets import PACKET_S, receive
from streaming.virtual_time import VirtualTime

from s2v.streaming.sources.source import AudioChunk

HICCUP_AT_S = 7.0


class Talker:
    """Words of 0.7 s and pauses of 0.3 s, in packets of 20 ms; what is due while the machine stands still is late."""

    def __init__(self, time: VirtualTime, seconds: float, late_s: dict[int, float]) -> None:
        self._time, self._began_s = time, time.now_s - 0.001
        self._packets = iter(range(round(seconds / PACKET_S)))
        self._late_s = late_s

    async def read(self) -> AudioChunk | None:
        if (k := next(self._packets, None)) is None:
            return None
        due_s = self._began_s + PACKET_S * (k + 1) + self._late_s.get(k, 0.0)
        await asyncio.sleep(max(due_s - self._time.now_s, 0.0))
        level = 0.3 if k % 50 < 35 else 0.0
        return AudioChunk(960 * k, tone(PACKET_S, level=level), 320 * k, tone(PACKET_S, 220, 16_000, level), due_s)

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


class Heard(NamedTuple):
    delays_s: list[float]  # every tenth of a second
    voice: list[tuple[float, int, NDArray[np.int16]]]  # moment, stamp at 48 kHz, sound
    faces: list[tuple[float, int]]  # moment, stamp at 16 kHz


def heard(kind: str, seconds: float = 14.0) -> Heard:
    time, out = VirtualTime(), Heard([], [], [])
    late_s = {350 + k: max(0.5 - PACKET_S * k, 0.0) for k in range(25)} if kind == "network" else {}

    def stand_still() -> None:
        time.now_s += 0.5

    async def play() -> None:
        session = session_of(Talker(time, seconds, late_s), FakeEngine, time, margin_s=0.04)
        running = asyncio.create_task(session.run())
        loop = asyncio.get_running_loop()
        if kind == "machine":
            loop.call_later(HICCUP_AT_S, stand_still)
        elif kind == "held back for":  # as after a hiccup that was answered with delay
            loop.call_later(HICCUP_AT_S, session.clock.grow_playout_delay, 0.3)

        async def voice() -> None:
            while True:
                frames: list[AudioFrame] = []
                await receive(session.voice_track, frames, time, 0.001)
                out.voice.append((time.now_s, stamp_of(frames[0]), frames[0].to_ndarray()[0, ::2].astype(np.int16)))

        async def face() -> None:
            while True:
                frames: list[VideoFrame] = []
                await receive(session.face_track, frames, time, 0.001)
                out.faces.append((time.now_s, stamp_of(frames[0])))

        async def look() -> None:
            while True:
                out.delays_s.append(session.clock.actual_delay_s)
                await asyncio.sleep(0.1)

        watching = [asyncio.create_task(work()) for work in (voice, face, look)]
        await asyncio.sleep(seconds)
        for task in watching:
            task.cancel()
        await session.close()
        await asyncio.wait([running, *watching])

    time.run(play())
    return out


@pytest.mark.parametrize("kind", ["machine", "network"])
def test_half_a_second_costs_no_delay(kind: str) -> None:
    delays_s = heard(kind).delays_s
    before_s = delays_s[60]
    assert max(delays_s[60:]) < before_s + 0.01


def test_what_was_held_back_longer_is_given_back_within_five_seconds_with_no_jump_and_in_step() -> None:
    call = heard("held back for")
    before_s = call.delays_s[65]
    assert max(call.delays_s[70:]) > before_s + 0.25, "it was there"
    assert call.delays_s[70 + 50] < before_s + 0.03
    after = [(s, stamp, pcm) for s, stamp, pcm in call.voice if stamp > 48_000 * (HICCUP_AT_S + 1.0)]
    assert {b[1] - a[1] for a, b in pairwise(after)} == {960}, (
        "every sample once, and none left out: no click, no pitch"
    )
    loud = np.array([np.abs(pcm).max() > 50 for _, _, pcm in after])
    spans_s = np.array([after[k + 5][0] - after[k][0] for k in range(len(after) - 5)])  # of five packets
    in_words = np.array([loud[max(k - 1, 0) : k + 6].all() for k in range(len(spans_s))])
    assert in_words.sum() > 100 and spans_s.max() < 0.1 / 0.985
    assert spans_s[in_words].min() > 0.1 / 1.05, "a change of tempo that is just noticed, by none"
    assert 0.1 / 1.33 < spans_s.min() < 0.1 / 1.15, "faster in pauses, where nothing is heard"
    seconds, stamps = np.array([s for s, _, _ in call.voice]), np.array([stamp / 48_000 for _, stamp, _ in call.voice])
    for face_s, stamp in call.faces[30:]:
        if seconds[5] < face_s < seconds[-5]:
            assert abs(float(np.interp(face_s, seconds, stamps)) - stamp / 16_000) < 0.01, "voice and face in step"
