from __future__ import annotations

import asyncio

import numpy as np
import pytest
from streaming.fakes import FakeEngine, ListSource, session_of, tone, tone_clip
from streaming.virtual_time import VirtualTime

from s2v.engine.lipsync import DrawnFrame
from s2v.streaming.session.session import MARGIN_S
from s2v.streaming.session.stage_times import KEPT, STAGES, StageTimes
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

    def _draw(self) -> DrawnFrame:
        frame = super()._draw()
        return DrawnFrame(frame.index, frame.centre_sample, frame.pixels, network_s=0.007, compose_s=0.011)


def test_a_session_tells_every_stage_of_a_played_voice() -> None:
    time, told = VirtualTime(), list[dict[str, float]]()

    async def play() -> None:
        session = session_of(tone_clip(1.0), TimedEngine, time)
        running = asyncio.create_task(session.run())
        for _ in range(20):
            await session.face_track.recv()
            await asyncio.sleep(0.004)  # as long as the connection encodes
        stats = session.stats()
        await session.close()
        await asyncio.wait([running])
        assert stats["stages_ms"].keys() == stats["stages_p95_ms"].keys()
        told.append(stats["stages_ms"])

    time.run(play())
    (stages,) = told
    assert list(stages) == list(STAGES)
    assert stages["network"] == 7.0 and stages["compose"] == 11.0, "as the engine says"
    assert stages["capture"] == pytest.approx(0, abs=0.01), "a file is there when it is due"
    assert stages["encode"] == pytest.approx(4, abs=0.01)
    # A window is complete one look-ahead after its own audio, whole MFCC columns, in packets of 20 ms.
    spec = FakeEngine().spec
    assert 1000 * (spec.ready_at(9) - spec.frame_centre(9) - 320) / 16_000 < stages["window"]
    assert stages["window"] < 1000 * (spec.ready_at(9) - spec.frame_centre(9) + 2 * 320) / 16_000
    held_ms = stages["window"] + stages["playout"]
    assert held_ms == pytest.approx(1000 * (spec.look_ahead_s + MARGIN_S), abs=40), "the rest of the playout delay"


def test_a_source_that_does_not_know_when_sound_came_has_no_capture_stage() -> None:
    time = VirtualTime()

    async def play() -> None:
        chunks = [AudioChunk(960 * k, tone(0.02), 320 * k, tone(0.02, rate_hz=16_000)) for k in range(20)]
        session = session_of(ListSource(chunks), FakeEngine, time)
        await session.run()
        stages = session.stats()["stages_ms"]
        await session.close()
        assert "capture" not in stages and "window" in stages

    time.run(play())
