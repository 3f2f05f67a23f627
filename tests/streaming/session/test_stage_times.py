from __future__ import annotations

import asyncio

import numpy as np
import pytest
from streaming.fakes import FakeEngine, FakeFrame, ListSource, still, tone, tone_clip

from s2v.streaming.session.session import Session
from s2v.streaming.session.stage_times import KEPT, STAGES, StageTimes
from s2v.streaming.sources.file import FileSource
from s2v.streaming.sources.source import AudioChunk


def test_means_and_percentiles_are_of_the_newest_times_only() -> None:
    times = StageTimes()
    for k in range(10 * KEPT):
        times.add("network", k / 1000)
    newest = np.arange(9 * KEPT, 10 * KEPT)
    assert times.means_ms() == {"network": pytest.approx(newest.mean())}
    p95 = times.p95_ms()["network"]
    assert np.mean(newest <= p95) >= 0.95 > np.mean(newest < p95)


def test_one_time_is_its_own_percentile_and_a_stage_not_seen_is_left_out() -> None:
    times = StageTimes()
    times.add("encode", 0.005)
    assert times.means_ms() == times.p95_ms() == {"encode": 5.0}


def test_an_observer_is_told_of_every_time() -> None:
    told: list[tuple[str, float]] = []
    times = StageTimes(lambda stage, seconds: told.append((stage, seconds)))
    times.add("playout", 0.1)
    times.add("playout", 0.2)
    assert told == [("playout", 0.1), ("playout", 0.2)]


class TimedEngine(FakeEngine):
    """Says what its frames cost, as the real one does."""

    def _draw(self) -> FakeFrame:
        frame = super()._draw()
        return FakeFrame(frame.index, frame.centre_sample, frame.pixels, network_s=0.007, compose_s=0.011)


def test_a_session_tells_every_stage_of_a_played_voice() -> None:
    async def play() -> dict[str, float]:
        session = Session(FileSource(tone_clip(1.0)), TimedEngine, still())
        running = asyncio.create_task(session.run())
        for _ in range(20):
            await session.face_track.recv()
        stats = session.stats()
        await session.close()
        await asyncio.wait([running])
        assert stats["stages_ms"].keys() == stats["stages_p95_ms"].keys()
        return stats["stages_ms"]

    stages = asyncio.run(asyncio.wait_for(play(), 30))
    assert list(stages) == list(STAGES)
    assert stages["network"] == 7.0 and stages["compose"] == 11.0
    assert all(mean >= 0 for mean in stages.values())
    # A window is complete one look-ahead after its own audio, whole MFCC columns: no machine is faster than that.
    spec = FakeEngine().spec
    waits_samples = min(spec.ready_at(n) - spec.frame_centre(n) for n in range(25)) - 2 * 320
    assert stages["window"] >= 1000 * waits_samples / 16_000


def test_a_source_that_does_not_know_when_sound_came_has_no_capture_stage() -> None:
    async def play() -> dict[str, float]:
        chunks = [AudioChunk(960 * k, tone(0.02), 320 * k, tone(0.02, rate_hz=16_000)) for k in range(20)]
        session = Session(ListSource(chunks), FakeEngine, still())
        await session.run()
        stages = session.stats()["stages_ms"]
        await session.close()
        return stages

    stages = asyncio.run(asyncio.wait_for(play(), 30))
    assert "capture" not in stages and "window" in stages
