from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from streaming.sources.test_source import check_counts
from streaming.sources.test_speech_buffer import resampled, speech
from streaming.virtual_time import VirtualTime

from s2v.errors import StreamError
from s2v.streaming.sources.push import MAX_UTTERANCES, PushSource
from s2v.streaming.sources.source import AudioChunk


def run(test: Callable[[PushSource, VirtualTime], Awaitable[None]]) -> None:
    time = VirtualTime()
    time.run(test(PushSource(time.now), time))


async def read(source: PushSource, count: int) -> list[AudioChunk]:
    chunks = [await source.read() for _ in range(count)]
    assert all(chunk is not None for chunk in chunks)
    return [chunk for chunk in chunks if chunk is not None]


def test_what_came_at_once_is_said_in_its_own_time_with_silence_around_it() -> None:
    async def say(source: PushSource, time: VirtualTime) -> None:
        chunks = await read(source, 10)
        began_s, pcm = time.now_s, speech(24_000, 24_000)
        source.push(pcm, 24_000)
        end = source.flush()
        chunks += await read(source, 60)
        assert time.now_s - began_s == pytest.approx(60 * 0.02, abs=1e-6)
        voice, engine = check_counts(chunks)
        meant = resampled(pcm, 24_000)
        assert not voice[:9600].any() and not voice[9600 + len(meant) :].any()
        assert np.abs(voice[9600:][: len(meant)] - meant).max() < 1e-6
        assert end.result() == ((9600 + len(meant)) // 3, 1.0)
        assert np.abs(engine[3200:19_000]).max() > 0.3, "the engine hears it too"

    run(say)


def test_clear_stops_the_speech_and_its_end_is_never_told() -> None:
    async def say(source: PushSource, _: VirtualTime) -> None:
        source.push(speech(48_000, 48_000), 48_000)
        end = source.flush()
        await read(source, 5)
        forgotten_s, said = source.clear()
        assert forgotten_s == pytest.approx(0.9)
        assert said.seconds == pytest.approx(0.105) and said.end_sample == pytest.approx(1680, abs=1), "with its fade"
        assert source.clear()[1].seconds == 0, "no utterance was under way"
        voice = np.concatenate([chunk.voice for chunk in await read(source, 5)])
        assert voice[:200].any() and not voice[240:].any()
        assert end.cancelled()
        source.push(speech(960, 48_000), 48_000)
        again = source.flush()
        await read(source, 2)
        assert again.result().seconds == pytest.approx(0.02), "it counts anew"

    run(say)


def test_a_loop_that_stood_still_goes_on_from_now() -> None:
    async def say(source: PushSource, time: VirtualTime) -> None:
        await read(source, 5)
        time.now_s += 30
        began_s = time.now_s
        await read(source, 11)
        assert time.now_s - began_s == pytest.approx(0.2, abs=1e-6)

    run(say)


def test_endless_flushes_are_refused() -> None:
    async def say(source: PushSource, _time: VirtualTime) -> None:
        source.push(speech(48_000, 48_000), 48_000)
        for _number in range(MAX_UTTERANCES):
            source.flush()
        with pytest.raises(StreamError, match="wait"):
            source.flush()
        source.clear()
        source.flush()

    run(say)


def test_a_closed_source_has_ended_and_nobody_waits_for_an_end() -> None:
    async def say(source: PushSource, _: VirtualTime) -> None:
        end = source.flush()
        source.close()
        source.close()
        assert await source.read() is None and end.cancelled()

    run(say)
