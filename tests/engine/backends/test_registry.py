from __future__ import annotations

from s2v.engine.backends.registry import BACKEND_NAMES, RUNTIMES


def test_backends_that_need_a_gpu_say_so() -> None:
    named = {name for name, runtime in RUNTIMES.items() if runtime.needs_gpu}
    assert named == {
        *("tensorrt", "tensorrt-fp16", "tensorrt-fp32"),
        *("torch-cuda", "torch-cuda-fp32", "torch-cuda-compiled"),
    }
    assert set(BACKEND_NAMES) == {"auto", *RUNTIMES}


def test_what_is_asked_of_a_runtime_can_be_read() -> None:
    assert {name for name, runtime in RUNTIMES.items() if runtime.in_float32} == {
        *("openvino-f32", "tensorrt-fp32", "torch-cuda-fp32")
    }
    assert [name for name, runtime in RUNTIMES.items() if runtime.is_compiled] == ["torch-cuda-compiled"]
