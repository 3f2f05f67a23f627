from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from numpy.typing import NDArray
from streaming.fakes import FakeEngine, tone
from streaming.virtual_time import VirtualTime

from s2v.engine.lipsync import DrawnFrame
from s2v.errors import ModelError
from s2v.streaming.session.buffers import DueFrame
from s2v.streaming.session.engine_worker import BATCH_SAMPLES, MAX_PENDING_SAMPLES, EngineWorker, TimelineMap
from s2v.streaming.session.wishes import Wishes


def draw(
    chunks: list[tuple[int, int]], engine: FakeEngine, at_once: bool = False
) -> tuple[list[DueFrame], EngineWorker]:
    """Feed (timeline sample, length) chunks of a tone, as fast as they are taken or all at once; returns all frames."""
    time, frames, workers = VirtualTime(), list[DueFrame](), list[EngineWorker]()

    async def run() -> None:
        worker = EngineWorker(lambda: engine, frames.append, time.now)
        workers.append(worker)
        running = asyncio.create_task(worker.run())
        for at, length in chunks:
            worker.feed(at, tone(length / 16_000, rate_hz=16_000))
            while worker._waiting and not at_once:
                await asyncio.sleep(0.001)
        worker.finish()
        await running
        await worker.close()
        await worker.close()

    time.run(run())
    return frames, workers[0]


def test_each_frame_lands_on_the_audio_it_was_drawn_for() -> None:
    engine = FakeEngine()
    frames, worker = draw([(5000 + 320 * k, 320) for k in range(50)], engine)
    assert [frame.at for frame in frames] == [5000 + engine.spec.frame_centre(n) for n in range(25)]
    assert worker.drawn == 25 and worker.skipped_samples == 0
    assert engine.closed == 1


def test_after_a_stall_the_frames_follow_the_audio() -> None:
    frames, _ = draw([(320 * k, 320) for k in range(10)] + [(50_000 + 320 * k, 320) for k in range(20)], FakeEngine())
    assert [frame.at for frame in frames[:5]] == [320, 960, 1600, 2240, 2880]
    assert [frame.at for frame in frames[5:7]] == [50_320, 50_960]


def test_a_machine_too_slow_skips_the_oldest_audio_and_stays_in_time() -> None:
    engine = FakeEngine()
    frames, worker = draw([(320 * k, 320) for k in range(150)], engine, at_once=True)  # 3 s
    assert worker.skipped_samples == 150 * 320 - MAX_PENDING_SAMPLES
    assert len(engine.heard) == MAX_PENDING_SAMPLES
    assert frames[-1].at == 150 * 320 - 320


def feed_twice(between_s: float) -> tuple[FakeEngine, EngineWorker]:
    """A tenth of a second of sound, nothing drawn for `between_s`, another tenth; then the engine gets going."""
    engine, time, workers = FakeEngine(), VirtualTime(), list[EngineWorker]()

    async def run() -> None:
        worker = EngineWorker(lambda: engine, lambda frame: None, time.now)
        workers.append(worker)
        for at in range(0, 1600, 320):
            worker.feed(at, tone(0.02, rate_hz=16_000))
        time.now_s += between_s
        for at in range(1600, 3200, 320):
            worker.feed(at, tone(0.02, rate_hz=16_000))
        worker.finish()
        await worker.run()
        await worker.close()

    time.run(run())
    return engine, workers[0]


def test_audio_that_has_waited_too_long_to_be_shown_in_time_is_not_drawn() -> None:
    engine, worker = feed_twice(0.17)  # 0.16 s and more
    assert worker.skipped_samples == 1600 and len(engine.heard) == 1600


def test_audio_that_comes_in_a_burst_is_drawn_to_the_last_sample() -> None:
    engine, worker = feed_twice(0.15)
    assert worker.skipped_samples == 0 and len(engine.heard) == 3200


def test_a_long_gap_is_not_drawn_in_one_go() -> None:
    lengths: list[int] = []
    engine = FakeEngine(lambda: lengths.append(len(engine.heard)))
    frames, worker = draw([(0, 320), (320, 5 * 16_000)], engine, True)  # 5 s of silence for what a sender has lost
    assert np.diff(lengths).max() <= BATCH_SAMPLES
    assert worker.skipped_samples == 320 + 5 * 16_000 - len(engine.heard) > 3 * 16_000
    assert frames[-1].at == pytest.approx(320 + 5 * 16_000, abs=640)


def test_the_engine_lives_on_one_thread_that_is_joined() -> None:
    threads: set[str] = set()
    before = threading.active_count()
    draw([(320 * k, 320) for k in range(20)], FakeEngine(lambda: threads.add(threading.current_thread().name)))
    assert len(threads) == 1 and threading.main_thread().name not in threads
    assert threading.active_count() == before


def test_an_engine_that_cannot_be_opened_is_said_and_leaves_no_thread() -> None:
    def refuse() -> FakeEngine:
        raise ModelError("no model")

    time = VirtualTime()

    async def run() -> None:
        worker = EngineWorker(refuse, lambda frame: None, time.now)
        with pytest.raises(ModelError):
            await worker.run()
        await worker.close()

    before = threading.active_count()
    time.run(run())
    assert threading.active_count() == before


