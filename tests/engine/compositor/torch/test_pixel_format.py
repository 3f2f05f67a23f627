from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes import drawn_face
from poses import pose_at

pytest.importorskip("torch", reason="the optional torch runtime is not installed")
import torch

from s2v.engine.backends.torch.device import TorchCpuDevice
from s2v.engine.compositor.pixel_format import PixelFormat
from s2v.engine.compositor.torch.compositor import TorchCompositor
from s2v.engine.compositor.torch.draw_stream import DrawStream
from s2v.engine.compositor.torch.pixel_format import frame_shape, write_frame
from s2v.errors import BackendError
from s2v.spec import LipSyncSpec

NOISE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
PLAIN = np.concatenate([np.full((2, 96, 3), colour, np.uint8) for colour in ((0, 0, 255), (255, 255, 255), (0, 0, 0))])


def converted(bgr: np.ndarray, pixels: PixelFormat) -> np.ndarray:
    frame = torch.zeros((1, *frame_shape(bgr.shape[1], bgr.shape[0], pixels)), dtype=torch.uint8)
    write_frame(torch.from_numpy(bgr)[None], pixels, frame)
    return np.asarray(frame[0].numpy())


@pytest.mark.parametrize("bgr", [NOISE, PLAIN], ids=["noise", "plain"])
def test_i420_is_what_opencv_makes(bgr: np.ndarray) -> None:
    np.testing.assert_array_equal(converted(bgr, "i420"), cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420))


def test_nv12_is_i420_with_its_colours_side_by_side() -> None:
    height, width = NOISE.shape[:2]
    i420, nv12 = converted(NOISE, "i420"), converted(NOISE, "nv12")
    np.testing.assert_array_equal(nv12[:height], i420[:height])
    colours = i420[height:].reshape(2, height // 2, width // 2)
    np.testing.assert_array_equal(nv12[height:].reshape(height // 2, width // 2, 2), colours.transpose(1, 2, 0))
    back = cv2.cvtColor(nv12, cv2.COLOR_YUV2BGR_NV12)
    assert np.abs(cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420).astype(int) - back).max() == 0


@pytest.mark.parametrize("bgr", [NOISE, PLAIN], ids=["noise", "plain"])
def test_i420_bt709_is_what_the_standard_says(bgr: np.ndarray) -> None:
    height, width = bgr.shape[:2]
    made = converted(bgr, "i420-bt709").astype(float)
    blue, green, red = np.moveaxis(bgr / 255, -1, 0)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert np.abs(made[:height] - (16 + 219 * luma)).max() <= 0.5001
    colours = made[height:].reshape(2, height // 2, width // 2)
    for part, colour, widest in ((0, blue, 1.8556), (1, red, 1.5748)):
        exact = (128 + 224 * (colour - luma) / widest).reshape(height // 2, 2, width // 2, 2).mean((1, 3))
        assert np.abs(colours[part] - exact).max() <= 0.5001


def test_rgb_is_bgr_the_other_way_round() -> None:
    np.testing.assert_array_equal(converted(NOISE, "rgb"), NOISE[..., ::-1])
    np.testing.assert_array_equal(converted(NOISE, "bgr"), NOISE)


def test_formats_that_do_not_exist_or_fit_are_refused() -> None:
    with pytest.raises(BackendError, match="'yuy2': choose one of bgr, rgb, i420, nv12"):
        frame_shape(96, 64, "yuy2")  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="95 x 64 px cannot be nv12"):
        frame_shape(95, 64, "nv12")
    assert frame_shape(95, 64, "rgb") == (64, 95, 3)


@pytest.mark.parametrize("moving", [False, True])
def test_a_compositor_draws_in_the_format_asked_for(moving: bool) -> None:
    spec = LipSyncSpec.of("s2v")
    face, draw_stream = drawn_face(spec), DrawStream(TorchCpuDevice())
    outputs = {
        "motion": np.full((1, spec.n_motion), 0.8, np.float32),
        "tract": np.full((1, 5), 0.7, np.float32),
    }
    bgr = TorchCompositor(face, spec, moving, draw_stream).draw(outputs, pose_at(40))
    for pixels in ("rgb", "i420", "nv12", "i420-bt709"):
        drawn = TorchCompositor(face, spec, moving, draw_stream, pixels).draw(outputs, pose_at(40))
        np.testing.assert_array_equal(drawn, converted(bgr, pixels))
