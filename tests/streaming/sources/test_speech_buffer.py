from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from streaming.media import chirp

from s2v.errors import StreamError
from s2v.streaming.sources.speech_buffer import FADE_SAMPLES, MAX_BUFFERED_S, PREBUFFER_SAMPLES, SpeechBuffer

RATES_HZ = (8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000)
BLOCK = 960  # 20 ms


def speech(samples: int, rate_hz: int) -> NDArray[np.int16]:
    return np.rint(chirp(samples / rate_hz, rate_hz)[:samples] * 32767).astype(np.int16)


def resampled(pcm: NDArray[np.int16], rate_hz: int) -> NDArray[np.float32]:
    """The whole at once: what must come out."""
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=48_000)
    frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
    frame.sample_rate = rate_hz
    parts = [part.to_ndarray()[0] for source in (frame, None) for part in resampler.resample(source)]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def take_until(buffer: SpeechBuffer, utterance: int, length: int = BLOCK) -> NDArray[np.float32]:
    """All that comes out up to the end of that utterance, which must lie exactly behind its last sample."""
    parts: list[NDArray[np.float32]] = []
    for _ in range(10_000):
        taken = buffer.take(length)
        assert taken.pcm.shape == (length,) and taken.pcm.dtype == np.float32
        assert np.abs(taken.pcm).max() <= 1
        parts.append(taken.pcm)
        for number, at, _ in taken.ended:
            if number == utterance:
                return np.concatenate(parts)[: len(parts) * length - length + at]
    raise AssertionError("the utterance never ends")


@settings(max_examples=60, deadline=None)
@given(
    rate_hz=st.sampled_from(RATES_HZ),
    cuts=st.lists(st.integers(0, 3000), max_size=12),
    length=st.sampled_from([160, 960, 1000, 4800]),
)
def test_speech_in_any_pieces_comes_out_as_the_whole(rate_hz: int, cuts: list[int], length: int) -> None:
    pcm = speech(6000, rate_hz)
    buffer = SpeechBuffer()
    for part in np.split(pcm, np.minimum(np.cumsum(cuts, dtype=int), len(pcm))):
        buffer.push(part, rate_hz)
    buffer.flush(7)
    heard = take_until(buffer, 7, length)
    meant = resampled(pcm, rate_hz)
    assert len(heard) == len(meant)
    assert np.abs(heard - meant).max() < 1e-6
    assert buffer.buffered_s == 0 and buffer.underruns == 0
    assert not buffer.take(length).pcm.any(), "then silence"


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.integers(0, 4000)),
            st.tuples(st.just("take"), st.integers(1, 3000)),
            st.tuples(st.just("flush"), st.just(0)),
            st.tuples(st.just("clear"), st.just(0)),
        ),
        max_size=40,
    )
)
def test_whatever_is_done_in_whatever_order_the_books_balance(steps: list[tuple[str, int]]) -> None:
    """At 48 kHz nothing is resampled: every sample that was pushed is taken, cleared or waiting; ends come in order."""
    buffer, pushed, gone_s, flushed, ended = SpeechBuffer(), 0, 0.0, 0, []
    for what, n in steps:
        before_s = buffer.buffered_s
        if what == "push":
            buffer.push(np.full(n, 1000, np.int16), 48_000)
            assert buffer.buffered_s == pytest.approx(before_s + n / 48_000)
            pushed += n
        elif what == "take":
            taken = buffer.take(n)
            ended += [number for number, _, _ in taken.ended]
            assert np.count_nonzero(taken.pcm) <= round(before_s * 48_000)
            assert buffer.buffered_s <= before_s + 1e-9
        elif what == "flush":
            flushed += 1
            buffer.flush(flushed)
        else:
            gone_s += buffer.clear()
            assert buffer.buffered_s <= FADE_SAMPLES / 48_000
    assert buffer.buffered_s + gone_s <= pushed / 48_000 + FADE_SAMPLES / 48_000 * len(steps) + 1e-9
    assert ended == sorted(set(ended)) and len(ended) <= flushed


def test_utterances_of_different_rates_follow_each_other_and_each_end_is_told() -> None:
    buffer = SpeechBuffer()
    low, high = speech(4000, 8_000), speech(24_000, 24_000)
    buffer.push(low, 8_000)
    buffer.flush(1)
    buffer.push(high, 24_000)
    buffer.flush(2)
    heard = take_until(buffer, 2)
    assert np.abs(heard - np.concatenate([resampled(low, 8_000), resampled(high, 24_000)])).max() < 1e-6


