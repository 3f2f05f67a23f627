from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiortc import MediaStreamError
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray
from streaming.fakes import SIDE_PX, stamp_of, still, tone
from streaming.virtual_time import VirtualTime

from s2v.engine.compositor.pixel_format import to_i420
from s2v.streaming.session.buffers import DueFrame, FrameQueue, VoiceBuffer
from s2v.streaming.session.clock import MediaClock
from s2v.streaming.session.tracks import FaceTrack, VoiceTrack, video_frame, voice_frame
from s2v.streaming.webrtc.aiortc_internals import JitterFrame, OpusDecoder, OpusEncoder

COLOUR_STEP = 3  # levels: limited range and back


def shown(frame: VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="bgr24").astype(int)


def test_colours_reach_the_encoder_as_they_are() -> None:
    columns, rows = np.meshgrid(np.arange(64), np.arange(48))
    bgr = np.stack([4 * columns, 5 * rows, 255 - 2 * columns - 2 * rows], axis=2).astype(np.uint8)
    frame = video_frame(bgr)
    assert frame.format.name == "yuv420p" and (frame.width, frame.height) == (64, 48)
    # neighbours share their colour, so an edge of this ramp may be off by a pixel's step
    assert np.abs(shown(frame) - bgr).max() <= 4 * COLOUR_STEP and np.abs(shown(frame) - bgr).mean() < COLOUR_STEP


def test_a_picture_that_is_converted_already_stays_as_it_is() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    i420 = to_i420(bgr)
    np.testing.assert_array_equal(video_frame(i420).to_ndarray(), i420)
    np.testing.assert_array_equal(video_frame(bgr).to_ndarray(), i420)


def grey(level: int) -> np.ndarray:
    return np.full((SIDE_PX, SIDE_PX, 3), level, np.uint8)


def test_the_voice_comes_out_as_it_went_in_stamped_on_the_timeline() -> None:
    time = VirtualTime()

    async def send() -> None:
        clock, voice = MediaClock(0.2, now=time.now), VoiceBuffer(96_000)
        track, speech = VoiceTrack(voice, clock), tone(1.0)
        voice.write(4800, speech)
        began_s, heard = time.now_s, dict[int, NDArray[np.floating]]()
        for _ in range(60):
            frame = await track.recv()
            assert time.now_s - began_s == pytest.approx(stamp_of(frame) / 48_000)
            heard[stamp_of(frame)] = frame.to_ndarray()[0, ::2].astype(np.float32) / 32767
        assert sorted(heard) == list(range(min(heard), min(heard) + 60 * 960, 960))
        pcm = np.concatenate([np.zeros(min(heard), np.float32), *[heard[at] for at in sorted(heard)]])
        assert np.abs(pcm[4800:52_800] - speech).max() < 1e-4
        assert track.underruns == 1 + (60 * 960 + min(heard) - 52_800 - 1) // 960, "after the end nobody said it ended"

    time.run(send())


def test_the_first_packet_is_the_next_to_begin() -> None:
    time = VirtualTime()

    async def send() -> None:
        track, began_s = VoiceTrack(VoiceBuffer(96_000), MediaClock(0.2, now=time.now)), time.now_s
        time.now_s += 0.05
        assert stamp_of(await track.recv()) == 3 * 960
        assert time.now_s - began_s == pytest.approx(0.06)

    time.run(send())


def test_the_voice_is_rounded_to_the_nearest_level_and_never_wraps() -> None:
    time = VirtualTime()

    async def send() -> None:
        voice = VoiceBuffer(96_000)
        levels = 0.6, -0.6, 1.4, -1.4, 40_000, -40_000
        voice.write(960, np.array([level / 32767 for level in levels], np.float32))
        frame = await VoiceTrack(voice, MediaClock(0.2, now=time.now)).recv()
        assert frame.to_ndarray()[0, :12:2].tolist() == [1, -1, 1, -1, 32_767, -32_768]

    time.run(send())


def test_the_voice_is_as_loud_behind_opus_as_before_it() -> None:
    said = (tone(2.0) * 32767).astype(np.int16)
    encoder, decoder, heard = OpusEncoder(), OpusDecoder(), list[np.ndarray]()
    for at in range(0, len(said), 960):
        payloads, stamp = encoder.encode(voice_frame(said[at : at + 960], at))
        for payload in payloads:
            for frame in decoder.decode(JitterFrame(payload, stamp)):
                assert isinstance(frame, AudioFrame)
                heard.append(frame.to_ndarray().reshape(-1, 2))
    both = np.concatenate(heard)[48_000:].astype(float).std(axis=0)
    assert 20 * np.log10(both / said[48_000:].std()) == pytest.approx(0, abs=0.2)


def test_a_loop_that_stood_still_skips_instead_of_bursting() -> None:
    time = VirtualTime()

    async def send() -> None:
        track = VoiceTrack(VoiceBuffer(96_000), MediaClock(0.2, now=time.now))
        before = stamp_of(await track.recv())
        time.now_s += 30.0
        after = stamp_of(await track.recv())
        assert after - before == pytest.approx(30 * 48_000, abs=1920)

    time.run(send())


