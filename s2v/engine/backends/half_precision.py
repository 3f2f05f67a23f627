"""An ONNX graph in float32 as one that computes in float16 where that is safe; inputs and outputs stay float32.

TensorRT builds strongly typed networks: what is computed in half precision is what the graph says. float16 has
11 significant bits and ends at 65504, so these nodes stay in float32:

- exponentials, logarithms, powers, reductions, normalisations and conversions of type;
- nodes with a weight that float16 cannot hold;
- cheap ones that are fed by nothing but those.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from s2v.errors import BackendError

HALF_MAX = 65504.0

_FRAGILE = frozenset(
    {"Exp", "Log", "Pow", "Sqrt", "Reciprocal", "Softmax", "LogSoftmax", "CumSum", "Range", "Cast", "ConstantOfShape"}
    | {"InstanceNormalization", "LayerNormalization", "RandomNormal", "RandomUniform"}
    | {"QuantizeLinear", "DequantizeLinear"}
)
_REDUCTION = "Reduce"  # how the names of all reductions begin
_LIGHT = frozenset(
    {"Abs", "Add", "Clip", "Div", "Max", "Min", "Mul", "Neg", "Relu", "Sub"}
    | {"Concat", "Expand", "Flatten", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)  # cheap wherever they run: they follow what they are fed with
_ALWAYS_FLOAT32 = {"Resize": (1, 2), "Upsample": (1,)}  # inputs that the operator wants so: regions and scales


def to_half(graph: bytes) -> bytes:
    """Args: graph: a serialized ONNX model whose floating-point tensors are float32.

    Raises: BackendError, control flow, which this pass does not follow.
    """
    model = shape_inference.infer_shapes(onnx.load_model_from_string(graph))
    halved: bytes = _Halving(model).run().SerializeToString()
    return halved


def kept_nodes(model: onnx.ModelProto) -> set[int]:
    """Indices of the nodes that stay in float32; see the module's text."""
    nodes = list(model.graph.node)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producer = {name: at for at, node in enumerate(nodes) for name in node.output}
    kept = {
        at
        for at, node in enumerate(nodes)
        if node.op_type in _FRAGILE
        or node.op_type.startswith(_REDUCTION)
        or not _largest(node, constants) <= HALF_MAX  # also when it is NaN
    }
    for at, node in enumerate(nodes):  # in the order of computation, so one pass reaches the end
        fed_by = {producer[name] for name in node.input if name in producer}
        if node.op_type in _LIGHT and fed_by & kept and fed_by <= kept:
            kept.add(at)
    return kept


def _largest(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> float:
    values = [constants[name] for name in node.input if name in constants and constants[name].dtype == np.float32]
    return max((float(np.abs(value).max()) for value in values if value.size), default=0.0)


class _Halving:
    """One pass over one model; values change their type where they cross from one kind of node to the other."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
            raise BackendError("a model with branches or loops cannot be converted to fp16: compile it in fp32")
        _constants_to_initializers(graph)
        typed = [*graph.input, *graph.output, *graph.value_info]
        # the type each float value has at the moment; half nodes change theirs
        self._type = {v.name: TensorProto.FLOAT for v in typed if v.type.tensor_type.elem_type == TensorProto.FLOAT}
        self._constants = {t.name: t for t in graph.initializer}
        self._floats = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}
        self._kept = kept_nodes(model)
        self._model = model
        self._made: dict[tuple[str, int], str] = {}  # value and type -> the name under which it exists
        self._nodes: list[onnx.NodeProto] = []
        self._new_constants: list[onnx.TensorProto] = []

    def run(self) -> onnx.ModelProto:
        graph = self._model.graph
        outputs = {value.name for value in graph.output}
        renamed: dict[str, str] = {}
        for at, node in enumerate(graph.node):
            wanted = TensorProto.FLOAT if at in self._kept else TensorProto.FLOAT16
            fixed = _ALWAYS_FLOAT32.get(node.op_type, ())
            for i, name in enumerate(node.input):
                node.input[i] = self._as(renamed.get(name, name), TensorProto.FLOAT if i in fixed else wanted)
            self._nodes.append(node)
            if wanted == TensorProto.FLOAT16:
                for i, name in enumerate(node.output):
                    if name in self._type:
                        inside = f"{name}_half" if name in outputs else name
                        node.output[i], renamed[name] = inside, inside
                        self._type[inside] = TensorProto.FLOAT16
                        if name in outputs:
                            self._nodes.append(helper.make_node("Cast", [inside], [name], to=TensorProto.FLOAT))
        self._replace(graph)
        onnx.checker.check_model(self._model, full_check=True)
        return self._model

    def _as(self, name: str, wanted: int) -> str:
        """The value as the wanted type, under whatever name; other kinds of values as they are."""
        if name in self._floats:
            return self._constant_as(name, wanted)
        found = self._type.get(name, wanted)
        if found == wanted:
            return name
        if (name, wanted) not in self._made:
            cast = f"{name}_as_{'half' if wanted == TensorProto.FLOAT16 else 'float'}"
            self._nodes.append(helper.make_node("Cast", [name], [cast], to=wanted))
            self._made[name, wanted] = cast
        return self._made[name, wanted]

    def _constant_as(self, name: str, wanted: int) -> str:
        if wanted == TensorProto.FLOAT:
            return name
        if (name, wanted) not in self._made:
            values = numpy_helper.to_array(self._constants[name]).astype(np.float16)
            self._new_constants.append(numpy_helper.from_array(values, f"{name}_half"))
            self._made[name, wanted] = f"{name}_half"
        return self._made[name, wanted]

    def _replace(self, graph: onnx.GraphProto) -> None:
        used = {name for node in self._nodes for name in node.input}
        constants = [t for t in [*graph.initializer, *self._new_constants] if t.name in used]
        nodes = [*self._nodes]
        del graph.node[:], graph.initializer[:], graph.value_info[:]  # the types in value_info are the old ones
        graph.node.extend(nodes)
        graph.initializer.extend(constants)


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    left: list[onnx.NodeProto] = []
    for node in graph.node:
        value = next((a for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            value.t.name = node.output[0]
            graph.initializer.append(value.t)
        else:
            left.append(node)
    del graph.node[:]
    graph.node.extend(left)