def test_drawing_is_timed_by_the_session_s_clock_on_whatever_thread_it_happens() -> None:
    time, frames = VirtualTime(), list[DueFrame]()
    engine = FakeEngine(lambda: time.wait(threading.Event(), 0.03))

    async def run() -> None:
        worker = EngineWorker(lambda: engine, frames.append, time.now)
        began_s = time.now_s
        for start in range(0, 4800, 320):
            worker.feed(start, tone(0.02, rate_hz=16_000))
        worker.finish()
        await worker.run()
        assert frames[0].drawn_s is not None and engine.spec.ready_at(0) <= 10 * 640
        pushes = -(-engine.spec.ready_at(0) // BATCH_SAMPLES)
        assert frames[0].drawn_s - began_s == pytest.approx(0.03 * pushes, abs=1e-4)
        assert worker.draw_s == pytest.approx(0.03, abs=0.015), "the last draw is a flush of several frames"
        await worker.close()

    time.run(run())


def test_drawing_that_always_takes_as_long_lags_by_just_that() -> None:
    time = VirtualTime()
    engine = FakeEngine(lambda: time.wait(threading.Event(), 0.03))

    async def run() -> None:
        worker = EngineWorker(lambda: engine, lambda frame: None, time.now)
        running = asyncio.create_task(worker.run())
        for start in range(0, 150 * 640, 640):
            worker.feed(start, tone(0.04, rate_hz=16_000))
            await asyncio.sleep(0.04)
        assert worker.lag_s == pytest.approx(0.03, abs=1e-3)
        worker.finish()
        await running
        await worker.close()

    time.run(run())


class EngineThatDrawsAtTheEnd(FakeEngine):
    """All frames in one go, which takes 0.2 s."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def push(self, pcm: NDArray[np.float32], heard: NDArray[np.float32] | None = None) -> list[DrawnFrame]:
        self.heard = np.concatenate([self.heard, pcm])
        return []

    def flush(self) -> list[DrawnFrame]:
        self._time.wait(threading.Event(), 0.2)
        return super().flush()


def test_frames_drawn_together_share_the_time_they_took() -> None:
    time = VirtualTime()

    async def run() -> None:
        worker = EngineWorker(lambda: EngineThatDrawsAtTheEnd(time), lambda frame: None, time.now)
        worker.feed(0, tone(0.16, rate_hz=16_000))
        worker.finish()
        await worker.run()
        assert worker.drawn == 4 and worker.draw_s == pytest.approx(0.05, abs=1e-4)
        await worker.close()

    time.run(run())


def test_the_map_keeps_only_the_pieces_it_needs() -> None:
    timeline = TimelineMap()
    for k in range(1000):
        timeline.append(1000 * k, 320)  # a jump before every chunk
    assert [timeline.locate(k) for k in (0, 319, 320, 700)] == [0, 319, 1000, 2060]
    assert timeline.locate(999 * 320 + 7) == 999_007
    assert len(timeline._pieces) == 1
    assert np.all(np.diff([timeline.locate(999 * 320 + k) for k in range(10)]) == 1)


def test_frames_speak_and_move_as_strongly_as_the_worker_was_last_told() -> None:
    time, engine = VirtualTime(), FakeEngine()
    engine.articulation, engine.liveliness = 0.75, 1.25  # its own

    async def run() -> None:
        worker = EngineWorker(lambda: engine, lambda _: None, time.now)
        running = asyncio.create_task(worker.run())
        for at, share in ((0, None), (16_000, 1.5), (32_000, 0.5)):
            worker.wishes = Wishes(articulation=share)
            for start in range(0, 16_000, 640):
                worker.feed(at + start, tone(0.04, rate_hz=16_000))
                while worker._waiting or worker.drawn < engine.spec.frame_count(len(engine.heard)) - 3:
                    await asyncio.sleep(0.001)
        worker.finish()
        await running
        await worker.close()

    time.run(run())
    found = engine.articulations
    assert len(found) == 75 and set(found) == {0.75, 1.5, 0.5}
    assert found == sorted(found, key=[0.75, 1.5, 0.5].index), "each from its own moment on"
    assert all(20 <= found.count(share) <= 28 for share in set(found))
    assert set(engine.livelinesses) == {1.25}, "nobody asked for another"


def test_what_is_said_to_the_face_stays_with_the_audio_it_was_said_to() -> None:
    time, engine = VirtualTime(), FakeEngine()
    said, heard = np.linspace(-1, 1, 32_000, dtype=np.float32), np.linspace(0.5, -0.5, 32_000, dtype=np.float32)

    async def run() -> None:
        worker = EngineWorker(lambda: engine, lambda _: None, time.now)
        worker.wishes = Wishes(liveliness=0.5)
        running = asyncio.create_task(worker.run())
        for start in (*range(0, 16_000, 320), 16_000):  # packets, and a long gap in one go, of which much is skipped
            part = slice(start, start + 320 if start < 16_000 else None)
            worker.feed(start, said[part], None if start % 960 == 320 else heard[part])
            while start < 16_000 and worker._waiting:
                await asyncio.sleep(0.001)
        worker.finish()
        await running
        assert worker.skipped_samples > 8_000
        await worker.close()

    time.run(run())
    at = np.searchsorted(said, engine.heard)
    assert len(at) < 24_000
    assert np.array_equal(engine.said_to_it, np.where((at < 16_000) & (at // 320 % 3 == 1), 0, heard[at]))
    assert 0 < engine.alone < 16_000 and set(engine.livelinesses) == {0.5} and set(engine.articulations) == {1.0}
