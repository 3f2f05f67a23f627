"""An ONNX graph to a TensorRT engine, with `tensorrt` or `tensorrt_rtx`: both have the same Python interface.

`tensorrt` measures on the GPU that will run the engine, and needs it. `tensorrt_rtx` (GeForce and RTX cards)
builds for any list of GPUs without having one, and finishes the kernels where they run. Networks are strongly
typed and free of plugins: what is computed in float16 is what `half_precision` put into the graph.
Source: docs.nvidia.com/deeplearning/tensorrt and .../tensorrt-rtx, Python API.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, get_args

from s2v.engine.backends.graphs import one_line
from s2v.engine.backends.tensorrt.module import TensorRT, logged_error, make_logger, targets_known
from s2v.errors import BackendError, ModelError
from s2v.extras import how_to_install

Precision = Literal["fp16", "fp32"]
DEFAULT_MAX_BATCH = 16
LARGEST_BATCH = 256

Progress = Callable[[str, int, int], None]  # what is being done, steps done, steps in all


@dataclass(frozen=True)
class BuildOptions:
    """What an engine is to be; `targets` ("sm_89") only where engines are portable, empty is TensorRT's own list."""

    precision: Precision = "fp16"
    max_batch: int = DEFAULT_MAX_BATCH
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Built:
    """A serialized engine, and what was measured for it."""

    plan: bytes
    timings: bytes  # for the next build on this GPU; empty if the module has none
    seconds: float


def build(
    tensorrt: TensorRT, graph: bytes, options: BuildOptions, timings: bytes = b"", progress: Progress | None = None
) -> Built:
    """Build one engine for batches of 1 to `options.max_batch`, fastest for 1.

    Args:
        graph: ONNX, float32 in and out, the first dimension of every input left open.
        timings: `Built.timings` of an earlier build, or empty; another TensorRT's are ignored.
        progress: called from the building thread.
    Raises: BackendError, TensorRT cannot build here, or cannot build this graph. ModelError, not an ONNX graph.
        KeyboardInterrupt reaches the caller at once, and ends the build at its next step.
    """
    if options.precision not in get_args(Precision):
        raise BackendError(
            f"precision {options.precision!r} cannot be built: choose {' or '.join(get_args(Precision))}"
        )
    if not 1 <= options.max_batch <= LARGEST_BATCH:
        raise BackendError(f"an engine for batches of 1 to {options.max_batch} cannot be: give 1 to {LARGEST_BATCH}")
    if options.precision == "fp16":
        graph = _halved(graph)
    outcome: list[Built | BaseException] = []
    cancelled, done = threading.Event(), threading.Event()

    def work() -> None:
        try:
            outcome.append(_build(tensorrt, graph, options, timings, progress, cancelled))
        except BaseException as error:
            outcome.append(error)
        finally:
            done.set()

    # on a thread of its own: TensorRT does not look at Ctrl-C, waiting for an event does; Thread.join does too, but
    # when it is interrupted Python 3.11 releases the thread's own lock, and crashes when that thread ends
    threading.Thread(target=work, name="s2v-tensorrt-build", daemon=True).start()
    try:
        while not done.wait(0.2):
            pass
    except BaseException:
        cancelled.set()
        done.wait(5.0)
        raise
    (result,) = outcome
    if isinstance(result, BaseException):
        raise result
    return result


def _halved(graph: bytes) -> bytes:
    try:
        half_precision = import_module("s2v.engine.backends.half_precision")
    except ImportError as error:
        raise BackendError(
            f"fp16 needs the onnx package ({error}): {how_to_install('tensorrt')}, or use fp32"
        ) from error
    try:
        halved: bytes = half_precision.to_half(graph)
    except BackendError:
        raise
    except Exception as error:  # protobuf and onnx have exceptions of their own
        raise ModelError(f"the graph cannot be converted to fp16: {one_line(error)}") from error
    return halved


