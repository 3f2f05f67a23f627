"""torch, for development and for GPUs without TensorRT: interprets the ONNX graph node by node.

It runs the same file as the other runtimes, so a difference between them is a difference of arithmetic,
not of weights. The operators are in `torch_ops`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import onnx
import onnx.numpy_helper
import torch
from torch import Tensor

from s2v.engine.backends.base import Backend, Tensors
from s2v.engine.backends.graphs import GraphBackend, Shape, one_line
from s2v.engine.backends.torch_ops import OPERATORS, Attributes, Operator
from s2v.engine.model_file import ModelFile
from s2v.errors import BackendError, ModelError

Device = Literal["auto", "cpu", "cuda"]

_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class _Step:
    operator: Operator
    inputs: tuple[str, ...]  # an empty name is an input left out
    outputs: tuple[str, ...]
    attributes: Attributes


class TorchGraph:
    """One graph as a list of torch calls. Fills `Graph`."""

    def __init__(self, graph: bytes, device: torch.device) -> None:
        """Raises: BackendError, an operator that the table lacks."""
        model = onnx.load_model_from_string(graph)
        unknown = {node.op_type for node in model.graph.node} - OPERATORS.keys() - {"Constant"}
        if unknown:
            raise BackendError(f"the torch backend lacks ONNX operator {', '.join(sorted(unknown))}: use onnxruntime")
        self._device = device
        self._constants: dict[str, Tensor] = {}
        self._steps: list[_Step] = []
        for tensor in model.graph.initializer:
            self._keep(tensor.name, tensor)
        for node in model.graph.node:
            attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
            if node.op_type == "Constant":
                self._keep(node.output[0], attributes["value"])
            else:
                operator = OPERATORS[node.op_type]
                self._steps.append(_Step(operator, tuple(node.input), tuple(node.output), attributes))
        self.inputs, self.outputs = _shapes(model.graph.input), _shapes(model.graph.output)

    def run(self, tensors: Tensors) -> Tensors:
        """See `Graph.run`."""
        with torch.inference_mode():
            values: dict[str, Any] = dict(self._constants)
            values[""] = None
            for name, array in tensors.items():
                values[name] = torch.from_numpy(array if array.flags.writeable else array.copy()).to(self._device)
            for step in self._steps:
                results = step.operator([values[name] for name in step.inputs], step.attributes)
                results = results if isinstance(results, tuple) else (results,)
                values.update(zip(step.outputs, results, strict=True))
            return {name: values[name].cpu().contiguous().numpy() for name in self.outputs}

    def _keep(self, name: str, tensor: onnx.TensorProto) -> None:
        value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        # shapes and indices stay where they are read
        self._constants[name] = value.to(self._device) if value.is_floating_point() else value


def _shapes(values: Iterable[onnx.ValueInfoProto]) -> dict[str, Shape]:
    return {v.name: tuple(size.dim_value or -1 for size in list(v.type.tensor_type.shape.dim)[1:]) for v in values}


def open_model(model: ModelFile, threads: int, device: Device = "auto") -> Backend:
    """Args: threads: set for the whole process, as torch has it; device: "auto" is CUDA if there is one.

    Raises: BackendError, no such device, or an operator that the table lacks. ModelError, a graph that is not ONNX.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise BackendError(
            f"torch {torch.__version__} sees no CUDA device: check nvidia-smi, or choose torch-cpu or onnxruntime"
        )
    chosen = ("cuda" if has_cuda else "cpu") if device == "auto" else device
    if device == "auto":
        _log.info("backend torch: chose device %s", chosen)
    if chosen == "cpu":
        torch.set_num_threads(threads)
    try:
        face, frame = (TorchGraph(graph, torch.device(chosen)) for graph in (model.face_graph, model.frame_graph))
    except BackendError:
        raise
    except Exception as error:  # protobuf, onnx and torch each have exceptions of their own
        raise ModelError(f"torch cannot load {model.path}: {one_line(error)}") from error
    return GraphBackend(f"torch-{chosen}", model, face, frame)


def _plain(value: Any) -> Any:
    """Attribute text comes as bytes; lists come as protobuf containers."""
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, onnx.TensorProto | int | float | str) else list(value)