@pytest.mark.parametrize(("stood_s", "skips"), [(0.45, False), (0.6, True)])
def test_less_than_half_a_second_is_caught_up_without_losing_a_packet(stood_s: float, skips: bool) -> None:
    time = VirtualTime()

    async def send() -> None:
        track = VoiceTrack(VoiceBuffer(96_000), MediaClock(0.2, now=time.now))
        before = stamp_of(await track.recv())
        time.now_s += stood_s
        assert (stamp_of(await track.recv()) - before == 960) is not skips

    time.run(send())


def test_a_picture_is_handed_over_earlier_by_what_encoding_takes_longer_than_opus() -> None:
    track = FaceTrack(FrameQueue(4), MediaClock(0.2), still())
    assert track.lead_s == 0
    track.encoded(0.0265)
    assert track.lead_s == pytest.approx(0.05 * 0.02), "one picture hardly counts"
    for _ in range(200):
        track.encoded(0.0265)
    assert track.lead_s == pytest.approx(0.02, abs=1e-5)
    for _ in range(200):
        track.encoded(0.5)
    assert track.lead_s == 0.04, "never earlier than a frame"
    for _ in range(200):
        track.encoded(0.001)
    assert track.lead_s == 0


@pytest.mark.parametrize("others_encode", [False, True])
def test_what_others_encode_is_not_timed_by_when_the_next_picture_is_asked_for(others_encode: bool) -> None:
    time = VirtualTime()

    async def send() -> None:
        track = FaceTrack(FrameQueue(4), MediaClock(0.2, now=time.now), still())
        track.others_encode = others_encode
        await track.recv()
        await asyncio.sleep(0.0265)
        await track.recv()
        assert track.lead_s == pytest.approx(0.0 if others_encode else 0.05 * 0.02)

    time.run(send())


def test_no_two_pictures_have_one_stamp_even_while_the_clock_stands() -> None:
    async def send() -> None:
        track = FaceTrack(FrameQueue(4), MediaClock(0.2, now=lambda: 1000.0), still())
        assert [stamp_of(await track.recv()) for _ in range(3)] == [0, 1, 2]

    VirtualTime().run(send())


def test_the_still_goes_out_at_once_and_again_while_nothing_is_drawn() -> None:
    time = VirtualTime()

    async def send() -> None:
        track = FaceTrack(FrameQueue(4), MediaClock(0.2, now=time.now), still())
        frames = [await track.recv() for _ in range(3)]
        assert [frame.pts for frame in frames] == pytest.approx([0, 0.3 * 16_000, 0.6 * 16_000], abs=1)
        inside = np.s_[SIDE_PX // 4 : -SIDE_PX // 4]  # colour is coarser than brightness along the disc's edge
        assert shown(frames[2])[inside, inside] == pytest.approx(still()[inside, inside], abs=COLOUR_STEP)

    time.run(send())


def test_frames_leave_when_due_with_their_own_stamp_and_late_ones_are_counted() -> None:
    time = VirtualTime()

    async def send() -> None:
        clock, frames = MediaClock(0.2, now=time.now), FrameQueue(8)
        track = FaceTrack(frames, clock, still())
        await track.recv()
        time.now_s += 0.3 - 0.01  # the still was sent so long ago: not yet standing still
        late = int(clock.position() - 0.04 * 16_000)
        due = ((late + 1, 15), (4800 + 320, 20), (4800 + 960, 30))
        for at, level in ((late - 10, 10), *due):
            frames.put(DueFrame(at, grey(level)))
        for at, level in due:
            frame = await track.recv()
            assert frame.pts == at and shown(frame)[0, 0, 0] == pytest.approx(level, abs=COLOUR_STEP)
            assert clock.position() == pytest.approx(max(at - track.lead_s * 16_000, late + 0.04 * 16_000), abs=2)
        assert track.counts.late == 1 and track.counts.sent == 4

    time.run(send())


def test_a_face_that_is_always_late_still_moves_now_and_then() -> None:
    time = VirtualTime()

    async def send() -> None:
        clock, frames = MediaClock(0.2, now=time.now), FrameQueue(4)
        track = FaceTrack(frames, clock, still())
        await track.recv()
        time.now_s += 60.0

        async def draw() -> None:
            for level in range(60, 255):  # all of the first seconds: a minute too late
                frames.put(DueFrame(640 * level, grey(level)))
                await asyncio.sleep(0.02)

        drawing = asyncio.create_task(draw())
        seen = [shown(await track.recv())[0, 0, 0] for _ in range(3)]
        drawing.cancel()
        assert seen == sorted(set(seen)), "each picture is a newer one"
        assert track.counts.late > len(seen)

    time.run(send())


def test_a_stopped_track_ends() -> None:
    time = VirtualTime()

    async def send() -> None:
        clock = MediaClock(0.2, now=time.now)
        for track in (VoiceTrack(VoiceBuffer(960), clock), FaceTrack(FrameQueue(1), clock, still())):
            track.stop()
            with pytest.raises(MediaStreamError):
                await track.recv()

    time.run(send())
