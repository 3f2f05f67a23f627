"""The server under test, in a process of its own: `s2v live` with an engine that marks its pictures."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from s2v.benchmarks.clicks import ClickFinder, write_code
from s2v.errors import S2vError, StreamError

if TYPE_CHECKING:
    from s2v.engine.lipsync import DrawnFrame
    from s2v.spec import LipSyncSpec
    from s2v.streaming.painter import Engine

START_WITHIN_S = 120.0  # a busy machine finds the face and opens a runtime in a few seconds
STOP_WITHIN_S = 10.0


@dataclass(frozen=True)
class Served:
    """What shall be served."""

    face: Path
    size_px: int  # long side of the picture at most
    model: Path | None = None
    backend: str = "auto"


@dataclass(frozen=True)
class Ready:
    """What is served, and where."""

    url: str
    pid: int
    backend: str
    width_px: int
    height_px: int
    look_ahead_s: float


class MarkingEngine:
    """Another engine, whose first frame after each click it hears carries the click's distance.

    It hears what that engine hears, in the same count, so the distance is exact whatever lies before it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._finder = ClickFinder(engine.spec.sample_rate_hz)
        self._click: int | None = None  # found, not yet shown

    @property
    def spec(self) -> LipSyncSpec:
        return self._engine.spec

    def push(self, pcm: NDArray[np.float32]) -> list[DrawnFrame]:
        if found := self._finder.push(pcm):
            self._click = found[-1]
        return self._mark(self._engine.push(pcm))

    def flush(self) -> list[DrawnFrame]:
        return self._mark(self._engine.flush())

    def close(self) -> None:
        self._engine.close()

    def _mark(self, frames: list[DrawnFrame]) -> list[DrawnFrame]:
        for frame in frames:
            write_code(frame.bgr, None if self._click is None else frame.centre_sample - self._click)
            self._click = None
        return frames


@contextmanager
def serving(served: Served) -> Iterator[Ready]:
    """Serve while the caller's block runs.

    Raises: S2vError, face, model or runtime cannot be used, or the process does not start.
    """
    context = multiprocessing.get_context("spawn")  # a fork would carry threads and locks along
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(served, theirs), name="s2v-bench-server", daemon=True)
    process.start()
    theirs.close()
    try:
        yield _first_word(ours)
    finally:
        process.terminate()
        process.join(STOP_WITHIN_S)
        if process.exitcode is None:
            process.kill()
            process.join()
        ours.close()


def _first_word(pipe: Connection) -> Ready:
    try:
        word = pipe.recv() if pipe.poll(START_WITHIN_S) else None
    except EOFError:
        raise StreamError("the benchmark's server process ended at once: see its message above") from None
    if isinstance(word, Ready):
        return word
    raise word or StreamError(f"the benchmark's server did not start within {START_WITHIN_S:g} s: free the machine")


def _serve(served: Served, pipe: Connection) -> None:
    """The child process."""
    from s2v.benchmarks.wire import loopback_only
    from s2v.streaming.app import LiveOptions
    from s2v.streaming.server import serve
    from s2v.streaming.talker import Talker

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends us
    loopback_only()
    try:
        talker = Talker.enrol(served.face, served.model, served.backend, max_side_px=served.size_px, idle_seed=0)
        engine = talker.make_engine()
        still, spec, name = engine.still.copy(), engine.spec, engine.backend_name
        engine.close()

        def on_ready(url: str) -> None:
            pid = multiprocessing.current_process().pid or 0
            pipe.send(Ready(url, pid, name, still.shape[1], still.shape[0], spec.look_ahead_s))

        options = LiveOptions(lambda: MarkingEngine(talker.make_engine()), still)
        asyncio.run(serve(options, "127.0.0.1", 0, on_ready))
    except S2vError as error:
        pipe.send(error)
