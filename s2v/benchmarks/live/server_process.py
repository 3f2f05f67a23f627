"""The server under test, in a process of its own: `s2v live` with engines that mark their pictures."""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from s2v.benchmarks.live.child_process import child, next_word
from s2v.benchmarks.live.click_track import ClickFinder, write_code
from s2v.benchmarks.report import stolen_s
from s2v.errors import StreamError

if TYPE_CHECKING:
    from s2v.engine.lipsync import DrawnFrame, Engine
    from s2v.spec import LipSyncSpec
    from s2v.streaming.render.client import RenderClient

START_WITHIN_S = 120.0  # a busy machine finds the face and opens a runtime in a few seconds
ANSWER_WITHIN_S = 30.0
EMPTY_WITHIN_S = 30.0  # after all callers have hung up
_WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the server is on loopback
NO_LIMIT = 1000  # callers; no machine carries as many


@dataclass(frozen=True)
class ServerUnderTest:
    """What shall be served."""

    face: Path
    size_px: int  # long side of the picture at most
    model: Path | None = None
    backend: str = "auto"
    max_sessions: int | Literal["auto"] | None = None  # auto: what this machine carries, as `s2v live` finds out


@dataclass(frozen=True)
class Ready:
    """What is served, and where."""

    url: str
    pid: int
    backend: str
    width_px: int
    height_px: int
    look_ahead_s: float
    max_sessions: int | None = None  # None: no limit


@dataclass(frozen=True)
class Usage:
    """What the server process has used so far, and uses now."""

    at_s: float  # by `time.monotonic`
    cpu_s: float  # all threads of the server and of the process that draws for it
    rss_bytes: int | None  # None where the system does not tell
    batches: int  # runs of the shared network ...
    rows: int  # ... and the frames in them
    stolen_s: float | None = None  # see `report.stolen_s`
    tasks: int = 0  # of the server's event loop
    descriptors: int | None = None  # open files and sockets of both processes
    threads: int | None = None  # of both


@dataclass(frozen=True)
class Server:
    """The running server, as its parent sees it."""

    ready: Ready
    pipe: Connection

    def usage(self) -> Usage:
        """Ask it. Raises: StreamError, it does not answer."""
        self.pipe.send(None)
        late = f"the benchmark's server stood still for {ANSWER_WITHIN_S:g} s: give it fewer callers"
        found = next_word(self.pipe, ANSWER_WITHIN_S, late)
        assert isinstance(found, Usage)
        return found

    def sessions(self) -> int:
        """How many it has. Raises: StreamError, it does not answer."""
        try:
            with _WITHOUT_PROXY.open(f"{self.ready.url}/health", timeout=ANSWER_WITHIN_S) as reply:
                return int(json.load(reply)["sessions"])
        except OSError as error:
            raise StreamError(f"the benchmark's server does not answer ({error}): give it fewer callers") from None

    def wait_until_empty(self) -> None:
        """Until no session is left of callers that have hung up. Raises: StreamError, some stay."""
        ends_s = time.monotonic() + EMPTY_WITHIN_S
        while left := self.sessions():
            if time.monotonic() > ends_s:
                raise StreamError(f"the server still has {left} sessions {EMPTY_WITHIN_S:g} s after all hung up")
            time.sleep(0.2)


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

    @property
    def backend_name(self) -> str:
        return self._engine.backend_name

    @property
    def frame_size(self) -> tuple[int, int]:
        return self._engine.frame_size

    @property
    def articulation(self) -> float:
        return self._engine.articulation

    @articulation.setter
    def articulation(self, value: float) -> None:
        self._engine.articulation = value

    @property
    def liveliness(self) -> float:
        return self._engine.liveliness

    @liveliness.setter
    def liveliness(self, value: float) -> None:
        self._engine.liveliness = value

    def push(self, pcm: NDArray[np.float32], heard: NDArray[np.float32] | None = None) -> list[DrawnFrame]:
        if found := self._finder.push(pcm):
            self._click = found[-1]
        return self._mark(self._engine.push(pcm, heard))

    def flush(self) -> list[DrawnFrame]:
        return self._mark(self._engine.flush())

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _mark(self, frames: list[DrawnFrame]) -> list[DrawnFrame]:
        for frame in frames:
            write_code(frame.pixels, None if self._click is None else frame.centre_sample - self._click)
            self._click = None
        return frames


@contextmanager
def serving(served: ServerUnderTest) -> Iterator[Server]:
    """Serve while the caller's block runs.

    Raises: S2vError, face, model or runtime cannot be used, or the process does not start.
    """
    with child(_serve, served) as pipe:
        late = f"the benchmark's server did not start within {START_WITHIN_S:g} s: free the machine"
        ready = next_word(pipe, START_WITHIN_S, late)
        assert isinstance(ready, Ready)
        yield Server(ready, pipe)


def _serve(served: ServerUnderTest, pipe: Connection) -> None:
    """The child process: as `s2v live` does, one runtime for all its sessions."""
    from s2v.engine.avatar import Avatar, AvatarOptions
    from s2v.engine.face.photo import load_photo
    from s2v.machine import use_few_arenas
    from s2v.streaming.render.client import RenderClient
    from s2v.streaming.server.call_manager import LiveOptions
    from s2v.streaming.server.capacity import measure
    from s2v.streaming.server.serve import serve

    use_few_arenas()  # before the runtime starts its threads
    photo = load_photo(served.face, served.size_px)
    renderer = RenderClient(AvatarOptions(served.model, served.backend, max_side_px=served.size_px))
    try:
        avatar = renderer.enrol(photo)
        most = served.max_sessions
        if most == "auto":
            most = measure(avatar, renderer, cpu_s=lambda: time.process_time() + renderer.cpu_s).sessions

        def on_ready(url: str) -> None:
            asyncio.get_running_loop().add_reader(pipe.fileno(), _tell_usage, renderer, pipe)
            spec, name = renderer.spec, renderer.name
            pipe.send(Ready(url, os.getpid(), name, *avatar.frame_size, spec.look_ahead_s, most))

        options = LiveOptions(
            Avatar(
                avatar.face,
                lambda pixels, mood: MarkingEngine(avatar.engine(pixels, mood)),
                lambda: avatar.still_bgr,
            ),
            max_sessions=most or NO_LIMIT,
            runtime=renderer,
        )
        asyncio.run(serve(options, "127.0.0.1", 0, on_ready))
    finally:
        renderer.close()


def _tell_usage(renderer: RenderClient, pipe: Connection) -> None:
    """The parent has asked; on the event loop."""
    try:
        pipe.recv()
    except (EOFError, ConnectionError):  # it is gone, and so shall we be
        asyncio.get_running_loop().remove_reader(pipe.fileno())
        return
    cpu_s = time.process_time() + renderer.cpu_s
    processes = os.getpid(), renderer.pid
    pipe.send(
        Usage(
            time.monotonic(),
            cpu_s,
            _rss_bytes(*processes),
            renderer.batches,
            renderer.rows,
            stolen_s(),
            len(asyncio.all_tasks()),
            _entries("fd", *processes),
            _entries("task", *processes),
        )
    )


def _entries(what: str, *processes: int) -> int | None:
    """How many descriptors ("fd") or threads ("task") they have together."""
    try:
        return sum(len(list(Path(f"/proc/{pid}/{what}").iterdir())) for pid in processes)
    except OSError:  # another system
        return None


def _rss_bytes(*processes: int) -> int | None:
    """What they hold together; what two of them share counts twice."""
    try:
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in processes)
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError):  # another system
        return None
