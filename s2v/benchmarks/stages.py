"""Where the milliseconds of one frame go, from samples to encoded bytes, in one process without a network.

Real speech is pushed frame by frame through the product's own engine and encoders; timers stand on the methods of
its parts, so what is timed is what runs in a call. In a call drawing and encoding have a process each, and in a file
they have a thread each: here one comes after the other.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from s2v.benchmarks.fixtures import face_of, speech
from s2v.benchmarks.instrumentation import DRAWING, instrument_engine
from s2v.benchmarks.report import Spread, machine, table, versions
from s2v.benchmarks.stopwatch import Spent, Stopwatch, TimedRun
from s2v.engine.backends import open_backend
from s2v.engine.lipsync import DrawnFrame, LipSyncEngine
from s2v.spec import LipSyncSpec

if TYPE_CHECKING:
    from s2v.benchmarks.encoders import Encode

WARM_UP = 25  # frames that are not counted: tables are made, caches filled, the first picture is a key frame
CONVERT, VP8, H264 = "to yuv420p", "VP8", "H.264, converted"
AT_ONCE = 25  # frames drawn before they go into the file: its encoder's threads would disturb the drawing
DRAWN, LIVE = "sum: drawn", "sum: live"


@dataclass(frozen=True)
class StagesConfig:
    face: Path
    size_px: int = 512  # long side of the picture at most
    model: Path | None = None
    backend: str = "auto"
    frames: int = 300  # counted
    idle: bool = True
    paced: bool = False  # draw each frame when it is due, as in a call, instead of one right after the other


@dataclass(frozen=True)
class StageReport:
    """One stage or a sum of stages."""

    stage: str
    wall_ms: Spread
    cpu_ms: Spread  # processor time, all threads
    share: float | None  # median wall time as a part of the frame's time, 40 ms at 25 fps

    @classmethod
    def of(cls, stage: str, times: list[Spent], frame_ms: float) -> StageReport:
        wall_ms = Spread.of(1000 * spent.wall_s for spent in times)
        cpu_ms = Spread.of(1000 * spent.cpu_s for spent in times)
        return cls(stage, wall_ms, cpu_ms, None if wall_ms.p50 is None else round(wall_ms.p50 / frame_ms, 4))


@dataclass(frozen=True)
class StagesReport:
    frames: int
    warm_up: int
    paced: bool
    late: int  # frames that began more than a frame late: the machine does not keep that pace
    width_px: int
    height_px: int
    fps: int
    backend: str
    idle: bool
    stages: list[StageReport]
    sums: list[StageReport]
    notes: list[str]
    machine: dict[str, str | int | float] = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def rows(self) -> list[StageReport]:
        """Stages and sums, and behind the sums what is no part of them."""
        rows = [*self.stages, *self.sums]
        return sorted(rows, key=lambda row: row.stage == H264)

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def as_text(self) -> str:
        return "\n".join(
            [
                table(
                    ("milliseconds", "p50", "p95", "p99", "CPU p50", "p95", "p99", f"of {1000 / self.fps:g}"),
                    ((r.stage, *_percentiles(r.wall_ms), *_percentiles(r.cpu_ms), _percent(r)) for r in self.rows),
                ),
                "",
                f"{self.frames} frames after {self.warm_up} for warming up, "
                + ("each drawn when it was due" if self.paced else "one right after the other")
                + (f"; {self.late} began more than a frame late" if self.late else ""),
                f"{self.width_px}x{self.height_px}, {self.backend}, head {'moving' if self.idle else 'still'}",
                *self.notes,
                "; ".join(f"{name} {value}" for name, value in (self.machine | self.versions).items()),
            ]
        )


def measure(config: StagesConfig, progress: Callable[[int], object] = lambda _: None) -> StagesReport:
    """Draw and encode speech.

    Args:
        progress: told how many frames more are done, of `steps` in all.
    Raises: S2vError, face, model or runtime cannot be used.
    """
    busy = machine()  # before this benchmark is a part of the load
    with closing(open_backend(config.model, config.backend, fastest=True)) as backend:  # as a call has it
        notes: list[str] = []
        face = face_of(config.face, config.size_px, backend.spec, notes)
        pcm = speech(backend.spec.ready_at(config.frames + WARM_UP - 1), notes)
        watch = Stopwatch()

        def make_engine() -> LipSyncEngine:
            return LipSyncEngine(face, backend, idle_seed=0 if config.idle else None)

        with closing(make_engine()) as engine:
            instrument_engine(engine, watch)
            encode = _live_encoder(watch, backend.spec.fps, notes)
            laps, late = time_drawing(engine, pcm, watch, encode, config.paced, progress)
        file_laps: list[TimedRun] = []
        if encode is not None:
            with closing(make_engine()) as engine:
                file_laps = time_file(engine, pcm, watch, progress)
            notes.append(f"{H264}: a file is never paced; its threads' time counts whenever they run")
    height, width = face.photo.shape[:2]
    stages, sums = count(laps, file_laps, backend.spec.fps)
    return StagesReport(
        frames=len(laps) - WARM_UP,
        warm_up=WARM_UP,
        paced=config.paced,
        late=late,
        width_px=width,
        height_px=height,
        fps=backend.spec.fps,
        backend=backend.name,
        idle=config.idle,
        stages=stages,
        sums=sums,
        notes=notes,
        machine=busy,
    )


def steps(config: StagesConfig) -> int:
    """How many frames `measure` will tell of: the second half goes into a file."""
    return 2 * (config.frames + WARM_UP)


def time_drawing(
    engine: LipSyncEngine,
    pcm: NDArray[np.float32],
    watch: Stopwatch,
    encode: Encode | None,
    paced: bool,
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[list[TimedRun], int]:
    """Push speech through a watched engine, each frame on into an encoder.

    Returns: the times of each frame, and how many began late by more than a frame.
    """
    laps: list[TimedRun] = []
    late, frame_s, began_s = 0, 1 / engine.spec.fps, time.monotonic()
    for number, piece in enumerate(pieces(engine.spec, pcm)):
        if paced:
            wait_s = began_s + number * frame_s - time.monotonic()
            time.sleep(max(wait_s, 0.0))
            late += wait_s < -frame_s
        for frame in engine.push(piece):
            if encode is not None:
                encode(frame)
        laps.append(watch.lap())
        progress(1)
    return laps, late


def time_file(
    engine: LipSyncEngine,
    pcm: NDArray[np.float32],
    watch: Stopwatch,
    progress: Callable[[int], object] = lambda _: None,
) -> list[TimedRun]:
    """Draw the same frames into a file; only their encoding is timed."""
    from s2v.benchmarks.encoders import file_encoder

    laps: list[TimedRun] = []
    drawn: Iterator[DrawnFrame] = (frame for piece in pieces(engine.spec, pcm) for frame in engine.push(piece))
    with file_encoder(watch, H264, engine.frame_size, engine.spec.fps) as encode:
        while some := list(itertools.islice(drawn, AT_ONCE)):
            for frame in some:
                encode(frame)
                laps.append(watch.lap())
            progress(len(some))
    return laps


def pieces(spec: LipSyncSpec, pcm: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Samples cut so that each piece makes one frame ready."""
    begin = 0
    for frame in itertools.count():
        end = spec.ready_at(frame)
        if end > len(pcm):
            return
        yield pcm[begin:end]
        begin = end


