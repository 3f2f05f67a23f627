"""ONNX Runtime on the CPU: runs everywhere, and is what the others are compared with."""

from __future__ import annotations

from typing import Any

import onnxruntime

from s2v.engine.backends.base import Backend, Tensors
from s2v.engine.backends.graphs import GraphBackend, Shape, one_line
from s2v.engine.backends.model_file import ModelFile
from s2v.errors import BackendError, ModelError
from s2v.loading import unloadable


class OnnxRuntimeGraph:
    """One graph in one session. Fills `Graph`."""

    def __init__(self, graph: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # a waiting thread must not burn the core that encodes the video
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.inputs = _shapes(self._session.get_inputs())
        self.outputs = _shapes(self._session.get_outputs())

    def run(self, tensors: Tensors) -> Tensors:
        """See `Graph.run`."""
        return dict(zip(self.outputs, self._session.run(list(self.outputs), tensors), strict=True))


def _shapes(values: list[Any]) -> dict[str, Shape]:
    return {v.name: tuple(size if isinstance(size, int) else -1 for size in v.shape[1:]) for v in values}


def open_model(model: ModelFile, threads: int) -> Backend:
    """Raises: ModelError, a graph that ONNX Runtime cannot load."""
    try:
        face = None if model.face_graph is None else OnnxRuntimeGraph(model.face_graph, threads)
        frame = OnnxRuntimeGraph(model.frame_graph, threads)
    except Exception as error:  # its exceptions share no public base
        if (unloaded := unloadable(error)) is not None:  # a plugin of its own that needs what the system lacks
            raise BackendError(": ".join(unloaded)) from error
        raise ModelError(f"onnxruntime cannot load {model.path}: {one_line(error)}") from error
    return GraphBackend("onnxruntime-cpu", model, face, frame)
