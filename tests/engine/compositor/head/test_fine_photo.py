from __future__ import annotations

import numpy as np

from s2v.engine.compositor.head.fine_photo import FINE, fine_photo
from s2v.engine.face.photo import Image


def whole(photo: Image) -> Image:
    """All of it in the layer."""
    return fine_photo(photo, np.ones(photo.shape[:2], np.float32), np.zeros_like(photo))


def test_the_fine_grid_begins_on_the_photos_own_pixels(closed_photo: Image) -> None:
    part = closed_photo[200:260, 180:280]
    fine = whole(part)
    assert fine.shape == (60 * FINE, 100 * FINE, 4)
    assert np.abs(fine[::FINE, ::FINE, :3].astype(int) - part).max() <= 14
    assert not fine[..., 3].any()


def test_between_two_pixels_of_a_ramp_lies_their_mean() -> None:
    ramp = np.repeat(np.arange(0, 240, 3, dtype=np.uint8)[None, :, None], 40, 0).repeat(3, 2)
    steps = whole(ramp)[20 * FINE, 40 * FINE : 50 * FINE, 0].astype(int)
    np.testing.assert_allclose(steps, 120 + 3 / FINE * np.arange(10 * FINE), atol=1.01)


def test_layer_and_background_make_up_the_photo(closed_photo: Image) -> None:
    """Also in the ramp, where the layer is what the photo shows beside the background."""
    part = closed_photo[200:260, 180:280]
    matte = np.broadcast_to(np.clip(np.linspace(-0.4, 1.4, 100), 0, 1), (60, 100)).astype(np.float32)
    background = (part * (1 - 0.05 * matte[..., None])).astype(np.uint8)
    fine = fine_photo(part, matte, background)[::FINE, ::FINE].astype(np.float64)
    shown = fine[..., :3] + fine[..., 3:] / 255 * background
    assert np.abs(shown - whole(part)[::FINE, ::FINE, :3]).max() <= 4
    outside, inside = matte == 0, matte == 1
    assert (fine[outside] == [0, 0, 0, 255]).all()
    assert not fine[inside][:, 3].any()
    assert (fine[..., :3].max(-1) <= 255 - fine[..., 3] + 1).all()
