"""Things are painted before mouths here; how often faces of all kinds are taken for covered is in docs/LOG.md."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from s2v.bundled import BUNDLED_FACE
from s2v.engine.face.covered_mouth import is_mouth_covered
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.geometry import OUTER_LIPS
from s2v.engine.face.photo import Image, load_photo
from s2v.errors import FaceError
from s2v.spec import LipSyncSpec


@pytest.fixture(scope="module")
def people(closed_face: EnrolledFace, smiling_face: EnrolledFace) -> list[EnrolledFace]:
    return [closed_face, smiling_face, enrol(load_photo(BUNDLED_FACE, 512), LipSyncSpec())]


def mask(face: EnrolledFace, colour: tuple[int, int, int]) -> Image:
    """Cloth from the nose to below the chin, with folds."""
    outline = face.landmarks[[197, 330, 361, 397, 378, 152, 149, 172, 132, 101], :2].round().astype(np.int32)
    where = np.zeros(face.photo.shape[:2], np.uint8)
    cv2.fillPoly(where, [outline], 255)
    folds = 6 * np.sin(np.arange(len(where)) / 7)[:, None, None]
    share = cv2.GaussianBlur(where, (0, 0), 1.5)[..., None] / 255
    return np.asarray(face.photo * (1 - share) + np.clip(np.array(colour) + folds, 0, 255) * share, np.uint8)


def microphone(face: EnrolledFace) -> Image:
    """A dark ball with a handle before the lips."""
    photo, unit_px = face.photo.copy(), face.pose.unit_px
    x, y = (int(n) for n in face.landmarks[[13, 14], :2].mean(0))
    cv2.line(photo, (x, y), (x + round(0.3 * unit_px), y + round(3 * unit_px)), (40, 40, 42), round(0.4 * unit_px))
    for ring in range(10):  # lit from above
        radius = round(0.45 * unit_px * (1 - ring / 10))
        cv2.circle(photo, (x, y - round(0.01 * ring * unit_px)), radius, (50 + 4 * ring,) * 3, -1)
    return photo


def red_lips(face: EnrolledFace) -> Image:
    photo = face.photo.copy()
    where = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(where, [face.landmarks[list(OUTER_LIPS), :2].round().astype(np.int32)], 255)
    photo[where > 0] = photo[where > 0] * 0.5 + np.array([30, 10, 100])
    return photo


@pytest.mark.parametrize("colour", [(235, 230, 215), (40, 40, 40), (200, 150, 90), (140, 165, 200)])
def test_a_mask_is_seen(people: list[EnrolledFace], colour: tuple[int, int, int]) -> None:
    for face in people:
        masked = mask(face, colour)
        assert is_mouth_covered(masked, face.landmarks)
        assert is_mouth_covered((masked * 0.1).astype(np.uint8), face.landmarks)


def test_a_microphone_is_seen(people: list[EnrolledFace]) -> None:
    assert all(is_mouth_covered(microphone(face), face.landmarks) for face in people)


@pytest.mark.parametrize(
    "altered",
    [
        lambda face: face.photo,
        lambda face: cv2.cvtColor(cv2.cvtColor(face.photo, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
        lambda face: (255 * (face.photo / 255.0) ** 1.8).astype(np.uint8),  # dark
        lambda face: (face.photo * 0.1).astype(np.uint8),  # at night
        lambda face: (face.photo * np.linspace(0.4, 1, face.photo.shape[1])[:, None]).astype(np.uint8),  # in shadow
        lambda face: cv2.GaussianBlur(face.photo, (0, 0), 3),
        red_lips,
    ],
    ids=["as it is", "grey", "dark", "night", "shadow", "blurred", "red lips"],
)
def test_a_mouth_in_the_open_passes(people: list[EnrolledFace], altered: Callable[[EnrolledFace], Image]) -> None:
    assert not any(is_mouth_covered(altered(face), face.landmarks) for face in people)


def test_a_photo_with_a_covered_mouth_is_refused_with_the_next_step(closed_face: EnrolledFace) -> None:
    with pytest.raises(FaceError, match=r"before the mouth .*: use a photo that shows the lips"):
        enrol(mask(closed_face, (235, 230, 215)), LipSyncSpec())
