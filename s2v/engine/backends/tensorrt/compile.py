"""The engine of a model: found in the cache, or built, compared with ONNX Runtime, and kept.

What `s2v compile` does beforehand and the TensorRT backend does when it is opened is the same thing.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from s2v.engine.backends.graphs import GraphBackend
from s2v.engine.backends.model_file import ModelFile
from s2v.engine.backends.onnx import OnnxRuntimeGraph
from s2v.engine.backends.parity import Parity, compare, some_faces
from s2v.engine.backends.tensorrt.build import BuildOptions, Progress, build
from s2v.engine.backends.tensorrt.cuda import Device
from s2v.engine.backends.tensorrt.engine import EngineRefused
from s2v.engine.backends.tensorrt.engine_cache import CachedEngine, EngineCache, EngineKey, model_sha256
from s2v.engine.backends.tensorrt.module import TensorRT, targets_known
from s2v.engine.backends.tensorrt.runner import TensorRTGraph
from s2v.errors import BackendError

_PORTABLE = ("sm_80", "sm_86", "sm_89", "sm_120")  # what tensorrt_rtx builds for when it is told nothing

_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class Compiled:
    """One engine, ready to run or to be carried to the machine that runs it."""

    engine: Path
    report: Path
    key: EngineKey
    n_bytes: int
    reused: bool  # it was in the cache
    seconds: float  # that the build took, whenever that was
    parity: dict[str, Any] | None  # `Parity`; None: not compared, for lack of a GPU that runs it

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "engine": str(self.engine),
            "report": str(self.report),
            **asdict(self.key),
            "bytes": self.n_bytes,
            "reused": self.reused,
            "build_s": self.seconds,
            "parity": self.parity,
        }


def key_of(model: ModelFile, tensorrt: TensorRT, device: Device | None, options: BuildOptions) -> EngineKey:
    """What the engine depends on. Raises: BackendError, the GPU that is needed is not there."""
    if tensorrt.portable:
        target = "+".join(targets_of(tensorrt, device, options.targets))
    elif options.targets:
        raise BackendError(
            f"tensorrt builds for the GPU it runs on, not for {', '.join(options.targets)}: leave --gpu at auto there, "
            f"or choose tensorrt_rtx"
        )
    elif device is None:
        raise BackendError("tensorrt builds on the GPU that will run the engine, and there is none: use tensorrt_rtx")
    else:
        target = f"{device.name} {architecture(device)}"
    sha256 = model_sha256(model)
    return EngineKey(sha256, tensorrt.name, tensorrt.version, target, options.precision, options.max_batch)


def targets_of(tensorrt: TensorRT, device: Device | None, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """What a portable engine is built for: what is wanted, else this machine's GPU, else every usual one."""
    known = targets_known(tensorrt)
    targets = wanted or ((architecture(device),) if device is not None else _PORTABLE)
    if unknown := [target for target in targets if target not in known]:
        raise BackendError(
            f"{tensorrt.name} {tensorrt.version} does not build for {unknown[0]}, only for {', '.join(known)}: "
            f"pip install tensorrt for data centre GPUs"
        )
    return tuple(dict.fromkeys(targets))


def architecture(device: Device) -> str:
    """ "sm_89" """
    return f"sm_{device.capability[0]}{device.capability[1]}"


def compile_model(
    model: ModelFile,
    tensorrt: TensorRT,
    device: Device | None,
    options: BuildOptions,
    cache: EngineCache,
    progress: Progress | None = None,
    force: bool = False,
) -> Compiled:
    """Find or build the engine, and compare it with ONNX Runtime where a GPU can run it.

    Args: force: build even if the cache has one.
    Raises: BackendError, it cannot be built here, or differs visibly and was not kept. ModelError, the graph cannot be
        read. OutputError, the cache cannot be written.
    """
    compiled, graph = open_engine(model, tensorrt, device, options, cache, progress, force)
    if graph is not None:
        graph.close()
    return compiled


def open_engine(
    model: ModelFile,
    tensorrt: TensorRT,
    device: Device | None,
    options: BuildOptions,
    cache: EngineCache,
    progress: Progress | None = None,
    force: bool = False,
) -> tuple[Compiled, TensorRTGraph | None]:
    """As `compile_model`; the graph is open if this machine's GPU can run it, and belongs to the caller."""
    key = key_of(model, tensorrt, device, options)
    here = device if device is not None and _runs_on(tensorrt, key, device) else None
    found, graph = (None, None) if force else _from_cache(tensorrt, key, here, options, cache)
    plan: bytes
    report: dict[str, Any]
    if found is None:
        targets = tuple(key.target.split("+")) if tensorrt.portable else ()
        wanted = replace(options, targets=targets)
        built = build(tensorrt, model.frame_graph, wanted, cache.read_timings(key), progress)
        cache.write_timings(key, built.timings)
        plan, report = built.plan, {"build_s": round(built.seconds, 2), "parity": None}
        graph = None if here is None else TensorRTGraph(tensorrt, plan, here)
    else:
        key, plan, report = found.key, found.plan, found.report
    try:
        parity = report["parity"]
        if graph is not None and parity is None:
            parity = asdict(_checked(model, graph, key, cache))
        kept = found if found and parity == report["parity"] else cache.keep(key, plan, {**report, "parity": parity})
    except BaseException:
        if graph is not None:
            graph.close()
        raise
    return Compiled(kept.path, kept.report_path, key, len(plan), found is not None, report["build_s"], parity), graph


def _from_cache(
    tensorrt: TensorRT, key: EngineKey, here: Device | None, options: BuildOptions, cache: EngineCache
) -> tuple[CachedEngine | None, TensorRTGraph | None]:
    found = cache.find(key)
    if found is None and here is not None and tensorrt.portable and not options.targets:
        found = cache.find_portable(key, architecture(here))
    if found is None or here is None:
        return found, None
    try:
        return found, TensorRTGraph(tensorrt, found.plan, here)
    except EngineRefused as error:
        _log.warning("%s: it is built again", error)
        return None, None


def _runs_on(tensorrt: TensorRT, key: EngineKey, device: Device) -> bool:
    return not tensorrt.portable or architecture(device) in key.target.split("+")


def _checked(model: ModelFile, graph: TensorRTGraph, key: EngineKey, cache: EngineCache) -> Parity:
    """How far the engine is from ONNX Runtime.

    Raises: BackendError, too far; it is not in the cache any more. ModelError, the model's halves do not fit.
    """
    encoder = None if model.face_graph is None else OnnxRuntimeGraph(model.face_graph, threads=1)
    GraphBackend(key.runtime, model, encoder, graph)  # so that what does not fit is told in words
    encoded = [encoder.run({"face": face}) for face in some_faces(model.spec)] if encoder else [{}]
    identity = {name: np.concatenate([one[name] for one in encoded]) for name in encoded[0]}
    reference = OnnxRuntimeGraph(model.frame_graph, threads=1)
    parity = compare(reference, graph, identity, model.spec, graph.max_batch)
    if parity.differs_visibly:
        cache.drop(key)
        raise BackendError(
            f"the {key.precision} engine differs visibly from ONNX Runtime ({parity.as_text()}) and was not kept: "
            f"choose {'fp32' if key.precision == 'fp16' else 'onnxruntime'}"
        )
    return parity
