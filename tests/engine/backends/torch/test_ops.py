"""Each torch function against ONNX Runtime's implementation of the same operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from s2v.engine.backends.torch.device import TorchCpuDevice
from s2v.engine.backends.torch.ops import OPERATORS
from s2v.engine.backends.torch.runner import TorchGraph
from s2v.errors import BackendError

Array = NDArray[Any]
RANDOM = np.random.default_rng(3)
Operands = tuple[Array | np.float32 | None, ...]  # None is one left out


def floats(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


IMAGE = floats(2, 4, 9, 7)
ROWS = floats(2, 6)
NONE = None

# operator, first input, further inputs (None is one left out), attributes
CASES: list[tuple[str, Array, Operands, dict[str, Any]]] = [
    ("Add", IMAGE, (floats(4, 1, 1),), {}),
    ("AveragePool", IMAGE, (), {"kernel_shape": [3, 2], "strides": [2, 2]}),
    ("AveragePool", IMAGE, (), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", IMAGE, (), {"kernel_shape": [3, 3], "pads": [1, 0, 2, 1], "count_include_pad": 1}),
    ("BatchNormalization", IMAGE, (floats(4), floats(4), floats(4), np.abs(floats(4)) + np.float32(0.1)), {}),
    ("BatchNormalization", IMAGE, (floats(4), floats(4), floats(4), np.abs(floats(4))), {"epsilon": 0.5}),
    ("Cast", IMAGE, (), {"to": TensorProto.FLOAT16}),
    ("Cast", IMAGE, (), {"to": TensorProto.INT64}),
    ("Clip", IMAGE, (np.float32(-0.5), np.float32(0.7)), {}),
    ("Clip", IMAGE, (NONE, np.float32(0.7)), {}),
    ("Concat", IMAGE, (floats(2, 3, 9, 7),), {"axis": 1}),
    ("Conv", IMAGE, (floats(6, 4, 3, 3), floats(6)), {"pads": [1, 1, 1, 1], "strides": [1, 2]}),
    ("Conv", IMAGE, (floats(6, 4, 3, 3),), {"pads": [0, 1, 1, 2], "dilations": [2, 1]}),
    ("Conv", IMAGE, (floats(8, 2, 1, 1), floats(8)), {"group": 2}),
    ("Conv", floats(2, 4, 9), (floats(3, 4, 3), floats(3)), {"pads": [1, 1]}),
    ("ConvTranspose", IMAGE, (floats(4, 5, 4, 4), floats(5)), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("ConvTranspose", IMAGE, (floats(4, 2, 3, 3),), {"strides": [2, 1], "output_padding": [1, 0], "group": 2}),
    ("Div", IMAGE, (np.float32(3.0),), {}),
    ("Exp", IMAGE, (), {}),
    ("Expand", floats(2, 1, 7), (ints(2, 5, 1),), {}),
    ("Expand", floats(4, 1), (ints(2, 1, 3),), {}),
    ("Flatten", IMAGE, (), {"axis": 2}),
    ("Flatten", IMAGE, (), {"axis": 0}),
    ("Gemm", ROWS, (floats(6, 3), floats(3)), {"alpha": 0.5, "beta": 2.0}),
    ("Gemm", ROWS, (floats(5, 2),), {"transA": 1, "transB": 1}),
    ("GlobalAveragePool", IMAGE, (), {}),
    ("LeakyRelu", IMAGE, (), {"alpha": 0.2}),
    ("LeakyRelu", IMAGE, (), {}),
    ("Log", np.abs(IMAGE) + np.float32(0.1), (), {}),
    ("MatMul", ROWS, (floats(6, 3),), {}),
    ("MaxPool", IMAGE, (), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", IMAGE, (), {"kernel_shape": [3, 3], "pads": [1, 0, 1, 1]}),
    ("Mul", IMAGE, (floats(4, 1, 1),), {}),
    ("PRelu", IMAGE, (floats(4, 1, 1),), {}),
    ("Pad", IMAGE, (ints(0, 0, 1, 2, 0, 0, 3, 0), np.float32(0.5)), {}),
    ("Pad", IMAGE, (ints(0, 1, 0, 0, 0, 0, 0, 2),), {}),
    ("Pad", IMAGE, (ints(0, 0, 1, 2, 0, 0, 3, 1),), {"mode": "reflect"}),
    ("Pad", IMAGE, (ints(0, 0, 1, 2, 0, 0, 3, 1),), {"mode": "edge"}),
    ("Pow", np.abs(IMAGE), (np.float32(2.5),), {}),
    ("ReduceMean", IMAGE, (ints(2, 3),), {"keepdims": 0}),
    ("ReduceMean", IMAGE, (ints(-1),), {}),
    ("ReduceMean", IMAGE, (), {}),
    ("ReduceMax", IMAGE, (ints(1),), {}),
    ("ReduceMin", IMAGE, (ints(1),), {}),
    ("ReduceSum", IMAGE, (ints(2, 3),), {"keepdims": 0}),
    ("Relu", IMAGE, (), {}),
    ("Reshape", IMAGE, (ints(0, -1, 7),), {}),
    ("Resize", IMAGE, (NONE, np.array([1, 1, 2, 2], np.float32)),
     {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    ("Resize", IMAGE, (NONE, NONE, ints(2, 4, 20, 11)),
     {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}),
    ("Resize", IMAGE, (NONE, np.array([1, 1, 2, 4], np.float32)),
     {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}),
    ("Resize", IMAGE, (NONE, NONE, ints(2, 4, 18, 14)),
     {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    ("Shape", IMAGE, (), {}),
    ("Shape", IMAGE, (), {"start": 1, "end": 3}),
    ("Sigmoid", IMAGE, (), {}),
    ("Slice", IMAGE, (ints(1, -5), ints(9, 2**62), ints(2, 3), ints(3, 1)), {}),
    ("Slice", IMAGE, (ints(0, 1), ints(1, 3)), {}),
    ("Softmax", IMAGE, (), {"axis": 1}),
    ("Split", IMAGE, (ints(1, 3),), {"axis": 1}),
    ("Split", IMAGE, (), {"axis": 2, "num_outputs": 2}),
    ("Squeeze", floats(2, 1, 3, 1), (ints(1),), {}),
    ("Squeeze", floats(2, 1, 3, 1), (), {}),
    ("Sub", IMAGE, (floats(4, 1, 1),), {}),
    ("Tanh", IMAGE, (), {}),
    ("Transpose", IMAGE, (), {"perm": [0, 2, 3, 1]}),
    ("Transpose", ROWS, (), {}),
    ("Unsqueeze", ROWS, (ints(-1, 0),), {}),
]  # fmt: skip


def one_node(operator: str, x: Array, others: Operands, attributes: dict[str, Any]) -> bytes:
    names = [f"in{i}" if other is not None else "" for i, other in enumerate(others)]
    constants = [numpy_helper.from_array(np.asarray(o), n) for o, n in zip(others, names, strict=True) if o is not None]
    outputs = ["out0", "out1"] if operator == "Split" else ["out0"]
    kind = TensorProto.INT64 if operator == "Shape" else attributes.get("to", TensorProto.FLOAT)
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", *names], outputs, **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def torch_graph(graph: bytes) -> TorchGraph:
    return TorchGraph(graph, TorchCpuDevice())


@pytest.mark.parametrize(("operator", "x", "others", "attributes"), CASES, ids=[case[0] for case in CASES])
def test_torch_computes_what_onnxruntime_computes(
    operator: str, x: Array, others: Operands, attributes: dict[str, Any]
) -> None:
    graph = one_node(operator, x, others, attributes)
    wanted = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    found = torch_graph(graph).run({"x": x})
    assert len(found) == len(wanted)
    for mine, theirs in zip(found.values(), wanted, strict=True):
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        assert np.abs(mine - theirs).max() < 1e-5


def test_every_operator_of_the_table_is_tried() -> None:
    assert {case[0] for case in CASES} == OPERATORS.keys()


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(BackendError, match="lacks ONNX operator Erf: use onnxruntime"):
        torch_graph(one_node("Erf", ROWS, (), {}))


@pytest.mark.parametrize(
    ("operator", "others", "attributes", "words"),
    [
        ("Cast", (), {"to": TensorProto.BFLOAT16}, "conversion to ONNX type 16"),
        ("Conv", (floats(6, 4, 3, 3),), {"auto_pad": "SAME_UPPER"}, "auto_pad=SAME_UPPER"),
        ("ConvTranspose", (floats(4, 2, 3, 3),), {"pads": [0, 0, 1, 1]}, "uneven pads"),
        ("Pad", (ints(1, 1), NONE, ints(2)), {}, "Pad with axes"),
        ("Resize", (NONE, np.array([1, 1, 2, 2], np.float32)), {"mode": "cubic"}, "Resize with cubic"),
        ("Slice", (ints(-1), ints(-9), ints(2), ints(-1)), {}, "negative steps"),
    ],
)
def test_an_unsupported_form_is_refused_and_not_approximated(
    operator: str, others: Operands, attributes: dict[str, Any], words: str
) -> None:
    graph = torch_graph(one_node(operator, IMAGE, others, attributes))
    with pytest.raises(BackendError, match=words):
        graph.run({"x": IMAGE})
