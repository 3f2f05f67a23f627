"""What backends say of themselves: asked for by protocol, not by name."""

from __future__ import annotations

from contextlib import closing

import pytest
from fakes import FakeBackend

from s2v.engine.backends import open_backend
from s2v.engine.backends.base import CPU, Backend, DeviceOutputsBackend, PlainDevice, ResidentBackend
from s2v.engine.backends.batcher import BatchingBackend


def abilities(backend: Backend) -> tuple[bool, bool]:
    """Keeps faces on its device; leaves outputs there."""
    return isinstance(backend, ResidentBackend), isinstance(backend, DeviceOutputsBackend)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino-f32"])
def test_runtimes_on_the_cpu_take_any_batch_as_it_is_and_have_no_device_of_their_own(name: str) -> None:
    pytest.importorskip(name.split("-")[0])
    with closing(open_backend(None, name)) as backend:
        assert abilities(backend) == (False, False)
        assert backend.device is CPU
        assert backend.batch_sizes == ()


def test_torch_keeps_faces_and_outputs_on_a_device_that_is_its_own() -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    pytest.importorskip("onnx", reason="the torch runtime reads models with it")
    with closing(open_backend(None, "torch-cpu")) as one, closing(open_backend(None, "torch-cpu")) as other:
        assert abilities(one) == (True, True)
        assert (one.device.name, one.device.kind, one.device.runs_torch) == ("cpu", "cpu", True)
        assert one.device is not other.device  # outputs of the one are not there for whoever draws behind the other
        assert one.batch_sizes == tuple(range(1, 9))


def test_a_view_of_a_shared_runtime_tells_of_the_runtime_but_gives_its_outputs_to_the_caller() -> None:
    runtime = FakeBackend()
    runtime.device, runtime.batch_sizes = PlainDevice("NVIDIA L4", "cuda"), (1, 4)
    with closing(BatchingBackend(lambda: runtime)) as shared, closing(shared.view()) as view:
        assert shared.device is view.device is runtime.device
        assert shared.batch_sizes == view.batch_sizes == (1, 4)
        assert abilities(view) == (False, False)
        assert max(runtime.batches) == 4  # only the sizes that it has were tried
