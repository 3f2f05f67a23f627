from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streaming.fakes import still
from streaming.virtual_time import VirtualTime

from s2v.streaming.session.buffers import DueFrame, FrameQueue, VoiceBuffer


@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=30), begin=st.integers(0, 900))
def test_every_sample_is_heard_exactly_once_at_its_place(sizes: list[int], begin: int) -> None:
    voice = np.arange(1, sum(sizes) + 1, dtype=np.float32)
    buffer, out, at = VoiceBuffer(3000), [], begin
    for size in sizes:
        buffer.write(at, voice[at - begin : at - begin + size])
        at += size
        while buffer.position + 960 <= at:
            out.append(buffer.read(960))
    buffer.ends_at = at
    out.append(buffer.read(1920))
    heard = np.concatenate([pcm for pcm, _ in out])
    assert np.array_equal(heard[begin:at], voice)
    assert not heard[:begin].any() and not heard[at:].any()
    assert sum(missing for _, missing in out) == 0 == buffer.dropped_samples


def test_audio_that_never_came_is_silence_and_shifts_nothing() -> None:
    buffer = VoiceBuffer(4000)
    buffer.write(0, np.full(960, 0.5, np.float32))
    buffer.write(1920, np.full(960, 0.7, np.float32))
    packets = [buffer.read(960) for _ in range(3)]
    assert [missing for _, missing in packets] == [0, 960, 0]
    assert [float(pcm[0]) for pcm, _ in packets] == [0.5, 0.0, np.float32(0.7)]


def test_audio_too_late_or_too_far_ahead_is_dropped_and_counted() -> None:
    buffer = VoiceBuffer(2000)
    buffer.read(960)
    buffer.write(900, np.ones(100, np.float32))
    buffer.write(2900, np.ones(100, np.float32))
    assert buffer.dropped_samples == 60 + 40
    pcm, _ = buffer.read(2000)
    assert pcm.sum() == 40 + 60


def test_what_has_been_read_does_not_count_as_there_when_its_place_comes_round_again() -> None:
    buffer = VoiceBuffer(1920)
    buffer.write(0, np.ones(1920, np.float32))
    packets = [buffer.read(960) for _ in range(4)]
    assert [missing for _, missing in packets] == [0, 0, 960, 960]
    assert [float(pcm.sum()) for pcm, _ in packets] == [960, 960, 0, 0]


@pytest.mark.parametrize("to", [1920, 9600])
def test_skipping_further_than_is_kept_leaves_silence_that_is_missing(to: int) -> None:
    buffer = VoiceBuffer(1920)
    buffer.write(0, np.ones(1920, np.float32))
    buffer.skip_to(to)
    pcm, missing = buffer.read(960)
    assert not pcm.any() and missing == 960 and buffer.position == to + 960


def test_a_full_queue_drops_the_oldest_frame_and_counts_it() -> None:
    async def fill() -> None:
        queue = FrameQueue(2)
        for at in (1, 2, 3):
            queue.put(DueFrame(at, still()))
        assert queue.dropped == 1
        taken = [await queue.get(1.0), await queue.get(1.0), await queue.get(0.001)]
        assert [frame.at if frame else None for frame in taken] == [2, 3, None]

    VirtualTime().run(fill())
