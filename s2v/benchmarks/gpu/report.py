"""What `s2v bench gpu` found, as a table and as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal

from s2v.benchmarks.report import Spread, machine, short_ms, table, versions
from s2v.benchmarks.session_capacity import SessionsReport
from s2v.engine.backends.parity import Parity

NETWORK_MS, FRAME_MS, FRAMES_S = 0.30, 0.5, 25_000  # the goals, of an H100 in fp16

Precision = Literal["fp32", "fp16"]


@dataclass(frozen=True)
class ParityReport:
    """How far frames are from a reference's; see `s2v.engine.backends.parity`."""

    reference: str
    frames: int
    max_difference: dict[str, float]
    moved_max: float | None
    ssim_min: float | None
    ssim_mean: float | None
    differs_visibly: bool

    def as_text(self) -> str:
        """One line."""
        found = Parity(self.frames, self.max_difference, self.moved_max, self.ssim_min, self.ssim_mean)
        return f"parity with {self.reference}: {found.as_text()}"


@dataclass(frozen=True)
class BatchReport:
    """One batch size. GPU times are of CUDA events, and None where there is no GPU."""

    batch: int
    runs: int
    network_ms: Spread  # nothing crosses the bus
    gpu_ms: Spread  # with what goes up and comes down in every frame
    wall_ms: Spread  # `infer`, from numpy to numpy
    roofline_ms: float | None  # the least that the device's peaks allow, all between layers in its caches ...
    layered_ms: float | None  # ... and if each layer reads from and writes to its memory
    limited_by: str | None
    reached: float | None  # roofline_ms as a share of network_ms
    frames_s: float | None  # by the clock
    gpu_frames_s: float | None  # with transfers, by the GPU's own clock
    in_parts_of: int | None  # the backend's largest batch, where this is more


@dataclass(frozen=True)
class FrameReport:
    """Whole frames, warped and pasted on the GPU; times of CUDA events but for the clock's."""

    width_px: int
    height_px: int
    pixels: str  # "bgr", "nv12"
    idle: bool  # whether head, eyes and brows move
    batch: int
    runs: int
    compose_ms: Spread  # warp, mouth and paste alone; nothing crosses the bus
    blink_ms: Spread  # the same while lids are down
    transfers_ms: Spread  # compose_ms with the upload of the outputs and the download of the frame
    together_ms: float | None  # median of the network plus median of compose_ms
    frames_s: float | None  # by that: what the GPU draws from one frame or batch to the next
    both_ms: Spread  # one frame after the other, network and drawing; also the host's part between them
    wall_ms: Spread  # a window in, pixels out, both in ordinary memory
    memory_mib: float | None  # of this face, or of all of the batch
    parity: dict[str, float | bool] | None  # against the CPU's drawing


@dataclass(frozen=True)
class BackendReport:
    name: str
    precision: Precision
    open_s: float
    parity: ParityReport | None
    batches: list[BatchReport]
    frames: list[FrameReport]
    device_memory_mib: float | None  # of the graph with one face
    session_memory_kib: float | None  # what each further face adds
    sessions: SessionsReport | None  # one loop that calls the network
    sessions_batcher: SessionsReport | None  # a thread for each session, in one process
    notes: list[str]
    failed: list[str]  # parts that broke, and how; the others were measured all the same


@dataclass(frozen=True)
class Target:
    what: str
    wanted: str
    found: float | None
    reached: bool | None  # None: not measured
    backend: str | None  # whose figure it is


@dataclass(frozen=True)
class GpuReport:
    device: dict[str, object] | None  # None: only CPU backends were asked for
    multiply_adds: int  # a frame of the network
    weights: int
    nodes: int  # of the graph, most of them one after the other
    backends: list[BackendReport]
    unavailable: dict[str, str]  # backend -> why
    pending: list[str]  # backends that are still to be measured; none when all is over
    targets: list[Target]
    notes: list[str]
    machine: dict[str, str | int | float] = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def differs(self) -> list[str]:
        """What was checked against a reference and does not agree with it."""
        found = [b.name for b in self.backends if b.parity is not None and b.parity.differs_visibly]
        return found + [
            f"{backend.name}, whole frames"
            for backend in self.backends
            for frame in backend.frames
            if frame.parity is not None and frame.parity["differs_visibly"]
        ]

    @property
    def failed(self) -> list[str]:
        """What broke where it should not have."""
        return [f"{backend.name}, {what}" for backend in self.backends for what in backend.failed]

    def as_json(self) -> str:
        return json.dumps(asdict(self) | {"differs": self.differs, "failed": self.failed})

    def as_text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.device is not None:
            yield "; ".join(f"{name} {value}" for name, value in self.device.items() if not isinstance(value, dict))
        yield f"a frame: {self.multiply_adds / 1e6:.1f} million multiply-adds, {self.weights / 1e6:.2f} million weights"
        for backend in self.backends:
            yield ""
            yield from _backend_lines(backend)
        yield ""
        for name, reason in self.unavailable.items():
            yield f"{name}: not measured: {reason}"
        for target in self.targets:
            how = {True: "reached", False: "NOT REACHED", None: "not measured"}[target.reached]
            found = "" if target.found is None else f" {target.found:g} ({target.backend})"
            yield f"goal for an H100: {target.what} {target.wanted}:{found} {how}"
        yield from self.notes
        yield "; ".join(f"{name} {value}" for name, value in (self.machine | self.versions).items())


