"""Building engines: on a TensorRT that is none, and with tensorrt_rtx, which needs no GPU, where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from fake_cuda import FakeDevice
from fake_tensorrt import FakeTensorRT
from onnx import TensorProto, helper, numpy_helper

from s2v.engine.backends import bundled_model
from s2v.engine.backends.tensorrt.build import BuildOptions, build
from s2v.engine.backends.tensorrt.compile import compile_model
from s2v.engine.backends.tensorrt.engine_cache import EngineCache
from s2v.engine.backends.tensorrt.module import TensorRT, load_tensorrt, make_logger, targets_known
from s2v.errors import BackendError, ModelError

ROOT = Path(__file__).parents[4]
FP32 = BuildOptions("fp32", 4)


def small_graph(batch: str | int = "batch", operator: str = "Relu") -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4), helper.make_node(operator, ["y"], ["out"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 16, 16])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, 4, 16, 16])],
        [numpy_helper.from_array(np.full((4, 3, 3, 3), 0.1, np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def rtx() -> TensorRT:
    try:
        return load_tensorrt("tensorrt_rtx")
    except BackendError as error:
        pytest.skip(str(error))


def test_progress_is_told_step_by_step() -> None:
    told: list[tuple[str, int, int]] = []
    trt = FakeTensorRT(FakeDevice())
    build(trt.as_module(), small_graph(), FP32, progress=lambda *step: told.append(step))
    assert told == [("Building", 1, 3), ("Building", 2, 3), ("Building", 3, 3), ("Building", 3, 3)]


def test_timings_of_another_tensorrt_are_left_aside() -> None:
    trt = FakeTensorRT(FakeDevice())
    assert build(trt.as_module(), small_graph(), FP32, b"of another").timings == b"measured"
    assert trt.timings_seen == [b"of another", b""]


def test_wrong_options_and_graphs_are_one_line() -> None:
    module = FakeTensorRT(FakeDevice()).as_module()
    with pytest.raises(BackendError, match="precision 'int8' cannot be built: choose fp16 or fp32"):
        build(module, small_graph(), BuildOptions("int8"))  # type: ignore[arg-type]
    for batch in (0, 257):
        with pytest.raises(BackendError, match=f"batches of 1 to {batch} cannot be: give 1 to 256"):
            build(module, small_graph(), BuildOptions("fp32", batch))
    with pytest.raises(ModelError, match=r"^TensorRT cannot read the graph: the file: not understood: [^\n]*$"):
        build(module, b"\x08\x0a", FP32)
    with pytest.raises(ModelError, match="cannot be converted to fp16"):
        build(module, b"no graph", BuildOptions("fp16"))
    with pytest.raises(ModelError, match=r"input x has shape \(2, 3, 16, 16\): only the batch may be left open"):
        build(module, small_graph(batch=2), FP32)


def test_tensorrt_without_a_gpu_names_the_way_out() -> None:
    module = FakeTensorRT(None).as_module()
    with pytest.raises(BackendError, match=r"cannot build here \(CUDA initialization failure .*tensorrt_rtx builds"):
        build(module, small_graph(), FP32)


def test_targets_are_those_of_the_module() -> None:
    trt = FakeTensorRT(None, rtx=True)
    assert targets_known(trt.as_module()) == ("sm_80", "sm_86", "sm_89", "sm_120")
    assert targets_known(FakeTensorRT(FakeDevice()).as_module()) == ()
    with pytest.raises(BackendError, match="does not build for sm_90, only for sm_80, sm_86, sm_89, sm_120"):
        build(trt.as_module(), small_graph(), BuildOptions("fp32", 2, ("sm_90",)))


INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from fake_cuda import FakeDevice
from fake_tensorrt import FakeTensorRT
from s2v.engine.backends.tensorrt.build import BuildOptions, build

signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests in the background ignores it
trt = FakeTensorRT(FakeDevice())
trt.steps = 100_000  # it would never end by itself
began = threading.Event()

def on_step():
    began.set()
    time.sleep(0.001)

def interrupt():
    began.wait(20)
    os.kill(os.getpid(), signal.SIGINT)

trt.on_step = on_step
threading.Thread(target=interrupt, daemon=True).start()
try:
    build(trt.as_module(), Path(sys.argv[1]).read_bytes(), BuildOptions("fp32", 4))
except KeyboardInterrupt:
    building = [thread for thread in threading.enumerate() if thread.name == "s2v-tensorrt-build"]
    for thread in building:
        thread.join(20)
    print("interrupted", trt.builds, [thread.name for thread in building if thread.is_alive()])
"""


def test_an_interrupted_build_ends_at_its_next_step(tmp_path: Path) -> None:
    """In a process of its own: a signal is for all of it, and so for every library that is loaded here."""
    (tmp_path / "small.onnx").write_bytes(small_graph())
    outcome = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "small.onnx")],
        capture_output=True, text=True, cwd=ROOT, timeout=120, env={**os.environ, "PYTHONPATH": "tests/helpers"},
    )  # fmt: skip
    assert outcome.stdout == "interrupted 0 []\n", outcome.stderr


