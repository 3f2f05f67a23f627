"""One backend of `s2v bench gpu`: its time by batch size, its parity, its memory, its sessions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from s2v.benchmarks.gpu.device import GpuDevice
from s2v.benchmarks.gpu.frames import measure_frames
from s2v.benchmarks.gpu.report import BackendReport, BatchReport, FrameReport, ParityReport, Precision
from s2v.benchmarks.gpu.sessions import one_loop, sessions_with_faces, with_threads
from s2v.benchmarks.our_network import FrameGraph, batch_of, identities
from s2v.benchmarks.report import Spread
from s2v.benchmarks.roofline import count, least
from s2v.benchmarks.session_capacity import SessionsReport, runner_of
from s2v.engine.backends import open_backend
from s2v.engine.backends.base import Backend, Tensors
from s2v.engine.backends.graphs import ResidentGraph
from s2v.engine.backends.model_file import ModelFile
from s2v.engine.backends.parity import compare
from s2v.engine.backends.registry import RUNTIMES
from s2v.engine.backends.resident import ResidentGraphBackend
from s2v.engine.backends.warm_up import MAX_ROWS
from s2v.engine.face.enrolment import EnrolledFace
from s2v.errors import S2vError

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
REFERENCES = ("onnxruntime", "torch-cpu")  # what frames are compared with, the first that is here and another one
WARM_UP = 10  # runs of each batch that are not counted
FEWEST_RUNS = 50  # of each batch, or as many frames as were asked for if that is less
MOST_THREADS = 512  # sessions with a thread each
MOST_ON_CPU = 64  # sessions

Result = TypeVar("Result")

_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class GpuConfig:
    backends: tuple[str, ...] | None = None  # None: all for GPUs that can be opened
    batches: tuple[int, ...] = DEFAULT_BATCHES
    frames: int = 2000  # counted of each batch size, together
    size_px: int = 512  # of a whole frame, with warp and paste
    face_batch: int = 64  # faces drawn in one batch
    faces: tuple[int, int] = (256, 512)  # a session's memory is the difference: room for faces is made by doubling
    face: Path | None = None  # None: a bundled one
    model: Path | None = None
    session_s: float = 1.0  # counted of each trial with many sessions
    most_sessions: int = 2048  # 0: none are tried


@dataclass(frozen=True)
class Job:
    """What is the same for all backends of one report."""

    config: GpuConfig
    model: ModelFile
    device: GpuDevice | None  # None: only CPU backends are measured
    face: EnrolledFace | None  # of whole frames; None for a network whose frames are pasted on the CPU
    progress: Callable[[str], object] = lambda _: None


def measure_backend(job: Job, name: str, gpu: bool, threads: bool = True) -> BackendReport:
    """Everything about one backend.

    Args:
        gpu: whether it runs on the GPU, so that its own times count.
        threads: try sessions with a thread each, too: it is Python that limits them, whatever the backend.
    Raises: S2vError, it cannot be opened or does not run.
    """
    config, progress = job.config, job.progress
    progress(f"{name}: opening")
    began_s = time.perf_counter()
    parts = _Parts(name, progress)
    with ExitStack() as stack:
        backend = open_backend(config.model, name)
        stack.callback(lambda: parts.attempt("closing", backend.close))  # a GPU that has failed refuses even that
        open_s = time.perf_counter() - began_s
        precision: Precision = "fp16" if gpu and not RUNTIMES[name].in_float32 else "fp32"
        identity = identities(backend)
        memory = parts.attempt("memory", lambda: _memory(backend, identity, config.faces)) if gpu else None
        most = config.most_sessions if gpu else min(config.most_sessions, MOST_ON_CPU)
        # before batches are timed: when room is made for more faces, all batch sizes are prepared anew
        face_batch = (
            parts.attempt("faces of all sessions", lambda: sessions_with_faces(backend, identity, most))
            if most
            else None
        )
        tried = [
            parts.attempt(f"batches of {n}", partial(_measure_batch, job, backend, precision, identity, n, gpu))
            for n in _batches(config.batches, backend)
        ]
        batches = [found for found in tried if found is not None]
        parity = parts.attempt("parity", lambda: _parity(job, backend))
        notes: list[str] = []
        frames = parts.attempt("whole frames", lambda: _frames(job, name, backend, batches, gpu, notes))
        sessions: SessionsReport | None = None
        if face_batch is not None:
            sessions = parts.attempt("sessions", partial(one_loop, backend, face_batch, most, config.session_s))
    threaded: SessionsReport | None = None
    if most and threads:
        most, opening = min(most, MOST_THREADS), partial(open_backend, config.model, name)
        threaded = parts.attempt("sessions with threads", partial(with_threads, opening, most, config.session_s))
    return BackendReport(
        name=backend.name,
        precision=precision,
        open_s=round(open_s, 2),
        parity=parity,
        batches=batches,
        frames=frames or [],
        device_memory_mib=memory and memory[0],
        session_memory_kib=memory and memory[1],
        sessions=sessions,
        sessions_batcher=threaded,
        notes=notes,
        failed=parts.failed,
    )


class _Parts:
    """Parts of a measurement that do not need each other: a broken one must not cost what a GPU took minutes for."""

    def __init__(self, name: str, progress: Callable[[str], object]) -> None:
        self.failed: list[str] = []
        self._name, self._progress = name, progress

    def attempt(self, what: str, work: Callable[[], Result]) -> Result | None:
        """Its result; None if it broke, and how is kept and logged."""
        self._progress(f"{self._name}: {what}")
        try:
            return work()
        except Exception as error:
            _log.exception("%s: %s failed", self._name, what)
            self.failed.append(f"{what}: {' '.join(repr(error).split())[:300]}")
            return None


def _batches(asked: tuple[int, ...], backend: Backend) -> list[int]:
    """What was asked for; by default, none that this backend only pads to the next size."""
    own = backend.batch_sizes or asked
    return [n for n in asked if asked != DEFAULT_BATCHES or n in own or n > own[-1]]


def _frames(
    job: Job, name: str, backend: Backend, batches: list[BatchReport], gpu: bool, notes: list[str]
) -> list[FrameReport]:
    medians = {one.batch: one.network_ms.p50 for one in batches if one.network_ms.p50 is not None}
    if job.face is None:
        notes.append(f"network {job.model.spec.network} is pasted on the CPU: no whole frames")
        return []
    try:
        compiled, config = gpu and RUNTIMES[name].is_compiled, job.config
        return list(measure_frames(backend, job.face, gpu, compiled, medians, config.frames, config.face_batch))
    except ImportError as error:
        notes.append(f"no whole frames: they are drawn with torch ({error})")
        return []


def _measure_batch(
    job: Job, backend: Backend, precision: Precision, identity: Tensors, batch: int, gpu: bool
) -> BatchReport:
    runs = max(job.config.frames // batch, min(job.config.frames, FEWEST_RUNS))
    mfcc, faces = batch_of(backend.spec, identity, batch)
    wall_ms = _wall_ms(lambda: backend.infer(mfcc, faces), runs)
    network_ms: list[float] = []
    gpu_ms: list[float] = []
    sizes = backend.batch_sizes or (batch,)
    fits = batch <= sizes[-1]
    if gpu and fits:
        graph = _timed(backend)
        tensors = {"mfcc": mfcc, **faces}
        network_ms, gpu_ms = (
            time_it(tensors, WARM_UP + runs)[WARM_UP:] for time_it in (graph.network_ms, graph.gpu_ms)
        )
    peak = job.device.peak if job.device is not None and gpu else None
    bound = None if peak is None else least(count(job.model.frame_graph, batch, precision), peak, precision)
    alone = Spread.of(network_ms, digits=4)
    with_transfers, by_clock = Spread.of(gpu_ms, digits=4), Spread.of(wall_ms, digits=4)
    return BatchReport(
        batch=batch,
        runs=runs,
        network_ms=alone,
        gpu_ms=with_transfers,
        wall_ms=by_clock,
        roofline_ms=None if bound is None else bound.ms,
        layered_ms=None if bound is None else bound.layered_ms,
        limited_by=None if bound is None else bound.limited_by,
        reached=round(bound.ms / alone.p50, 4) if bound and alone.p50 else None,
        frames_s=_rate(batch, by_clock),
        gpu_frames_s=_rate(batch, with_transfers),
        in_parts_of=None if fits else sizes[-1],
    )


def _wall_ms(work: Callable[[], object], runs: int) -> list[float]:
    found = []
    for _ in range(WARM_UP + runs):
        began_s = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - began_s))
    return found[WARM_UP:]


def _parity(job: Job, backend: Backend) -> ParityReport | None:
    """Against the first reference that can be opened and is not the same runtime; None if there is none."""
    for name in REFERENCES:
        try:
            reference = open_backend(job.config.model, name)
        except S2vError as error:
            _log.info("no reference %s: %s", name, error)
            continue
        with closing(reference):
            if reference.name == backend.name:
                continue
            identity = identities(reference)
            wanted, got = (FrameGraph(one, identity) for one in (reference, backend))
            sizes = backend.batch_sizes or (MAX_ROWS,)
            found = compare(wanted, got, identity, job.model.spec, sizes[-1])
        return ParityReport(reference.name, **asdict(found), differs_visibly=found.differs_visibly)
    return None


def _memory(backend: Backend, identity: Tensors, n_faces: tuple[int, int]) -> tuple[float, float]:
    """MiB on the device with a few faces, and KiB that each of many faces takes."""
    graph = _timed(backend)
    few = graph.device_memory_bytes()
    faces = batch_of(backend.spec, identity, n_faces[-1])[1]  # a copy of its own for each: as many faces to the backend
    run = runner_of(backend, faces)
    held = []
    for n in n_faces:
        for session in range(n):
            run([session])
        held.append(graph.device_memory_bytes())
    return round(few / 2**20, 2), round((held[1] - held[0]) / (n_faces[1] - n_faces[0]) / 2**10, 2)


def _timed(backend: Backend) -> ResidentGraph:
    """The frame graph, which tells its own times: all that run on a GPU have one."""
    assert isinstance(backend, ResidentGraphBackend), f"{backend.name} has no device of its own"
    return backend.frame_graph


def _rate(batch: int, spread: Spread) -> float | None:
    return round(1000 * batch / spread.p50, 1) if spread.p50 else None
