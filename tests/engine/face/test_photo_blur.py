from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.photo_blur import blur_px, texture_blur_px


def blurred(face: EnrolledFace, sigma_px: float) -> EnrolledFace:
    return replace(face, photo=np.asarray(cv2.GaussianBlur(face.photo, (0, 0), sigma_px), np.uint8))


@pytest.mark.parametrize("sigma_px", [1.0, 1.5, 2.0, 3.0])
def test_the_blur_of_a_blurred_portrait_is_found(closed_face: EnrolledFace, sigma_px: float) -> None:
    both = np.hypot(blur_px(closed_face), sigma_px)
    assert blur_px(blurred(closed_face, sigma_px)) == pytest.approx(both, rel=0.3)


def test_noise_is_not_taken_for_sharpness(closed_face: EnrolledFace) -> None:
    soft = blurred(closed_face, 2.0)
    noise = np.random.default_rng(0).normal(0, 4, soft.photo.shape)
    noisy = replace(soft, photo=np.clip(soft.photo + noise, 0, 255).astype(np.uint8))
    assert blur_px(noisy) == pytest.approx(blur_px(soft), rel=0.3)


def test_a_picture_without_edges_counts_as_sharp(closed_face: EnrolledFace) -> None:
    assert blur_px(replace(closed_face, photo=np.full_like(closed_face.photo, 90))) == 0


def test_drawings_are_a_little_softer_than_their_pixels_and_as_soft_as_the_photo() -> None:
    assert 0.4 < texture_blur_px(0) < 0.6  # what a lens does
    assert texture_blur_px(2.0) == pytest.approx(2.0, rel=0.1)
    assert texture_blur_px(0) < texture_blur_px(0.5) < texture_blur_px(1.0)
