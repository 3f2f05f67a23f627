from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from av import AudioFrame, VideoFrame
from streaming.fakes import FakeEngine, session_of, tone_clip
from streaming.packets import PacketSource, mouth_of, receive
from streaming.virtual_time import VirtualTime

from s2v.errors import BackendError, ModelError, StreamError
from s2v.spec import LipSyncSpec
from s2v.streaming.session.heard import GATHERED_SAMPLES
from s2v.streaming.session.wishes import Wishes
from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.source import AudioChunk


def test_audio_out_is_audio_in_delayed_and_the_mouth_opens_with_it() -> None:
    time = VirtualTime()

    async def play() -> None:
        engine, clip = FakeEngine(), tone_clip(1.0)
        session = session_of(clip, lambda: engine, time)
        voice: list[AudioFrame] = []
        faces: list[VideoFrame] = []
        receiving = asyncio.gather(
            receive(session.voice_track, voice, time, 2.2), receive(session.face_track, faces, time, 2.2)
        )
        await session.run()
        ended_at = session.clock.position()
        await receiving
        heard = np.concatenate([frame.to_ndarray()[0, ::2] for frame in voice]).astype(np.float32) / 32767
        began = int(np.argmax(np.abs(heard) > 1e-3)) - 1  # the tone's own first sample is 0
        assert np.abs(heard[began : began + 48_000] - clip.pcm_48k).max() < 1e-4, "every sample once"
        assert not heard[: began - 1].any() and not heard[began + 48_001 :].any()
        assert voice[0].pts is not None
        first_s = (voice[0].pts + began) / 48_000
        loud = [face.pts / 16_000 for face in faces if face.pts and mouth_of(face) > 200]
        assert loud[0] == pytest.approx(first_s + 0.02, abs=0.001), "the first frame lies on the first audio"
        assert loud[:25] == pytest.approx([loud[0] + 0.04 * n for n in range(25)], abs=1e-6), "then one every 40 ms"
        assert ended_at / 16_000 == pytest.approx(first_s + 1.3, abs=1e-3), "0.3 s after the last sample"
        stats = session.stats()
        assert stats["underruns"] == 0 and stats["stalls"] == 0 and stats["frames_drawn"] == 25
        assert stats["frames_late"] == stats["frames_dropped"] == stats["audio_skipped_ms"] == 0
        assert stats["playout_delay_ms"] == round((engine.spec.look_ahead_s + 0.08) * 1000)
        await session.close()
        assert engine.closed == 1

    time.run(play())


def test_held_back_as_long_as_may_be_the_voice_is_still_whole() -> None:
    time = VirtualTime()

    async def play() -> None:
        clip = tone_clip(2.0)
        session = session_of(clip, FakeEngine, time, margin_s=0.8 - FakeEngine().spec.look_ahead_s)
        voice: list[AudioFrame] = []
        receiving = asyncio.create_task(receive(session.voice_track, voice, time, 3.2))
        await session.run()
        await receiving
        assert session.stats()["playout_delay_ms"] == 800 and session.stats()["underruns"] == 0
        heard = np.concatenate([frame.to_ndarray()[0, ::2] for frame in voice]).astype(np.float32) / 32767
        began = int(np.argmax(np.abs(heard) > 1e-3)) - 1  # the tone's own first sample is 0
        assert np.abs(heard[began : began + 96_000] - clip.pcm_48k).max() < 1e-4, "every sample once"
        await session.close()

    time.run(play())


def test_the_first_sound_is_heard_one_playout_delay_after_it_was_said() -> None:
    time = VirtualTime()

    async def play() -> None:
        session = session_of(PacketSource(time, 50, {}), FakeEngine, time, margin_s=0.1)
        await session.open()
        began_s, running = time.now_s, asyncio.create_task(session.run())
        while not np.abs((await session.voice_track.recv()).to_ndarray()).max() > 1000:
            pass
        # the packet leaves at its first sample's moment; where packets begin is rounded up to their grid
        assert time.now_s - began_s - session.clock.playout_delay_s == pytest.approx(0.01, abs=0.0101)
        await session.close()
        await asyncio.wait([running])

    time.run(play())


@pytest.mark.parametrize("lost", [frozenset({20, 21}), frozenset({47, 48})])
def test_what_was_lost_is_an_underrun_to_the_last_packet_and_what_follows_the_end_is_none(lost: frozenset[int]) -> None:
    time = VirtualTime()

    async def play() -> None:
        session = session_of(PacketSource(time, 50, {}, lost), FakeEngine, time)
        receiving = asyncio.create_task(receive(session.voice_track, [], time, 3.0))
        await session.run()
        await receiving
        assert session.stats()["underruns"] == len(lost)
        await session.close()

    time.run(play())


