from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any, TypeVar

import numpy as np
import pytest
from aiortc import MediaStreamTrack
from av import AudioFrame, VideoFrame
from streaming.fakes import MOUTH, FakeEngine, session_of, tone, tone_clip
from streaming.virtual_time import VirtualTime

from s2v.errors import BackendError, ModelError, StreamError
from s2v.spec import LipSyncSpec
from s2v.streaming.session.engine_worker import MAX_WAIT_S
from s2v.streaming.session.heard import GATHERED_SAMPLES
from s2v.streaming.session.session import Session, Stats
from s2v.streaming.session.wishes import Wishes
from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.source import AudioChunk

PACKET_S = 0.02

Frame = TypeVar("Frame", AudioFrame, VideoFrame)


async def receive(track: MediaStreamTrack, into: list[Any], time: VirtualTime, seconds: float) -> None:
    until_s = time.now_s + seconds
    while time.now_s < until_s:
        into.append(await track.recv())


class PacketSource:
    """A tone in packets of 20 ms; packet k is there when its last sample has been said, and `late_s[k]` after that."""

    def __init__(self, time: VirtualTime, count: int, late_s: dict[int, float], lost: frozenset[int]) -> None:
        self._time = time
        self._began_s = time.now_s - 0.001  # so that the clock's grid, of a packet's length, adds next to nothing
        self._packets = iter(k for k in range(count) if k not in lost)
        self._late_s = late_s

    async def read(self) -> AudioChunk | None:
        if (k := next(self._packets, None)) is None:
            return None
        due_s = self._began_s + PACKET_S * (k + 1) + self._late_s.get(k, 0.0)
        await asyncio.sleep(max(due_s - self._time.now_s, 0.0))
        return AudioChunk(960 * k, tone(PACKET_S), 320 * k, tone(PACKET_S, rate_hz=16_000), due_s)

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


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


def mouth_of(face: VideoFrame) -> float:
    return float(face.to_ndarray(format="bgr24")[MOUTH].mean())


def test_the_first_sound_is_heard_one_playout_delay_after_it_was_said() -> None:
    time = VirtualTime()

    async def play() -> None:
        session = session_of(PacketSource(time, 50, {}, frozenset()), FakeEngine, time, margin_s=0.1)
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


def needs(late_s: dict[int, float], margin_s: float = 0.3) -> tuple[list[float], list[float], FakeEngine]:
    """What each packet and each frame needed of playout delay, in a session of 50 packets."""
    time, engine, sessions = VirtualTime(), FakeEngine(), list[Session]()

    async def play() -> None:
        session = session_of(PacketSource(time, 50, late_s, frozenset()), lambda: engine, time, margin_s)
        sessions.append(session)
        await session.run()
        await session.close()

    time.run(play())
    playout = sessions[0]._playout_delay
    return list(playout._packets), list(playout._frames), engine


def test_a_packet_needs_its_own_length_and_as_much_as_it_came_late() -> None:
    assert needs({})[0] == pytest.approx([PACKET_S] * 50, abs=1e-3)
    packets, _, _ = needs({30: 0.1})  # and those behind it wait for it
    assert packets[:30] == pytest.approx([PACKET_S] * 30, abs=1e-3)
    late_s = [PACKET_S + max(0.1 - PACKET_S * k, 0.0) for k in range(20)]
    assert packets[30:] == pytest.approx(late_s, abs=2e-3)


