"""OpenVINO on the CPU: the fastest of the CPU runtimes, in float32 or bfloat16."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any, Literal

import numpy as np
import openvino

from s2v.engine.backends.base import Backend, Tensors
from s2v.engine.backends.graphs import GraphBackend, Shape, one_line
from s2v.engine.backends.model_file import ModelFile
from s2v.errors import BackendError, ModelError
from s2v.loading import unloadable

Precision = Literal["auto", "f32", "bf16"]
GAIN = 0.8  # bfloat16 costs digits: it must take at most this share of float32's time
TRIALS = 7

_tried: dict[tuple[bytes, int], str] = {}  # graph and threads -> what "auto" found for them in this process
_log = logging.getLogger("s2v")


class OpenVinoGraph:
    """One graph, compiled with its batch size left open. Fills `Graph`.

    The kernels for each batch size are made at its first use (some 10 ms) and kept. Compiling one graph per
    batch size instead was no faster afterwards.
    """

    def __init__(self, core: openvino.Core, graph: bytes, threads: int, precision: str) -> None:
        config: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
            "ENABLE_CPU_PINNING": False,  # several sessions would all be pinned to the same cores
        }
        model = core.read_model(graph)
        self.inputs, self.outputs = _shapes(model.inputs), _shapes(model.outputs)
        compiled = core.compile_model(model, "CPU", config)
        # what the plugin made of the hint: a processor without bfloat16 gets f32
        self.precision: str = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self._request = compiled.create_infer_request()

    def run(self, tensors: Tensors) -> Tensors:
        """See `Graph.run`."""
        results = self._request.infer(tensors, share_inputs=True, share_outputs=True)
        return {name: np.asarray(results[i]) for i, name in enumerate(self.outputs)}

    def frame_s(self) -> float:
        """Seconds for a batch of 1, the best of a few tries: the others were disturbed."""
        zeros: Tensors = {name: np.zeros((1, *shape), np.float32) for name, shape in self.inputs.items()}
        seconds = []
        for _ in range(1 + TRIALS):  # the first one makes the kernels
            start = time.perf_counter()
            self.run(zeros)
            seconds.append(time.perf_counter() - start)
        return min(seconds[1:])


def open_model(model: ModelFile, threads: int, precision: Precision = "f32") -> Backend:
    """Compile the graphs.

    Args: precision: "f32" gives the same figures at every start. "auto" tries bfloat16 against it once per process,
        some 0.3 s, and takes the faster: which that is may differ from start to start.
        Processors with matrix units (AMX) gain by bfloat16; those with only AVX-512 bfloat16 lose.
    Raises: ModelError, a graph that OpenVINO cannot compile. BackendError, bfloat16 where the processor has none.
    """
    try:
        core = openvino.Core()
        # the face encoder runs once per face: its time does not matter, its precision does
        face = None if model.face_graph is None else OpenVinoGraph(core, model.face_graph, threads, "f32")
        key = (hashlib.sha256(model.frame_graph).digest(), threads)
        if precision == "auto" and key not in _tried:
            _tried[key] = _faster(core, model.frame_graph, threads)
        chosen = _tried[key] if precision == "auto" else precision
        frame = OpenVinoGraph(core, model.frame_graph, threads, chosen)
    except Exception as error:  # it raises plain RuntimeError and others
        if (unloaded := unloadable(error)) is not None:  # a plugin of its own that needs what the system lacks
            raise BackendError(": ".join(unloaded)) from error
        raise ModelError(f"openvino cannot compile {model.path}: {one_line(error)}") from error
    if frame.precision != chosen:
        raise BackendError(f"this processor computes in {frame.precision}, not {chosen}: choose openvino")
    return GraphBackend(f"openvino-{frame.precision}", model, face, frame)


def _faster(core: openvino.Core, graph: bytes, threads: int) -> str:
    """The precision in which this machine draws a frame sooner; says so in the log."""
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "f32"
    f32_s, bf16_s = (OpenVinoGraph(core, graph, threads, precision).frame_s() for precision in ("f32", "bf16"))
    if bf16_s <= GAIN * f32_s:
        _log.info(
            "drawing live in bfloat16, numbers of fewer digits, which is faster here: %.1f ms a frame instead of %.1f; "
            "--backend openvino-f32 draws as files are drawn",
            1e3 * bf16_s,
            1e3 * f32_s,
        )
        return "bf16"
    _log.info(
        "drawing live in float32, as files are drawn: %.1f ms a frame, %.1f in bfloat16", 1e3 * f32_s, 1e3 * bf16_s
    )
    return "f32"


def _shapes(ports: list[Any]) -> dict[str, Shape]:
    return {
        port.any_name: tuple(size.get_length() if size.is_static else -1 for size in list(port.partial_shape)[1:])
        for port in ports
    }
