from __future__ import annotations

import logging

import numpy as np
import pytest
from fakes import drawn_face, voice

from s2v.engine.backends.base import CPU, PlainDevice
from s2v.engine.compositor.cpu import MotionCompositor, PixelCompositor, make_compositor
from s2v.engine.compositor.pixel_format import PixelFormat, to_i420
from s2v.engine.compositor_choice import COMPOSE_PLACES, composer, composer_for
from s2v.engine.lipsync import LipSyncEngine
from s2v.errors import BackendError
from s2v.spec import TRACT_VARIABLES, LipSyncSpec

SPEC = LipSyncSpec.of("s2v")
SHAPES = {"motion": (SPEC.n_motion,), "tract": (len(TRACT_VARIABLES),)}


CUDA = PlainDevice("NVIDIA L4", "cuda", runs_torch=True)  # drawn on, if at all, on streams of its own


def test_auto_leaves_the_outputs_of_a_cpu_to_the_cpu() -> None:
    """And those of a GPU whose runtime is not torch: they come down anyway."""
    for device in (CPU, PlainDevice("cpu", "cpu", runs_torch=True), PlainDevice("NVIDIA L4", "cuda")):
        assert composer(device) is make_compositor
        assert composer(device, "cpu") is make_compositor
        assert composer(device, "gpu") is not make_compositor
    assert composer(CUDA, "cpu") is make_compositor
    assert composer(CUDA) is not make_compositor


def test_a_place_to_draw_that_does_not_exist_is_refused() -> None:
    assert COMPOSE_PLACES == ("auto", "cpu", "gpu")
    with pytest.raises(BackendError, match="drawn on 'moon': choose one of auto, cpu, gpu"):
        composer(CUDA, "moon")


def test_a_gpu_asked_for_by_name_is_never_quietly_the_cpu() -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(BackendError, match="no CUDA device"):
        composer(CPU, "gpu")(drawn_face(SPEC), SPEC, False)


def test_auto_says_why_it_is_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with caplog.at_level(logging.WARNING, logger="s2v"):
        compositors = [composer(CUDA)(drawn_face(SPEC), SPEC, False) for _ in range(2)]
    assert all(isinstance(one, MotionCompositor) for one in compositors)
    assert [record.message for record in caplog.records if "no CUDA device" in record.message][1:] == []  # once at most


def test_networks_that_put_out_pixels_are_drawn_on_the_cpu() -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    from counting_backend import PretendedGpu

    spec = LipSyncSpec.of("speech2vid")
    face = drawn_face(spec)
    assert isinstance(composer(PretendedGpu(), behind_network=True)(face, spec, False), PixelCompositor)
    with pytest.raises(BackendError, match="give --compose cpu"):
        composer(PretendedGpu(), "gpu", behind_network=True)(face, spec, False)


def test_a_compositor_takes_outputs_from_the_device_that_it_draws_on_and_from_no_other() -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    from counting_backend import PretendedGpu

    face, device = drawn_face(SPEC), PretendedGpu()
    behind = composer(device, behind_network=True)(face, SPEC, False)
    assert behind.draws_from(device)
    assert not behind.draws_from(PretendedGpu())  # another queue of work
    for place in (device, CPU):
        assert not composer(place, "cpu", behind_network=True)(face, SPEC, False).draws_from(place)


@pytest.mark.parametrize("pixels", ["bgr", "i420", "i420-bt709"])
def test_frames_leave_a_gpu_as_they_were_asked_for_and_the_cpu_as_bgr(pixels: PixelFormat) -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    from counting_backend import PretendedGpu

    face, outputs = drawn_face(SPEC), {name: np.zeros((1, *shape), np.float32) for name, shape in SHAPES.items()}
    on_gpu = composer(PretendedGpu(), pixels=pixels, behind_network=True)(face, SPEC, False).draw(outputs)
    on_cpu = composer(CPU, pixels=pixels)(face, SPEC, False).draw(outputs)
    height, width = face.photo.shape[:2]
    assert on_cpu.shape == (height, width, 3)
    assert on_gpu.shape == ((height, width, 3) if pixels == "bgr" else (height * 3 // 2, width))
    if pixels == "i420":
        assert np.abs(on_gpu.astype(int) - to_i420(on_cpu)).mean() < 0.3


def test_an_engine_leaves_outputs_where_they_are_drawn() -> None:
    pytest.importorskip("torch", reason="the optional torch runtime is not installed")
    from counting_backend import CountingBackend
    from tiny_networks import tiny_model

    from s2v.engine.compositor.torch.compositor import TorchCompositor

    path, pcm = tiny_model("s2v").path, voice(0.6)
    frames = {}
    for place in ("auto", "cpu"):
        backend = CountingBackend(path)
        engine = LipSyncEngine(drawn_face(backend.spec), backend, composer_for(backend, place), idle_seed=1)
        assert isinstance(engine._compositor, TorchCompositor) == (place == "auto")
        frames[place] = engine.push(pcm) + engine.flush()
        assert set(backend.asked) == {"infer_resident" if place == "auto" else "infer"}
        engine.close()
        backend.close()
    assert [frame.index for frame in frames["auto"]] == list(range(15))
    for one, other in zip(frames["auto"], frames["cpu"], strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels).mean() < 0.3