def targets_of(backends: list[BackendReport]) -> list[Target]:
    """The goals beside the best that was found on a GPU."""
    half = [backend for backend in backends if backend.precision == "fp16"]
    network = [(one.network_ms.p50, b.name) for b in half for one in b.batches if one.batch == 1 and one.network_ms.p50]
    alone = [(b, one) for b in half for one in b.frames if one.batch == 1 and one.idle]
    frames = [(one.together_ms, b.name) for b, one in alone if one.together_ms]
    both = [(one.both_ms.p50, b.name) for b, one in alone if one.both_ms.p50]
    rates = [(rate, b.name) for b in half for one in b.batches if one.gpu_ms.n and (rate := one.frames_s)]
    return [
        _target("network, batch 1, p50 by CUDA events", f"under {NETWORK_MS} ms", network, below=NETWORK_MS),
        _target("with warp and paste, the same, sum of both parts", f"under {FRAME_MS} ms", frames, below=FRAME_MS),
        _target("the same, host's part between them included", f"under {FRAME_MS} ms", both, below=FRAME_MS),
        _target("frames a second in batches, by the clock", f"at least {FRAMES_S:,}", rates, at_least=FRAMES_S),
    ]


def _target(
    what: str,
    wanted: str,
    found: list[tuple[float, str]],
    below: float = float("inf"),
    at_least: float = 0.0,
) -> Target:
    if not found:
        return Target(what, wanted, None, None, None)
    value, backend = max(found) if at_least else min(found)
    return Target(what, wanted, value, at_least <= value < below, backend)


def _backend_lines(backend: BackendReport) -> Iterator[str]:
    yield f"{backend.name} ({backend.precision}), opened in {backend.open_s:g} s"
    yield table(
        (
            *("ms a batch of", "network p50", "p95", "p99", "+ transfers", "p95", "p99", "clock p50", "p95", "p99"),
            *("frames/s", "roofline", "reached"),
        ),
        (
            (
                *(one.batch, *short_ms(one.network_ms), *short_ms(one.gpu_ms), *short_ms(one.wall_ms), one.frames_s),
                *(_short(one.roofline_ms), None if one.reached is None else f"{one.reached:.1%}"),
            )
            for one in backend.batches
        ),
    )
    if backend.frames:
        yield table(
            (
                *(
                    "warp, mouth, paste, ms",
                    "p50",
                    "p95",
                    "p99",
                    "blink",
                    "+ transfers",
                    "p95",
                    "p99",
                    "+ network",
                    "frames/s",
                ),
                *("one by one", "p95", "p99", "clock p50", "p95", "p99", "MiB"),
            ),
            (
                (
                    f"{one.width_px}x{one.height_px} {one.pixels}, {'moving' if one.idle else 'still'}, {one.batch}",
                    *(*short_ms(one.compose_ms), short_ms(one.blink_ms)[0], *short_ms(one.transfers_ms)),
                    *(one.together_ms, one.frames_s),
                    *(*short_ms(one.both_ms), *short_ms(one.wall_ms), one.memory_mib),
                )
                for one in backend.frames
            ),
        )
    yield from (line for frame in backend.frames if (line := _frame_parity(frame)))
    if (parity := backend.parity) is not None:
        yield f"{parity.as_text()}{' - DIFFERS VISIBLY' if parity.differs_visibly else ''}"
    if backend.device_memory_mib is not None:
        yield f"GPU memory: {backend.device_memory_mib:g} MiB, and {backend.session_memory_kib} KiB a session"
    for how, sessions in (("one loop", backend.sessions), ("a thread each", backend.sessions_batcher)):
        if sessions is not None:
            yield f"sessions at 25 fps, p99 under 40 ms, {how}: {_sessions(sessions)}"
    yield from backend.notes
    yield from (f"FAILED: {what}" for what in backend.failed)


def _sessions(report: SessionsReport) -> str:
    if report.best is None:
        return "not even one"
    more = "" if report.first_failed else " and perhaps more"
    return (
        f"{report.carried}{more} (p50 {report.best.late_ms.p50} / p95 {report.best.late_ms.p95} / p99 "
        f"{report.best.late_ms.p99} ms, {report.best.rows_a_batch} frames a batch)"
    )


def _frame_parity(frame: FrameReport) -> str:
    if frame.parity is None:
        return ""
    said = ", ".join(f"{name} {value}" for name, value in frame.parity.items() if name != "differs_visibly")
    return f"drawn here and on the CPU: {said}{' - DIFFERS VISIBLY' if frame.parity['differs_visibly'] else ''}"


def _short(ms: float | None) -> str | None:
    return None if ms is None else f"{ms:.3g}"