def test_a_beginning_waits_for_a_little_more_and_no_longer() -> None:
    buffer = SpeechBuffer()
    buffer.push(speech(480, 48_000), 48_000)
    waited = 0
    while not buffer.take(BLOCK).pcm.any():
        waited += BLOCK
        assert waited <= PREBUFFER_SAMPLES
    assert waited == PREBUFFER_SAMPLES
    buffer.push(speech(PREBUFFER_SAMPLES, 48_000), 48_000)
    assert buffer.take(BLOCK).pcm.any(), "enough in hand: at once"


def test_a_sender_that_is_too_slow_causes_counted_gaps_and_loses_nothing() -> None:
    pcm, buffer, parts = speech(48_000, 24_000), SpeechBuffer(), []
    for start in range(0, len(pcm), 480):  # 20 ms of speech every 40 ms
        buffer.push(pcm[start : start + 480], 24_000)
        parts += [buffer.take(BLOCK).pcm, buffer.take(BLOCK).pcm]
    buffer.flush(1)
    parts.append(take_until(buffer, 1))
    assert buffer.underruns >= 10
    heard, meant = np.concatenate(parts), resampled(pcm, 24_000)
    assert np.abs(heard[heard != 0] - meant[meant != 0]).max() < 1e-6


def test_what_was_said_of_an_utterance_is_counted_without_the_silence_that_filled_it() -> None:
    buffer = SpeechBuffer()
    buffer.push(speech(4800, 48_000), 48_000)
    assert not any(buffer.take(BLOCK).ended for _ in range(8)), "it runs dry after 100 ms"
    assert buffer.said_s == pytest.approx(0.1)
    buffer.push(speech(2400, 48_000), 48_000)
    buffer.flush(1)
    buffer.push(speech(480, 48_000), 48_000)
    buffer.flush(2)
    ends = [end for _ in range(20) for end in buffer.take(BLOCK).ended]
    assert [(end.utterance, end.said) for end in ends] == [(1, 7200), (2, 480)]
    assert buffer.said_s == 0


@pytest.mark.parametrize("length", [100, BLOCK, 4800])
def test_what_follows_a_cut_is_counted_from_the_end_of_its_fade(length: int) -> None:
    buffer = SpeechBuffer()
    buffer.push(speech(48_000, 48_000), 48_000)
    buffer.take(9600)
    buffer.clear()
    assert buffer.said_s == pytest.approx((9600 + FADE_SAMPLES) / 48_000)
    buffer.flush(1)  # an utterance of nothing
    buffer.push(speech(4800, 48_000), 48_000)
    buffer.flush(2)
    ends = [end for _ in range(60) for end in buffer.take(length).ended]
    assert [(end.utterance, end.said) for end in ends] == [(1, 0), (2, 4800)]


def test_clearing_fades_out_and_forgets_the_rest() -> None:
    buffer = SpeechBuffer()
    buffer.push(speech(48_000, 48_000), 48_000)
    buffer.flush(1)
    before = buffer.take(BLOCK).pcm
    assert buffer.clear() == pytest.approx(0.98)
    after = buffer.take(BLOCK)
    assert after.ended == [] and not after.pcm[FADE_SAMPLES:].any()
    meant = resampled(speech(48_000, 48_000), 48_000)
    assert np.allclose(before, meant[:BLOCK])
    ramp = np.linspace(1, 0, FADE_SAMPLES)
    assert np.allclose(after.pcm[:FADE_SAMPLES], meant[BLOCK : BLOCK + FADE_SAMPLES] * ramp, atol=1e-6)
    assert buffer.underruns == 0, "it was meant to stop"
    assert buffer.clear() == 0 and not buffer.take(BLOCK).pcm.any()


def test_more_than_a_minute_ahead_is_refused_and_leaves_what_was_there() -> None:
    buffer = SpeechBuffer()
    minute = np.zeros(round(MAX_BUFFERED_S * 8_000), np.int16)
    buffer.push(minute, 8_000)
    with pytest.raises(StreamError, match="60 s ahead"):
        buffer.push(minute[:1], 8_000)
    assert buffer.buffered_s == MAX_BUFFERED_S
    for _ in range(5):
        buffer.take(BLOCK)
    buffer.push(minute[:800], 8_000)


def test_a_million_tiny_frames_are_not_a_million_pieces() -> None:
    buffer, pcm = SpeechBuffer(), speech(20_000, 48_000)
    for sample in pcm:
        buffer.push(np.array([sample]), 48_000)
    assert len(buffer._waiting) < 10
    buffer.flush(1)
    assert np.array_equal(take_until(buffer, 1), resampled(pcm, 48_000))


def test_full_scale_does_not_overshoot() -> None:
    buffer = SpeechBuffer()
    buffer.push(np.where(np.arange(8000) // 20 % 2, 32767, -32768).astype(np.int16), 8_000)
    buffer.flush(1)
    assert np.abs(take_until(buffer, 1)).max() == 1
