"""How long a session holds back what it plays: what its packets and frames need, no less and not much more."""

from __future__ import annotations

import asyncio
import itertools
import threading

import pytest
from aiortc import MediaStreamTrack
from av import VideoFrame
from streaming.fakes import FakeEngine, session_of, tone_clip
from streaming.packets import PACKET_S, PacketSource, mouth_of, receive
from streaming.virtual_time import VirtualTime

from s2v.streaming.session.engine_worker import MAX_WAIT_S
from s2v.streaming.session.session import Session, Stats


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
        assert frames[40] - frames[0] == pytest.approx(0.0235 * (1 - 0.95**39), abs=3e-3)
        await session.close()

    time.run(play())


def test_a_need_is_counted_from_what_is_really_held_back_and_not_from_what_was_asked() -> None:
    on_grid, off_grid = needs({}), needs({}, margin_s=0.31)  # the grid of packets makes 0.32 s of it at first
    assert off_grid[0][:20] == pytest.approx(on_grid[0][:20], abs=1e-3)
    assert off_grid[1][:8] == pytest.approx(on_grid[1][:8], abs=1e-3)


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
