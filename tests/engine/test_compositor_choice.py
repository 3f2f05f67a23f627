from __future__ import annotations

import logging

import numpy as np
import pytest
from counting_backend import CountingBackend
from fakes import drawn_face, voice

from s2v.engine.compositor.cpu import MotionCompositor, PixelCompositor, make_compositor
from s2v.engine.compositor.pixel_format import PixelFormat, to_i420
from s2v.engine.compositor_choice import COMPOSE_PLACES, composer, composer_for
from s2v.engine.lipsync import LipSyncEngine
from s2v.errors import BackendError
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec.of("s2v")
SHAPES = {"motion": (SPEC.n_motion,), "mouth": (4, SPEC.mouth_h_px, SPEC.mouth_w_px)}


def test_auto_leaves_the_outputs_of_a_cpu_to_the_cpu() -> None:
    for name in ("openvino-bf16", "onnxruntime-cpu", "torch-cpu", "tensorrt-fp16"):
        assert composer(name) is make_compositor
        assert composer(name, "cpu") is make_compositor
    assert composer("torch-cuda", "cpu") is make_compositor


def test_a_place_to_draw_that_does_not_exist_is_refused() -> None:
    assert COMPOSE_PLACES == ("auto", "cpu", "gpu")
    with pytest.raises(BackendError, match="drawn on 'moon': choose one of auto, cpu, gpu"):
        composer("torch-cuda", "moon")


def test_a_gpu_asked_for_by_name_is_never_quietly_the_cpu() -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(BackendError, match="no CUDA device"):
        composer("onnxruntime-cpu", "gpu")(drawn_face(SPEC), SPEC, None)


def test_auto_says_why_it_is_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with caplog.at_level(logging.WARNING, logger="s2v"):
        compositors = [composer("torch-cuda")(drawn_face(SPEC), SPEC, None) for _ in range(2)]
    assert all(isinstance(one, MotionCompositor) for one in compositors)
    assert [record.message for record in caplog.records if "no CUDA device" in record.message][1:] == []  # once at most


def test_networks_that_put_out_pixels_are_drawn_on_the_cpu() -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    from s2v.engine.backends.torch.device import TorchCpuDevice

    spec = LipSyncSpec.of("speech2vid")
    face = drawn_face(spec)
    assert isinstance(composer("torch-cuda", side=TorchCpuDevice())(face, spec, None), PixelCompositor)
    with pytest.raises(BackendError, match="give --compose cpu"):
        composer("torch-cuda", "gpu", TorchCpuDevice())(face, spec, None)


@pytest.mark.parametrize("pixels", ["bgr", "i420", "i420-bt709"])
def test_frames_leave_a_gpu_as_they_were_asked_for_and_the_cpu_as_bgr(pixels: PixelFormat) -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    from s2v.engine.backends.torch.device import TorchCpuDevice

    face, outputs = drawn_face(SPEC), {name: np.zeros((1, *shape), np.float32) for name, shape in SHAPES.items()}
    on_gpu = composer("torch-cuda", side=TorchCpuDevice(), pixels=pixels)(face, SPEC, None).draw(outputs)
    on_cpu = composer("onnxruntime-cpu", pixels=pixels)(face, SPEC, None).draw(outputs)
    height, width = face.photo.shape[:2]
    assert on_cpu.shape == (height, width, 3)
    assert on_gpu.shape == ((height, width, 3) if pixels == "bgr" else (height * 3 // 2, width))
    if pixels == "i420":
        assert np.abs(on_gpu.astype(int) - to_i420(on_cpu)).mean() < 0.3


def test_an_engine_leaves_outputs_where_they_are_drawn() -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    from tiny_networks import tiny_model

    from s2v.engine.backends import open_backend
    from s2v.engine.compositor.torch.compositor import TorchCompositor

    path, pcm = tiny_model("s2v").path, voice(0.6)
    frames = {}
    for place in ("auto", "cpu"):
        backend = CountingBackend(open_backend(path, "torch-cpu"))
        engine = LipSyncEngine(drawn_face(backend.spec), backend, composer_for(backend, place), idle_seed=1)
        assert isinstance(engine._compositor, TorchCompositor) == (place == "auto")
        frames[place] = engine.push(pcm) + engine.flush()
        assert set(backend.asked) == {"infer_resident" if place == "auto" else "infer"}
        engine.close()
        backend.close()
    assert [frame.index for frame in frames["auto"]] == list(range(15))
    for one, other in zip(frames["auto"], frames["cpu"], strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels).mean() < 0.3
