from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_mouths import DrawnMouth, drawn_mouth

from s2v.engine.compositor.mouth.own_teeth import own_teeth
from s2v.engine.face.enrolment import EnrolledFace


def cover_of(drawn: DrawnMouth) -> np.ndarray:
    height, width = drawn.face.photo.shape[:2]
    found = own_teeth(drawn.face, 0, 0, (width, height))
    assert found is not None and found.shape == (height, width, 4) and found.dtype == np.float32
    assert 0 <= found[..., 3].min() <= found[..., 3].max() <= 1
    return found[..., 3]


def inner(mask: np.ndarray, px: int) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), np.ones((2 * px + 1, 2 * px + 1), np.uint8)) > 0


def test_they_are_the_teeth_and_nothing_else() -> None:
    drawn = drawn_mouth()
    cover = cover_of(drawn)
    assert (cover > 0.5)[inner(drawn.teeth, 3)].mean() > 0.9
    outside = cv2.dilate(drawn.teeth.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    assert cover[outside].max() < 0.5
    assert cover[~drawn.opening].max() < 0.2  # no lip


@pytest.mark.parametrize("landmarks_inside", [0.01, 0.02])
def test_no_lip_is_taken_for_teeth_where_landmarks_miss_its_edge(landmarks_inside: float) -> None:
    drawn = drawn_mouth(landmarks_inside=landmarks_inside)
    assert cover_of(drawn)[~drawn.opening].max() < 0.3


def test_a_gap_between_teeth_is_closed() -> None:
    drawn = drawn_mouth(gap=0.02)
    x = round(180 + 0.05 * 150)
    rows = np.flatnonzero(drawn.opening[:, x])[0] + np.array([4, 5, 6])
    assert not drawn.teeth[rows, x].any()
    assert (cover_of(drawn)[rows, x] > 0.8).all()


def test_gums_are_kept_out() -> None:
    drawn = drawn_mouth(jaw=4.0, length=0.09, gum=0.035)
    top = np.flatnonzero(drawn.opening[:, 180])[0]
    cover = cover_of(drawn)[:, 180]
    assert cover[top : top + 3].max() < 0.3
    assert cover[top + 9] > 0.8  # 0.06 face units below the lip: tooth


def test_their_lower_edge_is_smooth_however_ragged_the_teeth() -> None:
    drawn = drawn_mouth()
    photo = drawn.face.photo.copy()
    ends = [np.flatnonzero(column)[-1] if column.any() else 0 for column in drawn.teeth.T]
    for x in range(162, 198, 9):  # chips, 3 px wide and 4 deep
        photo[ends[x] - 4 : ends[x] + 1, x : x + 3] = (20, 18, 30)
    face = EnrolledFace(**{**vars(drawn.face), "photo": photo})
    cover = cover_of(drawn._replace(face=face))
    edge = np.array([np.flatnonzero(cover[:, x] > 0.5)[-1] for x in range(162, 198)])
    assert np.abs(np.diff(edge, 2)).max() <= 1


def test_a_mouth_without_teeth_gives_none(closed_face: EnrolledFace) -> None:
    whole = (360, 360)
    assert own_teeth(closed_face, 0, 0, (512, 512)) is None
    assert own_teeth(drawn_mouth(length=0.0).face, 0, 0, whole) is None
    assert own_teeth(drawn_mouth(tooth=(120, 108, 190)).face, 0, 0, whole) is None  # as red as lips in the sun
    assert own_teeth(drawn_mouth(length=0.02).face, 0, 0, whole) is None  # a line
    assert own_teeth(drawn_mouth().face, 0, 0, (0, 10)) is None


def test_a_window_shows_its_part(smiling_face: EnrolledFace) -> None:
    height, width = smiling_face.photo.shape[:2]
    whole = own_teeth(smiling_face, 0, 0, (width, height))
    left, top = smiling_face.landmarks[78, :2].astype(int) - 20
    part = own_teeth(smiling_face, int(left), int(top), (150, 90))
    assert whole is not None and part is not None
    same = whole[top : top + 90, left : left + 150]
    assert part[..., 3].max() > 0.9
    np.testing.assert_allclose(part[..., 3], same[..., 3], atol=0.04)


def shining(drawn: DrawnMouth, lower_lip: tuple[int, int, int]) -> DrawnMouth:
    """The same mouth with another colour of the lower lip."""
    photo = drawn.face.photo.copy()
    below = np.cumsum(drawn.opening, axis=0) > 0
    photo[drawn.lips & below & ~drawn.opening] = lower_lip
    return drawn._replace(face=replace(drawn.face, photo=photo))


def test_a_lower_lip_that_shines_hides_no_teeth() -> None:
    """As pale as teeth, a little redder."""
    drawn = shining(drawn_mouth(jaw=4.0), (205, 200, 240))
    cover = cover_of(drawn)
    assert (cover > 0.5)[inner(drawn.teeth, 3)].mean() > 0.8
    assert cover[~drawn.opening].max() < 0.3