def _build(
    tensorrt: TensorRT,
    graph: bytes,
    options: BuildOptions,
    timings: bytes,
    progress: Progress | None,
    cancelled: threading.Event,
) -> Built:
    trt = tensorrt.trt
    began_s = time.perf_counter()
    logger = make_logger(trt)
    try:
        builder = trt.Builder(logger)
    except Exception as error:  # a null pointer, which the binding tells as TypeError
        raise BackendError(
            f"{tensorrt.name} {tensorrt.version} cannot build here ({logged_error(logger, one_line(error))}): it needs "
            f"the GPU that will run the engine; tensorrt_rtx builds without one"
        ) from error
    network = _parse(trt, builder, graph, logger)
    config = builder.create_builder_config()
    _add_profile(builder, network, config, options.max_batch)
    if hasattr(trt.BuilderFlag, "TF32"):  # it would keep 10 bits of what is meant to be float32
        config.clear_flag(trt.BuilderFlag.TF32)
    _set_targets(tensorrt, config, options.targets)
    cache = None if tensorrt.portable else _timing_cache(config, timings)  # tensorrt_rtx measures nothing
    if hasattr(trt, "IProgressMonitor"):
        config.progress_monitor = _monitor(trt, progress, cancelled)
    plan = builder.build_serialized_network(network, config)
    if cancelled.is_set():
        raise BackendError("the build was cancelled")
    if plan is None:
        raise BackendError(
            f"{tensorrt.name} {tensorrt.version} cannot build the engine: {logged_error(logger, 'no reason')}"
        )
    measured = bytes(cache.serialize()) if cache is not None else b""
    return Built(bytes(plan), measured, time.perf_counter() - began_s)


def _parse(trt: Any, builder: Any, graph: bytes, logger: Any) -> Any:
    """The network of an ONNX graph. Raises: ModelError, the first thing that the parser did not understand."""
    # since TensorRT 11 every network is strongly typed, and the flag only remains for older callers
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        reason = _reason(parser.get_error(0)) if parser.num_errors else logged_error(logger, "no reason")
        raise ModelError(f"TensorRT cannot read the graph: {reason}")
    return network


def _reason(error: Any) -> str:
    """What the parser did not understand, and at which node."""
    where = " ".join(str(getattr(error, name)()) for name in ("node_operator", "node_name") if hasattr(error, name))
    return one_line(ModelError(f"{where.strip() or 'the file'}: {error.desc()}"))


def _add_profile(builder: Any, network: Any, config: Any, max_batch: int) -> None:
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        batch, *rest = tuple(tensor.shape)
        if batch != -1 or -1 in rest:
            raise ModelError(f"input {tensor.name} has shape {tuple(tensor.shape)}: only the batch may be left open")
        # most calls are one frame of one session: the kernels are chosen for that
        profile.set_shape(tensor.name, (1, *rest), (1, *rest), (max_batch, *rest))
    config.add_optimization_profile(profile)


def _set_targets(tensorrt: TensorRT, config: Any, targets: Sequence[str]) -> None:
    if not targets:
        return
    known = targets_known(tensorrt)
    if unknown := [target for target in targets if target not in known]:
        builds_for = ", ".join(known) or "the GPU it runs on"
        raise BackendError(f"{tensorrt.name} {tensorrt.version} does not build for {unknown[0]}, only for {builds_for}")
    config.num_compute_capabilities = len(targets)
    for i, target in enumerate(targets):
        config.set_compute_capability(getattr(tensorrt.trt.ComputeCapability, f"SM{target[3:]}"), i)


def _timing_cache(config: Any, timings: bytes) -> Any:
    """A cache in use, filled with what was measured before if it fits; None if TensorRT takes neither."""
    for content in (timings, b"") if timings else (b"",):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return cache
    return None


def _monitor(trt: Any, progress: Progress | None, cancelled: threading.Event) -> Any:
    """Tells of the outermost phases, and ends the build when it is cancelled."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            if progress is not None and (steps := self.steps.pop(phase_name, 0)):
                progress(phase_name, steps, steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if progress is not None and (steps := self.steps.get(phase_name, 0)):
                progress(phase_name, min(step + 1, steps), steps)
            return not cancelled.is_set()

    return Monitor()