def count(laps: list[TimedRun], file_laps: list[TimedRun], fps: int) -> tuple[list[StageReport], list[StageReport]]:
    """Stages in the order in which sound becomes a picture, and their sums; the warm-up is left out."""
    laps, file_laps = laps[WARM_UP:], file_laps[WARM_UP:]
    frame_ms = 1000 / fps
    seen = {stage for lap in laps for stage in lap}
    drawing, sending = ([stage for stage in some if stage in seen] for some in (DRAWING, (CONVERT, VP8)))
    assert seen == {*drawing, *sending}, f"stages without a place in the table: {seen - {*drawing, *sending}}"
    stages = [StageReport.of(stage, [lap.get(stage, Spent()) for lap in laps], frame_ms) for stage in drawing + sending]
    if file_laps:
        stages.append(StageReport.of(H264, [lap[H264] for lap in file_laps], frame_ms))
    sums = [StageReport.of(DRAWN, [_sum(lap, drawing) for lap in laps], frame_ms)]
    if sending:
        sums.append(StageReport.of(LIVE, [_sum(lap, drawing + sending) for lap in laps], frame_ms))
    return stages, sums


def _sum(lap: TimedRun, stages: list[str]) -> Spent:
    total = Spent()
    for stage in stages:
        total = total.plus(*lap.get(stage, Spent()))
    return total


def _live_encoder(watch: Stopwatch, fps: int, notes: list[str]) -> Encode | None:
    try:
        from s2v.benchmarks.encoders import live_encoder
    except ImportError as error:
        notes.append(f"no {error.name} here: {CONVERT}, {VP8} and {H264} are left out")
        return None
    return live_encoder(watch, CONVERT, VP8, fps)


def _percentiles(spread: Spread) -> tuple[float | None, ...]:
    return spread.p50, spread.p95, spread.p99


def _percent(row: StageReport) -> str | None:
    return None if row.share is None else f"{row.share:.1%}"
