from __future__ import annotations

import gc
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from streaming.fakes import tone, tone_clip
from streaming.virtual_time import VirtualTime

from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.resampler import VoiceResampler
from s2v.streaming.sources.sender_clock import SenderClock
from s2v.streaming.sources.source import AudioChunk, AudioSource

TASKS = Path("/proc/self/task")


def collect(time: VirtualTime, source: AudioSource, limit: int = 10_000) -> list[AudioChunk]:
    chunks: list[AudioChunk] = []

    async def read() -> None:
        while len(chunks) < limit and (chunk := await source.read()) is not None:
            chunks.append(chunk)

    time.run(read())
    return chunks


def packet(pcm: NDArray[np.float32], stamp: int | None, rate_hz: int = 48_000, stereo: bool = True) -> av.AudioFrame:
    """What aiortc decodes: s16, interleaved stereo for Opus, mono for the telephone codecs."""
    s16 = np.rint(pcm * 32767).astype(np.int16)
    data = np.repeat(s16, 2)[None, :] if stereo else s16[None, :]
    frame = av.AudioFrame.from_ndarray(data, format="s16", layout="stereo" if stereo else "mono")
    frame.sample_rate, frame.pts = rate_hz, stamp
    return frame


def check_counts(chunks: list[AudioChunk]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both rates count without a hole and mean the same moments; returns all of both."""
    voice_end = engine_end = 0
    for chunk in chunks:
        assert (chunk.voice_start, chunk.engine_start) == (voice_end, engine_end)
        voice_end += len(chunk.voice)
        engine_end += len(chunk.engine)
        assert 0 <= voice_end / 3 - engine_end < 64, "16 kHz lags by no more than a filter"
    return np.concatenate([c.voice for c in chunks]), np.concatenate([c.engine for c in chunks])


def test_a_file_is_delivered_whole_once_and_in_real_time() -> None:
    clip, time = tone_clip(2.005), VirtualTime()
    began_s = time.now_s
    chunks = collect(time, FileSource(clip, now=time.now))
    voice, engine = check_counts(chunks)
    assert np.array_equal(voice, clip.pcm_48k)
    assert np.array_equal(engine, clip.pcm_16k)
    assert time.now_s - began_s == pytest.approx(2.0, abs=0.021)


def test_a_looped_file_goes_round_without_a_hole() -> None:
    clip, time = tone_clip(0.333), VirtualTime()
    voice, engine = check_counts(collect(time, FileSource(clip, loop=True, now=time.now), limit=60))
    assert np.array_equal(voice, np.resize(clip.pcm_48k, len(voice)))
    assert np.array_equal(engine, np.resize(clip.pcm_16k, len(engine)))


def test_an_empty_or_closed_file_source_ends() -> None:
    time = VirtualTime()
    assert collect(time, FileSource(tone_clip(0.0), loop=True, now=time.now)) == []
    source = FileSource(tone_clip(1.0), now=time.now)
    source.close()
    assert collect(time, source) == []


def test_a_microphone_arrives_unchanged_and_the_engine_hears_the_same_moments() -> None:
    speech, resampler = tone(1.0), VoiceResampler()
    chunks = [resampler.push(packet(speech[i : i + 960], 5000 + i)) for i in range(0, len(speech), 960)]
    voice, engine = check_counts(chunks)
    assert np.abs(voice - speech).max() < 1e-3
    assert np.abs(engine - tone(1.0, rate_hz=16_000)[: len(engine)])[200:].max() < 1e-3


@pytest.mark.skipif(not TASKS.is_dir(), reason="only Linux tells the threads of libraries")
def test_a_closed_resampler_has_no_threads_and_counts_on_if_something_still_comes() -> None:
    def threads() -> int:
        return len(list(TASKS.iterdir()))

    gc.collect()  # what other tests have left
    speech, resampler, before = tone(0.04), VoiceResampler(), threads()
    resampler.push(packet(speech[:960], 0))
    assert threads() > before
    resampler.close()
    assert threads() == before
    assert resampler.push(packet(speech[960:], 960)).voice_start == 960


def test_lost_packets_become_silence_and_the_count_does_not_slip() -> None:
    speech, resampler, sender = tone(1.0), VoiceResampler(), SenderClock()
    lost = (10, 11, 12, 30)
    voice, engine = np.zeros(48_000, np.float32), np.zeros(16_000, np.float32)
    for k in range(50):
        if k not in lost:
            frame = packet(speech[960 * k :][:960], 960 * k)
            chunk = resampler.push(frame, sender.silence_before(960 * k, frame, None), sent=False)
            assert chunk.pause == 0, "a hole, and no silence"
            voice[chunk.voice_start : chunk.voice_end] = chunk.voice
            engine[chunk.engine_start :][: len(chunk.engine)] = chunk.engine
    expected = np.repeat(~np.isin(np.arange(50), lost), 960) * speech
    assert np.abs(voice - expected).max() < 1e-3
    around = np.abs(np.arange(16_000) // 320 - 11.0) > 2.5  # the filter rings for some samples at each edge
    around &= np.abs(np.arange(16_000) // 320 - 30.0) > 1.5
    assert np.abs(engine - expected[::3])[around][200:-70].max() < 2e-3


def silences(stamps: list[int], came_s: list[float] | None = None, held_up: bool = False) -> tuple[list[int], int]:
    """What lies before each packet of 20 ms, and how often its stamp was not believed."""
    sender, frame = SenderClock(), packet(tone(0.02), None)
    moments: list[float | None] = [*came_s] if came_s else [None] * len(stamps)
    found = [sender.silence_before(s % 2**32, frame, m, held_up) for s, m in zip(stamps, moments, strict=True)]
    return found, sender.jumps


def test_stamps_may_wrap_round() -> None:
    assert silences([2**32 - 2 * 960 + 960 * k for k in range(5)]) == ([0] * 5, 0)


@pytest.mark.parametrize("stamp", [960 + 48_000 * 3600, 2**31, 10])
def test_a_jump_of_the_senders_clock_is_no_hour_of_silence(stamp: int) -> None:
    assert silences([0, stamp])[0] == [0, 0], "nobody knows when they came"
    assert silences([0, stamp], [5.0, 5.02]) == ([0, 0], 1)
    assert silences([0, stamp], [5.0, 8.02]) == ([0, 3 * 48_000], 1), "the time between the packets is known"


def test_a_silence_is_as_long_as_the_stamps_say_when_they_agree_with_the_arrivals() -> None:
    assert silences([0, 960 + 4801], [5.0, 5.13]) == ([0, 4801], 0), "to the sample, whatever the network does"
    assert silences([0, 960 + 48_000], [5.0, 5.02]) == ([0, 0], 1), "stamps that lead before time have jumped"


def test_a_pause_that_the_stamps_leave_out_is_as_long_as_nothing_came_unless_all_of_it_comes_at_once() -> None:
    assert silences([0, 960], [5.0, 8.02]) == ([0, 3 * 48_000], 0)
    assert silences([0, 960], [5.0, 8.02], held_up=True) == ([0, 0], 0)
    assert silences([0, 960], [5.0, 5.05]) == ([0, 0], 0), "30 ms late"
    assert silences([0, 960, 1920, 2880], [5.0, 5.05, 5.1, 5.15]) == ([0] * 4, 0), "ever later is no pause"


def test_an_hour_of_silence_costs_nothing() -> None:
    resampler = VoiceResampler()
    chunk = resampler.push(packet(tone(0.02), None), silence=3600 * 48_000)
    assert chunk.voice_end == 3600 * 48_000 + 960 and len(chunk.voice) == 2 * 960
    assert chunk.pause == 3600 * 48_000 - 960 and chunk.engine_start * 3 == chunk.voice_start


def test_a_telephone_codec_and_a_change_of_codec_keep_counting() -> None:
    resampler = VoiceResampler()
    chunks = [resampler.push(packet(tone(0.02, rate_hz=8000), 160 * k, 8000, stereo=False)) for k in range(50)]
    chunks += [resampler.push(packet(tone(0.02), 960 * k)) for k in range(50)]
    voice, _ = check_counts(chunks)
    assert len(voice) == pytest.approx(96_000, abs=200)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e30])
def test_one_wrong_sample_of_a_peer_is_not_heard_around_it(wrong: float) -> None:
    voice = tone(0.1)
    broken = voice.copy()
    broken[2407] = wrong

    def heard(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
        resampler = VoiceResampler()
        frame = av.AudioFrame.from_ndarray(pcm[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        return resampler.push(frame).voice

    changed = np.flatnonzero(np.abs(heard(broken) - heard(voice)) > 1e-6)
    assert changed.tolist() == [2407]


def test_a_peer_may_have_more_channels_than_anybody_has_names_for() -> None:
    voice = (tone(0.1) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(voice, 16)[None], format="s16", layout="hexadecagonal")
    frame.sample_rate = 48_000
    np.testing.assert_allclose(VoiceResampler().push(frame).voice, voice / 32768, atol=1e-4)
