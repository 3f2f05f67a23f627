"""What an ONNX graph asks of a machine, and the least time in which a machine could do it.

The roofline model (Williams, Waterman and Patterson 2009): a device that computes at most so many operations a
second and moves at most so many bytes a second needs at least the longer of the two times. Counted are the
multiply-adds of convolutions and matrix products; what else a graph does is under a hundredth of that here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import onnx
from onnx import TensorProto, shape_inference

from s2v.benchmarks.peaks import Peak
from s2v.errors import ModelError

Precision = Literal["fp32", "fp16"]
BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2}

_Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One convolution or matrix product of a batch."""

    multiply_adds: int
    n_bytes: int  # its inputs, weights and output


@dataclass(frozen=True)
class Work:
    """What one run of a graph takes, whoever runs it."""

    batch: int
    multiply_adds: int
    weight_bytes: int  # read once a run, however large the batch
    input_bytes: int
    output_bytes: int
    activation_bytes: int  # of all values between nodes, each counted once
    nodes: int  # of the graph, of whatever kind
    layers: tuple[Layer, ...]

    @property
    def least_bytes(self) -> int:
        """What must cross the device's memory even if all values between nodes stay in its caches."""
        return self.weight_bytes + self.input_bytes + self.output_bytes


@dataclass(frozen=True)
class Bound:
    """The least time of one run on one device."""

    ms: float  # everything between nodes stays in caches
    limited_by: Literal["arithmetic", "memory"]
    layered_ms: float  # every convolution and matrix product fetches its inputs from memory and writes its output there


def count(graph: bytes, batch: int, precision: Precision) -> Work:
    """Count one run.

    Args:
        graph: a serialized ONNX model whose inputs' first dimension is the batch.
        precision: of all weights and values, inputs and outputs included.
    Raises: ModelError, not an ONNX graph, or one whose shapes cannot be inferred.
    """
    size = BYTES[precision]
    model, shapes = _with_shapes(graph, batch)
    weights = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    ends = {value.name for value in [*model.graph.input, *model.graph.output]}
    layers = []
    for node in model.graph.node:
        if multiply_adds := _multiply_adds(node, shapes):
            touched = [name for name in [*node.input, *node.output] if name]
            layers.append(Layer(multiply_adds, size * sum(math.prod(shapes[name]) for name in touched)))
    return Work(
        batch=batch,
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        weight_bytes=size * sum(math.prod(shapes[name]) for name in weights),
        input_bytes=size * sum(math.prod(shapes[value.name]) for value in model.graph.input),
        output_bytes=size * sum(math.prod(shapes[value.name]) for value in model.graph.output),
        activation_bytes=size * sum(math.prod(shape) for name, shape in shapes.items() if name not in weights | ends),
        nodes=len(model.graph.node),
        layers=tuple(layers),
    )


def least(work: Work, peak: Peak, precision: Precision) -> Bound:
    """The least time of one run on a device with these peaks."""
    ops_s = peak.fp16_ops_s if precision == "fp16" else peak.fp32_ops_s

    def seconds(multiply_adds: int, n_bytes: int) -> tuple[float, float]:
        return 2 * multiply_adds / ops_s, n_bytes / peak.bytes_s

    arithmetic_s, memory_s = seconds(work.multiply_adds, work.least_bytes)
    layered_s = sum(max(seconds(layer.multiply_adds, layer.n_bytes)) for layer in work.layers)
    return Bound(
        1000 * max(arithmetic_s, memory_s), "arithmetic" if arithmetic_s > memory_s else "memory", 1000 * layered_s
    )


def _with_shapes(graph: bytes, batch: int) -> tuple[onnx.ModelProto, dict[str, _Shape]]:
    """The model at this batch size, and the shape of each of its float values. Raises: ModelError."""
    try:
        model = onnx.load_model_from_string(graph)
        for value in model.graph.input:
            value.type.tensor_type.shape.dim[0].dim_value = batch
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")  # of another batch size
        del model.graph.value_info[:]
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # protobuf and onnx each have exceptions of their own
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"the model's shapes cannot be inferred ({said}): fetch or export it again") from error
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    shapes = {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in values
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    known = {value.name for value in values if value.type.tensor_type.HasField("shape")}
    made = [name for node in model.graph.node for name in node.output if name]
    if unknown := [name for name in made if name not in known] + [n for n, shape in shapes.items() if 0 in shape]:
        raise ModelError(f"the model leaves the shape of {unknown[0]!r:.80} open: export it again")
    weights = {t.name: tuple(t.dims) for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    return model, shapes | weights


def _multiply_adds(node: onnx.NodeProto, shapes: dict[str, _Shape]) -> int:
    """Of one node; 0 for those that are no convolution and no matrix product."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    given, weights, made = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":  # weights (out, in / groups, ...): each output value sums over all but the first
        return math.prod(made) * math.prod(weights[1:])
    if node.op_type == "ConvTranspose":  # weights (in, out / groups, ...): each input value goes into all but the first
        return math.prod(given) * math.prod(weights[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(made) * (given[0] if transposed else given[-1])
