from __future__ import annotations

import asyncio
import threading
import time as wall
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
import pytest
from av import AudioFrame, VideoFrame
from streaming.client import pts_of
from streaming.fakes import MOUTH, FakeEngine, still, tone_clip

from s2v.errors import BackendError, ModelError
from s2v.streaming.session.session import Session
from s2v.streaming.sources.file import FileSource

Frame = TypeVar("Frame", AudioFrame, VideoFrame)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


async def receive(recv: Callable[[], Awaitable[Frame]], into: list[Frame], seconds: float) -> None:
    until = wall.monotonic() + seconds
    while wall.monotonic() < until:
        into.append(await recv())


def test_audio_out_is_audio_in_delayed_and_the_mouth_opens_with_it() -> None:
    async def play() -> None:
        engine, clip = FakeEngine(), tone_clip(1.0)
        session = Session(FileSource(clip), lambda: engine, still(), margin_s=0.5)  # a busy test machine may stutter
        voice: list[AudioFrame] = []
        faces: list[VideoFrame] = []
        receiving = asyncio.gather(
            receive(session.voice_track.recv, voice, 2.2), receive(session.face_track.recv, faces, 2.2)
        )
        await session.run()
        await receiving
        heard = np.concatenate([frame.to_ndarray()[0, ::2] for frame in voice]).astype(np.float32) / 32767
        began = int(np.argmax(np.abs(heard) > 1e-3)) - 1  # the tone's own first sample is 0
        assert np.abs(heard[began : began + 48_000] - clip.pcm_48k).max() < 1e-4, "every sample once"
        assert not heard[: began - 1].any() and not heard[began + 48_001 :].any()
        first_s = (pts_of(voice[0]) + began) / 48_000
        loud = [pts_of(face) / 16_000 for face in faces if face.to_ndarray(format="bgr24")[MOUTH].mean() > 200]
        assert loud[0] == pytest.approx(first_s + 0.02, abs=0.001), "the first frame lies on the first audio"
        assert loud[:25] == pytest.approx([loud[0] + 0.04 * n for n in range(25)], abs=1e-6), "then one every 40 ms"
        stats = session.stats()
        assert stats["underruns"] == 0 and stats["stalls"] == 0 and stats["frames_drawn"] == 25
        assert stats["playout_delay_ms"] == round((engine.spec.look_ahead_s + 0.5) * 1000)
        await session.close()
        assert engine.closed == 1

    run(play)


@pytest.mark.parametrize("after_s", [None, 0.0, 0.3])
def test_closing_at_any_time_joins_everything(after_s: float | None) -> None:
    async def close_early() -> None:
        engine = FakeEngine()
        threads, tasks = threading.active_count(), len(asyncio.all_tasks())
        session = Session(FileSource(tone_clip(5.0)), lambda: engine, still())
        running = asyncio.create_task(session.run()) if after_s is not None else None
        if after_s:
            await asyncio.sleep(after_s)
        await session.close()
        await session.close()
        if running is not None:
            await asyncio.wait([running])
        assert threading.active_count() == threads
        assert len(asyncio.all_tasks()) == tasks
        assert session.voice_track.readyState == session.face_track.readyState == "ended"

    run(close_early)


def test_a_failing_engine_ends_the_session_with_its_own_error() -> None:
    def fail() -> None:
        raise BackendError("the runtime has gone")

    def refuse() -> FakeEngine:
        raise ModelError("no such model")

    async def play() -> None:
        for make_engine, error in ((lambda: FakeEngine(fail), BackendError), (refuse, ModelError)):
            session = Session(FileSource(tone_clip(5.0)), make_engine, still())
            with pytest.raises(error):
                await session.run()
            await session.close()

    run(play)


def test_a_machine_that_draws_late_holds_back_more_instead_of_showing_nothing() -> None:
    async def play() -> None:
        def slow() -> FakeEngine:
            return FakeEngine(lambda: wall.sleep(0.03))

        session = Session(FileSource(tone_clip(20.0)), slow, still(), margin_s=-0.1)
        running = asyncio.create_task(session.run())
        faces: list[VideoFrame] = []
        await receive(session.face_track.recv, faces, 4.0)
        assert session.face_track.counts.late > 20
        assert session.stats()["playout_delay_ms"] > 20
        await receive(session.face_track.recv, faces, 2.0)
        moving = {frame.to_ndarray(format="bgr24")[MOUTH].mean() for frame in faces[-20:]}
        assert max(moving) > 200, "the mouth is shown again"
        await session.close()
        await asyncio.wait([running])

    run(play)
