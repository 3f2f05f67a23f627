"""How fast each runtime draws on the GPU, how far that is from what the GPU could do, and whether it draws the same.

Also runs on a CPU backend that is named: with the columns that the clock fills, and no others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from s2v.benchmarks.fixtures import face_of
from s2v.benchmarks.gpu.backend import GpuConfig, Job, measure_backend
from s2v.benchmarks.gpu.device import GpuDevice, find_gpu
from s2v.benchmarks.gpu.report import BackendReport, GpuReport, targets_of
from s2v.benchmarks.report import machine
from s2v.benchmarks.roofline import count
from s2v.bundled import BUNDLED_FACE
from s2v.engine.backends import bundled_model
from s2v.engine.backends.model_file import read_model_file
from s2v.engine.backends.registry import RUNTIMES
from s2v.errors import BackendError, S2vError

LATEST_S = 300.0  # of those that nobody asked for by name, none begins later: GPUs are lent for minutes

_log = logging.getLogger("s2v")


def on_gpu(name: str) -> bool:
    """Whether a backend of this name runs on a GPU."""
    return name in RUNTIMES and RUNTIMES[name].needs_gpu


def all_gpu_backends() -> tuple[str, ...]:
    """Those that `open_backend` knows, each kind of arithmetic once; what is only for comparing comes last."""
    names = [name for name in RUNTIMES if on_gpu(name) and name != "tensorrt"]  # that is tensorrt-fp16
    return tuple(sorted(names, key=lambda name: RUNTIMES[name].in_float32))


def steps(config: GpuConfig) -> int:
    """How often `measure` tells of progress, at most."""
    return len(config.backends or all_gpu_backends()) * (len(config.batches) + 8)


def measure(
    config: GpuConfig,
    progress: Callable[[str], object] = lambda _: None,
    so_far: Callable[[GpuReport], object] = lambda _: None,
    clock_s: Callable[[], float] = time.monotonic,
) -> GpuReport:
    """Measure one backend after the other.

    Args:
        progress: told what begins.
        so_far: given the report after each backend: a GPU may be lent for less time than all of them take.
    Raises: BackendError, no GPU, or a backend asked for by name cannot be opened; ModelError; FaceError.
    """
    busy = machine()  # before this benchmark is a part of the load
    model = bundled_model() if config.model is None else read_model_file(config.model)
    names = config.backends or all_gpu_backends()
    device = find_gpu() if config.backends is None or any(map(on_gpu, names)) else None
    notes: list[str] = []
    drawn = model.spec.network == "s2v"
    face = face_of(config.face or BUNDLED_FACE, config.size_px, model.spec, notes) if drawn else None
    job = Job(config, model, device, face, progress)
    backends: list[BackendReport] = []
    unavailable: dict[str, str] = {}

    def report(pending: Sequence[str]) -> GpuReport:
        return _report_of(job, backends, unavailable, list(pending), notes, busy)

    began_s = clock_s()
    for done, name in enumerate(names, start=1):
        if config.backends is None and clock_s() - began_s > LATEST_S:
            unavailable[name] = f"left out after {LATEST_S:g} s: measure it with --backend {name}"
            continue
        try:
            backends.append(measure_backend(job, name, on_gpu(name), threads=not backends))
        except S2vError as error:
            if config.backends is not None:
                raise
            unavailable[name] = str(error)
        except Exception as error:
            if config.backends is not None:
                raise
            _log.exception("%s failed", name)  # a defect of ours, but what the others took minutes for must not be lost
            unavailable[name] = f"failed: {' '.join(repr(error).split())[:300]}"
        else:
            so_far(report(names[done:]))
    if not backends:
        raise BackendError("; ".join(f"{name}: {reason}" for name, reason in unavailable.items()))
    return report(())


def _report_of(
    job: Job,
    backends: list[BackendReport],
    unavailable: dict[str, str],
    pending: list[str],
    notes: list[str],
    busy: dict[str, str | int | float],
) -> GpuReport:
    work, device = count(job.model.frame_graph, 1, "fp32"), job.device
    told: dict[str, object] | None = None
    if device is not None:
        told = {"name": device.name, **device.facts, "step_us": device.step_us}
        told["peak"] = device.peak and asdict(device.peak)
    return GpuReport(
        device=told,
        multiply_adds=work.multiply_adds,
        weights=work.weight_bytes // 4,
        nodes=work.nodes,
        backends=list(backends),
        unavailable=dict(unavailable),
        pending=pending,
        targets=targets_of(backends) if device is not None else [],
        notes=[*notes, *_why_not_faster(backends, device, work.nodes)],
        machine=busy,
    )


def _why_not_faster(backends: list[BackendReport], device: GpuDevice | None, nodes: int) -> Iterator[str]:
    """What lies between the roofline and what was found, in measured figures."""
    if device is None or device.peak is None:
        return
    peak = device.peak
    yield (
        f"roofline: {peak.fp16_ops_s / 1e12:.0f} (fp16) and {peak.fp32_ops_s / 1e12:.1f} (fp32) Top/s, "
        f"{peak.bytes_s / 1e9:.0f} GB/s; {peak.source}"
    )
    if device.step_us is not None:
        chain_ms = nodes * device.step_us / 1000
        yield (
            f"small kernels that wait for each other take {device.step_us:g} us each on this GPU, in a CUDA graph: as "
            f"many as the network has nodes, {nodes}, would take {chain_ms:.3f} ms without computing anything; fewer "
            "and larger kernels are what would bring batch 1 nearer to the roofline"
        )
    for backend in backends:
        for one in backend.batches:
            if one.batch == max(b.batch for b in backend.batches) and one.network_ms.p50 and one.layered_ms:
                yield (
                    f"{backend.name}, batch {one.batch}: {one.network_ms.p50:g} ms; {one.layered_ms:.3g} if each layer "
                    f"went through memory once, {one.roofline_ms:.3g} if nothing but weights, inputs and outputs did; "
                    f"transfers add {(one.gpu_ms.p50 or 0.0) - one.network_ms.p50:.3g} ms"
                )