def test_a_missing_module_names_the_extra() -> None:
    with pytest.raises(BackendError, match=r"TensorRT cannot be loaded \(no_such_module: .*speech2vid\[gpu\]"):
        load_tensorrt("no_such_module")  # type: ignore[arg-type]


def test_warnings_are_no_errors() -> None:
    trt = FakeTensorRT(FakeDevice())
    logger = make_logger(trt)
    logger.log(trt.ILogger.Severity.WARNING, "slow")
    logger.log(trt.ILogger.Severity.ERROR, "first\nline")
    assert logger.errors == ["first\nline"]


# with the real module


def test_the_bundled_model_is_really_parsed_and_built_in_both_precisions(rtx: TensorRT, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    sizes = {}
    for precision in ("fp16", "fp32"):
        options = BuildOptions(precision, 4, ("sm_89",))
        compiled = compile_model(bundled_model(), rtx, None, options, cache)
        sizes[precision] = compiled.n_bytes
        assert compiled.engine.stat().st_size == compiled.n_bytes
        assert (compiled.key.target, compiled.parity, compiled.reused) == ("sm_89", None, False)
        assert compile_model(bundled_model(), rtx, None, options, cache).reused
    assert 1_000_000 < sizes["fp16"] < 0.7 * sizes["fp32"], "the weights are there, and half as wide"


def test_it_builds_in_half_precision_for_every_gpu_that_the_module_knows(rtx: TensorRT) -> None:
    """Turing (sm_75) has no matrix product in float32 there: none may be left."""
    known = targets_known(rtx)
    assert "sm_75" in known
    for target in known:
        assert len(build(rtx, bundled_model().frame_graph, BuildOptions("fp16", 8, (target,))).plan) > 1_000_000


def test_every_output_has_a_known_shape_and_every_input_is_float32(rtx: TensorRT) -> None:
    """So that the runner can allocate its memory before it runs anything."""
    half_precision = pytest.importorskip("s2v.engine.backends.half_precision")
    trt, spec = rtx.trt, bundled_model().spec
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(half_precision.to_half(bundled_model().frame_graph)), logger.errors
    outputs = {network.get_output(i).name: network.get_output(i) for i in range(network.num_outputs)}
    assert {name: tuple(tensor.shape)[1:] for name, tensor in outputs.items()} == {
        "motion": (spec.n_motion,),
        "tract": (5,),
    }
    tensors = [*outputs.values(), *(network.get_input(i) for i in range(network.num_inputs))]
    assert {tensor.dtype for tensor in tensors} == {trt.DataType.FLOAT}
    assert not any(network.get_layer(i).type == trt.LayerType.PLUGIN_V3 for i in range(network.num_layers))


def test_the_real_parser_refuses_in_one_line(rtx: TensorRT) -> None:
    with pytest.raises(ModelError, match=r"^TensorRT cannot read the graph: [^\n]+$"):
        build(rtx, b"no graph", FP32)
    unknown = onnx.load_model_from_string(small_graph())
    unknown.graph.node[1].op_type = "Einstein"
    with pytest.raises(ModelError, match=r"^TensorRT cannot read the graph: [^\n]*Einstein[^\n]*$"):
        build(rtx, unknown.SerializeToString(), FP32)


def test_the_real_module_knows_its_gpus_and_refuses_others(rtx: TensorRT) -> None:
    known = targets_known(rtx)
    assert {"sm_80", "sm_86", "sm_89", "sm_120"} <= set(known)
    with pytest.raises(BackendError, match=r"does not build for sm_37, only for .*sm_89"):
        build(rtx, small_graph(), BuildOptions("fp32", 2, ("sm_37",)))
    assert len(build(rtx, small_graph(), BuildOptions("fp16", 2, ("sm_86", "sm_89"))).plan) > 1000


def test_the_real_module_has_everything_the_runner_calls(rtx: TensorRT) -> None:
    """Running needs a GPU; that the names exist does not."""
    trt = rtx.trt
    wanted = {
        trt.Runtime: ["deserialize_cuda_engine"],
        trt.ICudaEngine: [
            "num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_shape", "get_tensor_dtype",
            "get_tensor_profile_shape", "device_memory_size_v2", "create_execution_context", "create_runtime_config",
        ],
        trt.IExecutionContext: ["set_input_shape", "set_tensor_address", "execute_async_v3", "set_device_memory"],
        trt.IRuntimeConfig: [
            "set_execution_context_allocation_strategy", "dynamic_shapes_kernel_specialization_strategy",
        ],
        trt.DynamicShapesKernelSpecializationStrategy: ["EAGER"],
        trt.ExecutionContextAllocationStrategy: ["USER_MANAGED"],
        trt.TensorIOMode: ["INPUT"],
        trt.DataType: ["FLOAT"],
    }  # fmt: skip
    missing = [f"{kind.__name__}.{name}" for kind, names in wanted.items() for name in names if not hasattr(kind, name)]
    assert not missing


def test_importing_the_backend_loads_neither_tensorrt_nor_cuda() -> None:
    names = {"tensorrt", "tensorrt_rtx", "cuda", "onnx"}
    code = f"import sys, s2v.engine.backends.tensorrt; print({names} & set(sys.modules))"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert outcome.stdout.strip() == "set()", outcome.stderr
