"""One person's face is followed, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from s2v.engine.face.detection import FaceDetector, open_detector
from s2v.engine.face.photo import Image
from s2v.media.dub.tracking import FaceTracker

SIDE_PX = 192


@pytest.fixture(scope="module")
def detector() -> Iterator[FaceDetector]:
    with open_detector() as found:
        yield found


def _small(photo: Image) -> Image:
    return np.asarray(cv2.resize(photo, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("gap", [0, 2])
def test_somebody_who_steps_into_the_persons_place_is_not_taken_for_him(
    detector: FaceDetector, closed_photo: Image, smiling_photo: Image, gap: int
) -> None:
    man, woman = _small(closed_photo), _small(smiling_photo)
    nobody = np.full_like(man, 90)
    tracker = FaceTracker(detector, face_index=0)

    def on_the_left(left: Image, right: Image, times: int) -> list[bool]:
        faces = [tracker.find(np.hstack([left, right]), is_cut=False) for _ in range(times)]
        return [face is not None and float(face[:, 0].mean()) < SIDE_PX for face in faces]

    assert all(on_the_left(man, woman, 2))
    assert not any(on_the_left(nobody, woman, gap))
    assert not any(on_the_left(woman, nobody, 6))
    assert any(on_the_left(man, nobody, 5)), "he is found again where he was"


def test_who_is_chosen_is_followed_also_where_nobody_else_is_seen_with_him(
    detector: FaceDetector, closed_photo: Image, smiling_photo: Image
) -> None:
    man, woman = _small(closed_photo), _small(smiling_photo)
    tracker = FaceTracker(detector, face_index=0)
    assert all(tracker.find(man, is_cut=False) is not None for _ in range(2))
    assert not any(tracker.find(woman, is_cut=number == 0) is not None for number in range(5))
    assert any(tracker.find(man, is_cut=number == 0) is not None for number in range(5))
