from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeBackend
from streaming.fakes import FakeEngine, fake_avatar

from s2v.engine.backends.batcher import BatchingBackend
from s2v.engine.behaviour.face_behaviour import Pcm
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.lipsync import DrawnFrame
from s2v.machine import usable_cores
from s2v.streaming.server.capacity import MOST, Capacity, measure
from s2v.streaming.server.machine_load import IdleCores


def of(draw_ms: float, encode_ms: float, network_ms: float = 1.0, cores: float = 2.0, shared: bool = False) -> Capacity:
    return Capacity(draw_ms / 1e3, encode_ms / 1e3, network_ms / 1e3, cores, 25, shared)


def test_as_many_sessions_as_three_quarters_of_the_cores_carry() -> None:
    assert of(10.9, 5.0).sessions == 3  # 2 cores * 40 ms * 0.75 / (10.9 + 5 + 4) ms
    assert of(10.9, 5.0, cores=4).sessions == 6
    assert of(10.9, 5.0, cores=0.5).sessions == 1
    assert of(500.0, 5.0).sessions == 1, "one caller is always taken"
    assert of(0.1, 0.1, network_ms=0.01, cores=256).sessions == MOST


def test_the_one_runtime_must_keep_up_too() -> None:
    assert of(1.0, 1.0, network_ms=10.0, cores=64).sessions == 3  # 40 ms * 0.75 / 10 ms


def test_a_shared_face_is_drawn_once() -> None:
    assert of(14.9, 5.0, shared=True).sessions == 5  # (60 - 14.9) / (5 + 4)
    assert of(80.0, 5.0, shared=True).sessions == 1
    assert "once for all" in str(of(15.0, 5.0, shared=True))


def test_what_it_says_has_the_figures() -> None:
    text = str(of(10.96, 4.98))
    assert text.startswith("3 sessions: ") and "\n" not in text
    assert "11.0 ms to draw, 5.0 ms to encode" in text and "on 2 cores" in text
    assert str(of(500.0, 5.0)).startswith("1 session: ")


class Idle(IdleCores):
    """Half a core is idle, and somebody else uses what we do not."""

    def look(self) -> float:
        return 0.5


def test_what_was_used_before_the_first_frame_is_not_taken_for_our_own_use() -> None:
    backend = BatchingBackend(FakeBackend)
    used_s = iter([0.0, *[1000.0] * 1000])  # the process that draws tells it with the first frame
    found = measure(fake_avatar(FakeEngine), backend, cpu_s=lambda: next(used_s), idle=Idle())
    backend.close()
    assert found.busy_cores == pytest.approx(found.cores - 0.5)


def test_measuring_draws_encodes_and_closes_its_engine() -> None:
    def burn() -> None:
        np.linalg.svd(np.eye(60))

    engines: list[FakeEngine] = []

    def make_engine() -> FakeEngine:
        engines.append(FakeEngine(burn))
        return engines[-1]

    asked: list[PixelFormat] = []
    backend = BatchingBackend(FakeBackend)
    found = measure(fake_avatar(make_engine, asked=asked), backend, idle=Idle())
    backend.close()
    assert asked == ["i420"], "as in a call"
    assert len(engines) == 1 and engines[0].closed == 1
    assert len(engines[0].heard) == 16_000
    assert 0 < found.draw_s < 1 and 0 < found.encode_s < 1
    assert found.network_s == backend.row_s > 0
    assert found.cores == usable_cores() > 0 and found.fps == 25
    assert found.sessions >= 1 and 0 < found.busy_cores <= found.cores - 0.5

    class Broken(FakeEngine):
        def push(self, pcm: Pcm, heard: Pcm | None = None) -> list[DrawnFrame]:
            raise ZeroDivisionError

    broken = Broken()
    with pytest.raises(ZeroDivisionError):
        measure(fake_avatar(lambda: broken), backend)
    assert broken.closed == 1
