from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch.nn import functional

from s2v.training.export.merge_upsampling import merge_upsampling
from s2v.training.networks.mouth_decoder import bilinear


def graph(scales: tuple[float, ...] = (1, 1, 2, 2), also_read: bool = False, mode: str = "nearest") -> onnx.ModelProto:
    """Doubling, then a convolution from two to three channels with a bias."""
    random = np.random.default_rng(3)
    place = "asymmetric" if mode == "nearest" else "half_pixel"
    nodes = [
        helper.make_node(
            "Resize",
            ["x", "", "scales"],
            ["big"],
            mode=mode,
            nearest_mode="floor",
            coordinate_transformation_mode=place,
        ),
        helper.make_node("Conv", ["big", "kernel", "bias"], ["y"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
    ]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["b", 3, "h", "w"])]
    if also_read:
        nodes.append(helper.make_node("Relu", ["big"], ["other"]))
        outputs.append(helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, ["b", 2, "h", "w"]))
    constants = {
        "scales": np.array(scales, np.float32),
        "kernel": random.standard_normal((3, 2, 3, 3)).astype(np.float32),
        "bias": random.standard_normal(3).astype(np.float32),
    }
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["b", 2, 5, 7])
    made = helper.make_graph(nodes, "g", [x], outputs, [numpy_helper.from_array(v, k) for k, v in constants.items()])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto) -> list[NDArray[np.float32]]:
    x = np.random.default_rng(4).standard_normal((2, 2, 5, 7)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(found) for found in session.run(None, {"x": x})]


def test_doubling_and_a_convolution_become_one_step_that_computes_the_same() -> None:
    model = graph()
    wanted = run(model)
    assert merge_upsampling(model) == 1
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["ConvTranspose"]
    assert {tensor.name for tensor in model.graph.initializer} == {"kernel_transposed", "bias"}
    np.testing.assert_allclose(run(model)[0], wanted[0], atol=1e-5)


@pytest.mark.parametrize("other", [graph((1, 1, 3, 3)), graph(also_read=True), graph(mode="linear")])
def test_what_is_no_doubling_for_one_reader_stays(other: onnx.ModelProto) -> None:
    wanted = run(other)
    assert merge_upsampling(other) == 0
    for found, old in zip(run(other), wanted, strict=True):
        np.testing.assert_array_equal(found, old)


@pytest.mark.parametrize(("n_from", "n_to"), [(24, 96), (5, 13), (7, 7)])
def test_a_product_resizes_as_torch_does(n_from: int, n_to: int) -> None:
    line = torch.rand(1, 1, n_from, generator=torch.Generator().manual_seed(1))
    wanted = functional.interpolate(line, n_to, mode="linear", align_corners=False)[0, 0]
    torch.testing.assert_close(bilinear(n_from, n_to) @ line[0, 0], wanted, atol=1e-6, rtol=0)