def test_a_frame_needs_as_long_as_its_window_takes_to_come() -> None:
    packets, frames, engine = needs({})
    spec = engine.spec
    complete = [-(-spec.ready_at(n) // 320) * 320 for n in range(len(frames))]  # the packet that ends its window
    expected = [(end - spec.frame_centre(n)) / 16_000 for n, end in enumerate(complete) if end <= 16_000]
    assert len(expected) > 15 and frames[: len(expected)] == pytest.approx(expected, abs=1e-3)
    assert max(packets) < min(expected)


def test_whoever_waits_for_a_sample_is_told_when_it_is_heard() -> None:
    time = VirtualTime()

    async def play() -> None:
        session = session_of(PacketSource(time, 50, {}, frozenset()), FakeEngine, time, margin_s=0.3)
        running = asyncio.create_task(session.run())
        await asyncio.sleep(0.1)
        began_s = time.now_s - 0.1
        await session.wait_until_heard(8000)
        assert time.now_s - began_s == pytest.approx(0.5 + session.clock.playout_delay_s, abs=2e-3)
        await session.close()
        await asyncio.wait([running])

    time.run(play())


def after(seconds: float, draw_s: float) -> Stats:
    """How a session stands whose machine takes `draw_s` for each 40 ms of sound."""
    time, stats = VirtualTime(), list[Stats]()

    async def play() -> None:
        def slow() -> FakeEngine:
            return FakeEngine(lambda: time.wait(threading.Event(), draw_s))

        session = session_of(PacketSource(time, 1500, {}, frozenset()), slow, time)
        running = asyncio.create_task(session.run())
        await receive(session.face_track, [], time, seconds)
        stats.append(session.stats())
        await session.close()
        await asyncio.wait([running])

    time.run(play())
    return stats[0]


def test_a_machine_a_little_too_slow_leaves_audio_out_and_shows_what_it_draws_in_time() -> None:
    stats = after(25, draw_s=0.05)
    assert stats["frames_drawn"] == pytest.approx(500, abs=10)
    assert stats["audio_skipped_ms"] == pytest.approx(25_000 - 500 * 40, abs=300)
    needed_ms = 1000 * (FakeEngine().spec.look_ahead_s + MAX_WAIT_S + 0.05)
    assert stats["playout_delay_ms"] == pytest.approx(needed_ms, abs=25)
    assert stats["frames_late"] < 50, "those of the first two seconds"


def test_what_is_not_needed_is_given_back_until_a_packet_is_left_beyond_the_look_ahead() -> None:
    time = VirtualTime()

    async def play() -> None:
        session = session_of(PacketSource(time, 1800, {}, frozenset()), FakeEngine, time, margin_s=0.3)
        running = asyncio.create_task(session.run())
        receiving = asyncio.create_task(receive(session.voice_track, [], time, 36.0))
        await receive(session.face_track, [], time, 3.5)
        assert session.stats()["playout_delay_ms"] == 380, "nothing changes before enough has been seen"
        await receive(session.face_track, [], time, 31.0)
        stats = session.stats()
        assert stats["playout_delay_ms"] == 100 == round(1000 * (FakeEngine().spec.look_ahead_s + 0.02))
        assert session.clock.actual_delay_s == pytest.approx(0.1, abs=5e-3), "and the clock has followed"
        assert stats["underruns"] == stats["frames_late"] == stats["stalls"] == 0
        await receiving
        await session.close()
        await asyncio.wait([running])

    time.run(play())


def test_two_late_frames_of_five_are_too_many_to_wait_until_ten_seconds_have_been_seen() -> None:
    time = VirtualTime()

    async def play() -> None:
        pushes = itertools.count()

        def hesitant() -> FakeEngine:  # the two after each long draw have waited for it
            return FakeEngine(lambda: next(pushes) % 5 == 0 and time.wait(threading.Event(), 0.13))

        session = session_of(PacketSource(time, 500, {}, frozenset()), hesitant, time, margin_s=0.03)
        running = asyncio.create_task(session.run())
        await receive(session.face_track, [], time, 1.9)
        late = session.face_track.counts.late
        assert 0.3 < late / session.stats()["frames_drawn"] < 0.6
        await receive(session.face_track, [], time, 1.6)
        needed_s = FakeEngine().spec.look_ahead_s + 0.09 + 0.008  # three of four frames
        assert session.clock.playout_delay_s == pytest.approx(needed_s, abs=0.021)
        await session.close()
        await asyncio.wait([running])

    time.run(play())


@pytest.mark.parametrize(("late", "held_back_s"), [(4, 0.3), (6, 0.508)])
def test_more_late_frames_than_one_in_five_are_too_many(late: int, held_back_s: float) -> None:
    time = VirtualTime()

    async def play() -> None:
        session = session_of(tone_clip(1.0), FakeEngine, time, margin_s=0.3)
        adapting = asyncio.create_task(session._adapt())
        await asyncio.sleep(0.5)
        for _ in range(2):  # seconds, in each of which 25 frames are drawn that need half a second
            session._worker.drawn += 25
            session.face_track.counts.late += late
            for _ in range(25):
                session._playout_delay.frame_needed(0.5)
            await asyncio.sleep(1.0)
        assert session.clock.playout_delay_s == pytest.approx(held_back_s)
        adapting.cancel()
        await session.close()

    time.run(play())


def test_nothing_is_held_back_longer_than_a_conversation_bears() -> None:
    stats = after(25, draw_s=0.5)
    assert stats["playout_delay_ms"] == 800
    assert stats["frames_late"] == stats["frames_drawn"] == pytest.approx(50, abs=3)


def test_a_frame_needs_its_encoding_as_well() -> None:
    time = VirtualTime()

    async def encode(track: MediaStreamTrack) -> None:
        while True:
            await track.recv()
            await asyncio.sleep(0.03)

    async def play() -> None:
        session = session_of(PacketSource(time, 100, {}, frozenset()), FakeEngine, time, margin_s=0.3)
        encoding = asyncio.create_task(encode(session.face_track))
        await session.run()
        encoding.cancel()
        frames = list(session._playout_delay._frames)
        # a picture is handed over so much earlier than the voice it belongs to, for which Opus takes 6.5 ms
        assert 0.01 < session.face_track.lead_s < 0.03 - 0.0065
        assert frames[40] - frames[0] == pytest.approx(0.0235 * (1 - 0.95**39), abs=2e-3)
        await session.close()

    time.run(play())


def test_a_need_is_counted_from_what_is_really_held_back_and_not_from_what_was_asked() -> None:
    on_grid, off_grid = needs({}), needs({}, margin_s=0.31)  # the grid of packets makes 0.32 s of it at first
    assert off_grid[0][:20] == pytest.approx(on_grid[0][:20], abs=1e-3)
    assert off_grid[1][:8] == pytest.approx(on_grid[1][:8], abs=1e-3)


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
        super().__init__(time, 0, {}, frozenset())
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


def test_a_machine_that_draws_late_holds_back_more_instead_of_showing_nothing() -> None:
    time = VirtualTime()

    def slow() -> FakeEngine:
        return FakeEngine(lambda: time.wait(threading.Event(), 0.03))

    async def play() -> None:
        session = session_of(tone_clip(20.0), slow, time, margin_s=-0.1)
        running = asyncio.create_task(session.run())
        faces: list[VideoFrame] = []
        await receive(session.face_track, faces, time, 4.0)
        assert session.face_track.counts.late > 20
        assert session.stats()["playout_delay_ms"] > 1000 * FakeEngine().spec.look_ahead_s, "it began below that"
        late = session.face_track.counts.late
        await receive(session.face_track, faces, time, 2.0)
        assert max(mouth_of(face) for face in faces[-20:]) > 200, "the mouth is shown again"
        assert session.face_track.counts.late == late, "and nothing comes late any more"
        await session.close()
        await asyncio.wait([running])

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
