"""float16 where it is safe, checked by running both graphs in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from s2v.engine.backends import bundled_model
from s2v.engine.backends.half_precision import kept_nodes, to_half
from s2v.engine.backends.onnx import OnnxRuntimeGraph
from s2v.engine.backends.parity import compare
from s2v.errors import BackendError

RANDOM = np.random.default_rng(4)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], outputs: list[str]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "some",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 6, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def node(operator: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(","), output.split(","), **attributes)


def run(graph: bytes, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": x}))


def types(graph: bytes) -> dict[str, int]:
    """The type of every value, by the rules of each operator."""
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(graph), strict_mode=True)
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        tensor.name: tensor.data_type for tensor in model.graph.initializer
    }


def test_inputs_and_outputs_stay_float32_and_the_middle_is_half() -> None:
    model = model_of(
        [node("Conv", "x,w,b", "y", pads=[1] * 4), node("Relu", "y", "z"), node("Sigmoid", "z", "out")],
        {"w": floats(4, 4, 3, 3) / 6, "b": floats(4)},
        ["out", "z"],  # one of them in the middle
    )
    half = to_half(model.SerializeToString())
    found = types(half)
    assert {found[name] for name in ("x", "out", "z")} == {TensorProto.FLOAT}
    assert {found[name] for name in ("y", "w_half", "b_half")} == {TensorProto.FLOAT16}
    assert "w" not in found, "the weights are not in it twice"
    x = floats(3, 4, 6, 8)
    for mine, theirs in zip(run(half, x), run(model.SerializeToString(), x), strict=True):
        assert mine.dtype == np.float32
        assert 0 < np.abs(mine - theirs).max() < 0.01  # it really rounds


def test_fragile_nodes_stay_in_float32() -> None:
    constants: dict[str, np.ndarray] = {"axes": np.array([1], np.int64), "p": np.array(3.0, np.float32)}
    nodes = [node("Pow", "x,p", "a"), node("Exp", "a", "b"), node("ReduceSum", "b,axes", "c"), node("Log", "c", "out")]
    model = model_of(nodes, constants, ["out"])
    assert kept_nodes(model) == {0, 1, 2, 3}
    x = 2 * np.abs(floats(2, 4, 6, 8))  # exp(x^3) is far beyond 65504
    x = np.minimum(x, 3.0).astype(np.float32)
    (mine,), (theirs,) = run(to_half(model.SerializeToString()), x), run(model.SerializeToString(), x)
    assert np.isfinite(mine).all()
    np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def test_what_is_fed_by_fragile_nodes_alone_follows_them_if_it_is_cheap() -> None:
    nodes = [
        node("Exp", "x", "a"),
        node("Mul", "a,two", "b"),  # only from the Exp
        node("Relu", "x", "c"),
        node("Add", "b,c", "d"),  # from both
        node("Conv", "b,w", "out"),  # not cheap
    ]
    model = model_of(nodes, {"two": np.array(2, np.float32), "w": floats(1, 4, 1, 1)}, ["out", "d"])
    assert kept_nodes(model) == {0, 1}
    found = types(to_half(model.SerializeToString()))
    assert {found[name] for name in ("a", "b")} == {TensorProto.FLOAT}
    assert {found[name] for name in ("c", "w_half")} == {TensorProto.FLOAT16}


def test_weights_that_float16_cannot_hold_stay() -> None:
    model = model_of([node("Mul", "x,big", "y"), node("Mul", "y,small", "out")],
                     {"big": np.array(1e6, np.float32), "small": np.array(0.5, np.float32)}, ["out"])  # fmt: skip
    x = floats(1, 4, 6, 8)
    (mine,), (theirs,) = run(to_half(model.SerializeToString()), x), run(model.SerializeToString(), x)
    np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def test_shapes_scales_and_constant_nodes_are_followed() -> None:
    constants = {"scales": np.array([1, 1, 2, 2], np.float32), "low": np.array(-0.25, np.float32)}
    value = numpy_helper.from_array(np.array(0.5, np.float32), "ignored")
    nodes = [
        node("Resize", "x,,scales", "big", mode="nearest", coordinate_transformation_mode="asymmetric"),
        helper.make_node("Constant", [], ["high"], value=value),
        node("Clip", "big,low,high", "clipped"),
        node("Shape", "x", "shape", start=0, end=2),
        node("Concat", "shape,size", "whole", axis=0),
        node("Resize", "clipped,,,whole", "out", mode="linear", coordinate_transformation_mode="half_pixel"),
    ]
    model = model_of(nodes, {**constants, "size": np.array([5, 5], np.int64)}, ["out"])
    half = to_half(model.SerializeToString())
    assert types(half)["scales"] == TensorProto.FLOAT
    assert types(half)["clipped"] == TensorProto.FLOAT16
    x = floats(2, 4, 6, 8)
    (mine,), (theirs,) = run(half, x), run(model.SerializeToString(), x)
    assert mine.shape == theirs.shape == (2, 4, 5, 5)
    assert np.abs(mine - theirs).max() < 1e-3


def test_branches_are_refused() -> None:
    branch = helper.make_graph([], "empty", [], [])
    model = model_of([node("Relu", "x", "out"), helper.make_node("If", ["c"], ["u"], then_branch=branch)], {}, ["out"])
    with pytest.raises(BackendError, match="branches or loops"):
        to_half(model.SerializeToString())


def test_the_bundled_model_loses_nothing_that_can_be_seen() -> None:
    model = bundled_model()
    half = to_half(model.frame_graph)
    assert len(half) < 0.6 * len(model.frame_graph)
    exact, coarse = (OnnxRuntimeGraph(graph, 1) for graph in (model.frame_graph, half))
    assert (coarse.inputs, coarse.outputs) == (exact.inputs, exact.outputs)
    parity = compare(exact, coarse, {}, model.spec, 8)
    assert 0 < max(parity.max_difference.values()) < 0.02
    assert parity.moved_max is not None and parity.moved_max < 0.001