def test_whoever_waits_for_a_sample_is_told_when_it_is_heard() -> None:
    time = VirtualTime()

    async def play() -> None:
        session = session_of(PacketSource(time, 50, {}), FakeEngine, time, margin_s=0.3)
        running = asyncio.create_task(session.run())
        await asyncio.sleep(0.1)
        began_s = time.now_s - 0.1
        await session.wait_until_heard(8000)
        assert time.now_s - began_s == pytest.approx(0.5 + session.clock.playout_delay_s, abs=2e-3)
        await session.close()
        await asyncio.wait([running])

    time.run(play())


@pytest.mark.parametrize("after_s", [None, 0.0, 0.3])
def test_closing_at_any_time_joins_everything(after_s: float | None) -> None:
    time = VirtualTime()

    async def close_early() -> None:
        engine = FakeEngine()
        threads, tasks = threading.active_count(), len(asyncio.all_tasks())
        session = session_of(tone_clip(5.0), lambda: engine, time)
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

    time.run(close_early())


class ReluctantSource(PacketSource):
    """Whoever cancels a read waits a second for it."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__(time, 0, {})
        self.left = False

    async def read(self) -> AudioChunk | None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1.0)
            self.left = True
        return None


def test_closing_waits_until_the_run_has_let_go_of_its_source() -> None:
    time = VirtualTime()

    async def close() -> None:
        source = ReluctantSource(time)
        session = session_of(source, FakeEngine, time)
        running = asyncio.create_task(session.run())
        await asyncio.sleep(0.3)
        await session.close()
        assert source.left
        await asyncio.wait([running])

    time.run(close())


def test_a_failing_engine_ends_the_session_with_its_own_error() -> None:
    time = VirtualTime()

    def fail() -> None:
        raise BackendError("the runtime has gone")

    def refuse() -> FakeEngine:
        raise ModelError("no such model")

    async def play() -> None:
        for make_engine, error in ((lambda: FakeEngine(fail), BackendError), (refuse, ModelError)):
            session = session_of(tone_clip(5.0), make_engine, time)
            with pytest.raises(error):
                await session.run()
            await session.close()

    time.run(play())


def test_a_session_speaks_and_moves_as_strongly_as_asked_for_and_refuses_what_cannot_be() -> None:
    async def run(time: VirtualTime, engine: FakeEngine) -> None:
        session = session_of(tone_clip(1.0), lambda: engine, time)
        with pytest.raises(StreamError, match="cannot speak more or less strongly"):
            session.grant(Wishes(articulation=1.25))  # before it is open nobody knows
        await session.open()
        session.grant(Wishes(articulation=1.25))
        session.grant(Wishes(liveliness=0.0))
        await session.run()
        await session.close()

    time, engine = VirtualTime(), FakeEngine()
    time.run(run(time, engine))
    assert set(engine.articulations) == {1.25} and set(engine.livelinesses) == {0.0}


def test_a_network_of_pixels_speaks_as_it_does_and_a_face_that_holds_still_does_not_move() -> None:
    engine = FakeEngine()
    engine.spec = LipSyncSpec.of("speech2vid")
    time = VirtualTime()

    async def run() -> None:
        session = session_of(tone_clip(1.0), lambda: engine, time, moves=False)
        await session.open()
        with pytest.raises(StreamError, match="cannot speak more or less strongly: leave articulation out"):
            session.grant(Wishes(articulation=1.25))
        with pytest.raises(StreamError, match="hold still but for their lips: leave liveliness out"):
            session.grant(Wishes(liveliness=0.5))
        session.grant(Wishes())
        await session.close()

    time.run(run())


def test_a_face_hears_who_speaks_to_it_on_the_clock_of_its_own_voice_and_sends_it_to_nobody() -> None:
    time, engine = VirtualTime(), FakeEngine()
    other = tone_clip(2.0, 330)
    sent: list[AudioFrame] = []

    async def run() -> None:
        session = session_of(tone_clip(3.0), lambda: engine, time)
        receiving = asyncio.create_task(receive(session.voice_track, sent, time, 3.3))
        session.listen_to(FileSource(other, now=time.now))
        await session.run()
        await receiving
        assert len(session.heard) == 0, "it has ended"
        await session.close()

    time.run(run())
    began = int(np.argmax(np.abs(engine.said_to_it) > 0)) - 1  # the tone's own first sample is 0
    assert 0 <= began <= GATHERED_SAMPLES
    ends = began + len(other.pcm_16k)
    gap = np.flatnonzero(engine.said_to_it[began:ends] != other.pcm_16k)
    assert len(gap) <= GATHERED_SAMPLES, "every sample in its place, but for the last, which no more follow"
    assert not engine.said_to_it[ends:].any() and engine.alone >= 16_000 - 2 * GATHERED_SAMPLES
    assert np.array_equal(engine.heard, tone_clip(3.0).pcm_16k), "its own voice is what it was"
    played = np.concatenate([frame.to_ndarray()[0, ::2] for frame in sent]).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(played[48_000:96_000]))
    assert np.argmax(spectrum) == 220 and spectrum[330] < 1e-3 * spectrum[220]
