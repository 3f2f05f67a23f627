"""What a graph asks for, counted by hand, and what a device's peaks make of it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from s2v.benchmarks.peaks import Peak, known_peak
from s2v.benchmarks.roofline import count, least
from s2v.engine.backends import bundled_model
from s2v.errors import ModelError

SLOW = Peak("slow", fp16_ops_s=2e6, fp32_ops_s=1e6, bytes_s=1e6, source="made up")


def graph(
    nodes: list[onnx.NodeProto], inputs: dict[str, tuple[int, ...]], weights: dict[str, tuple[int, ...]], made: str
) -> bytes:
    """A model with an open batch dimension, whose output's shape is left to be inferred."""
    taken = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", *shape]) for n, shape in inputs.items()]
    out = helper.make_tensor_value_info(made, TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()]
    proto = helper.make_graph(nodes, "tiny", taken, [out], constants)
    opsets = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(proto, opset_imports=opsets, ir_version=10).SerializeToString())


def test_a_convolution_is_counted_by_hand() -> None:
    conv = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1], strides=[2, 2])
    model = graph([conv, helper.make_node("Relu", ["y"], ["z"])], {"x": (3, 8, 8)}, {"w": (5, 3, 3, 3), "b": (5,)}, "z")
    one, four = count(model, 1, "fp32"), count(model, 4, "fp32")
    assert one.multiply_adds == 5 * 4 * 4 * 3 * 3 * 3 and four.multiply_adds == 4 * one.multiply_adds
    assert one.weight_bytes == four.weight_bytes == 4 * (5 * 3 * 3 * 3 + 5), "read once, however many frames"
    assert (one.input_bytes, one.output_bytes, one.activation_bytes) == (4 * 3 * 8 * 8, 4 * 5 * 4 * 4, 4 * 5 * 4 * 4)
    (layer,) = one.layers
    assert layer.n_bytes == one.input_bytes + one.weight_bytes + 4 * 5 * 4 * 4 and one.nodes == 2
    half = count(model, 4, "fp16")
    assert half.least_bytes * 2 == four.least_bytes and half.multiply_adds == four.multiply_adds


def test_groups_transposed_convolutions_and_matrix_products_are_counted_by_hand() -> None:
    def of(node: onnx.NodeProto, x: tuple[int, ...], w: tuple[int, ...]) -> int:
        return count(graph([node], {"x": x}, {"w": w}, "y"), 2, "fp32").multiply_adds

    make = helper.make_node
    assert of(make("Conv", ["x", "w"], ["y"], group=4), (8, 6, 6), (8, 2, 3, 3)) == 2 * 8 * 4 * 4 * 2 * 9
    assert of(make("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]), (6, 4, 5), (6, 3, 2, 2)) == 2 * 6 * 20 * 3 * 4
    assert of(make("Gemm", ["x", "w"], ["y"], transB=1), (7,), (11, 7)) == 2 * 7 * 11
    assert of(make("MatMul", ["x", "w"], ["y"]), (3, 5, 7), (7, 4)) == 2 * 3 * 5 * 7 * 4
    assert of(make("Add", ["x", "w"], ["y"]), (7,), (7,)) == 0


def test_the_longer_of_the_two_times_counts() -> None:
    # 2 x 1000 weights: 2000 multiply-adds a frame, 8000 bytes of weights
    model = graph([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": (1000,)}, {"w": (1000, 2)}, "y")
    work = count(model, 1, "fp32")
    bound = least(work, SLOW, "fp32")
    assert (work.multiply_adds, work.least_bytes) == (2000, 4 * (2000 + 1000 + 2))
    assert bound.limited_by == "memory" and bound.ms == pytest.approx(12.008)
    many = least(count(model, 100, "fp32"), SLOW, "fp32")
    assert many.limited_by == "memory" and many.ms == pytest.approx(1e-3 * 4 * (2000 + 100 * 1002))
    fast_memory = Peak("f", 2e6, 1e6, 1e9, "made up")
    compute = least(work, fast_memory, "fp32")
    assert compute.limited_by == "arithmetic" and compute.ms == pytest.approx(4.0)
    assert least(count(model, 1, "fp16"), fast_memory, "fp16").ms == pytest.approx(2.0)


def test_layer_by_layer_takes_at_least_as_long() -> None:
    model = bundled_model()
    for batch in (1, 64):
        work = count(model.frame_graph, batch, "fp16")
        for peak in (SLOW, known_peak("NVIDIA H100 80GB HBM3")):
            assert peak is not None
            bound = least(work, peak, "fp16")
            assert bound.layered_ms >= 2000 * work.multiply_adds / peak.fp16_ops_s > 0
            assert sum(layer.multiply_adds for layer in work.layers) == work.multiply_adds


def test_the_bundled_model_asks_for_what_torch_counts() -> None:
    """Two ways to the same number: shapes in the ONNX file, and torch's own counter while it runs."""
    pytest.importorskip("torch")
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from s2v.engine.backends.torch.program import Program

    graph_ = bundled_model().frame_graph
    program = Program(graph_, torch.device("cpu"))
    shapes = {name: (2, *shape) for name, shape in program.inputs.items()}
    plan = program.plan(shapes)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        plan(*(torch.rand(shapes[name]) for name in plan.inputs))
    assert counter.get_total_flops() == 2 * count(graph_, 2, "fp32").multiply_adds


def test_what_is_not_a_graph_is_one_line() -> None:
    with pytest.raises(ModelError, match="shapes cannot be inferred"):
        count(b"not ONNX at all", 1, "fp32")
    unknown = graph([helper.make_node("Frobnicate", ["x"], ["y"])], {"x": (3,)}, {}, "y")
    with pytest.raises(ModelError):
        count(unknown, 1, "fp32")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H200", "H200 SXM"),
        ("NVIDIA A100-SXM4-40GB", "A100 40 GB"),
        ("Tesla T4", "T4"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA L40", None),
    ],
)
def test_a_gpu_is_known_by_its_whole_name(name: str, expected: str | None) -> None:
    found = known_peak(name)
    assert (found and found.name) == expected
    if found is not None:
        assert found.fp16_ops_s > found.fp32_ops_s > 1e12 and found.bytes_s >= 3e11


def test_peaks_of_an_unknown_device_are_measured() -> None:
    """On torch's CPU device, with small matrices: that there are figures, not which."""
    pytest.importorskip("torch")
    from s2v.benchmarks.gpu.probe import measured_peak, step_us, torch_device

    found = measured_peak("this CPU", device="cpu", side=64, copied_bytes=2**16)
    assert found.source == "measured" and min(found.fp16_ops_s, found.fp32_ops_s, found.bytes_s) > 0
    assert step_us("cpu") > 0
    device = torch_device()
    assert device is None or device["name"]
