from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_mouths import DARK, LIP, TOOTH, drawn_mouth

from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.compositor.mouth.inside_edges import inside_edges
from s2v.engine.compositor.mouth.open_photo import without_inside
from s2v.engine.face.enrolment import EnrolledFace
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()


def toothy(picture: np.ndarray, where: np.ndarray) -> int:
    """How many pixels are nearer to TOOTH than to LIP."""
    colours = picture[where].astype(float)
    return int((np.linalg.norm(colours - TOOTH, axis=-1) < np.linalg.norm(colours - LIP, axis=-1)).sum())


def test_a_photo_of_closed_lips_is_itself(closed_face: EnrolledFace) -> None:
    assert without_inside(closed_face) is closed_face.photo
    assert inside_edges(closed_face) is None


def test_only_what_lies_between_the_lips_changes() -> None:
    drawn = drawn_mouth()
    before = drawn.face.photo.copy()
    closed = without_inside(drawn.face)
    np.testing.assert_array_equal(drawn.face.photo, before)
    changed = (closed != before).any(-1)
    assert changed[drawn.opening].mean() > 0.9
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15))  # 0.05 face units
    assert not changed[cv2.dilate(drawn.opening.astype(np.uint8), reach) == 0].any()


@pytest.mark.parametrize("landmarks_inside", [0.0, 0.02])
def test_teeth_leave_the_photo_also_where_the_landmarks_miss_them(landmarks_inside: float) -> None:
    drawn = drawn_mouth(landmarks_inside=landmarks_inside)
    assert toothy(drawn.face.photo, drawn.lips) > 300
    assert toothy(without_inside(drawn.face), drawn.lips) == 0


@pytest.mark.parametrize("jaw", [1.0, 2.0, 4.0])
def test_a_mouth_that_was_open_shows_neither_teeth_nor_a_hole_at_rest(jaw: float) -> None:
    drawn = drawn_mouth(jaw=jaw)
    still = MotionCompositor(drawn.face, SPEC).still
    assert toothy(still, drawn.lips) <= toothy(drawn.face.photo, drawn.lips & ~drawn.opening)
    dark = np.linalg.norm(still.astype(float) - DARK, axis=-1) < 40
    assert dark[drawn.opening].mean() < 0.1  # the corners keep their shade


def test_what_takes_its_place_is_the_lip_and_darkens_inwards() -> None:
    drawn = drawn_mouth(jaw=4.0)
    closed = without_inside(drawn.face).astype(float)
    rows = np.flatnonzero(drawn.opening[:, 180])
    column = closed[rows[0] : rows[-1] + 1, 180]
    share = column / np.array(LIP, float)
    assert np.ptp(share[:, :2], axis=1).max() < 0.12  # the lip's colour, more or less of it, ...
    assert (share[:, 2] > share[:, :2].max(1) - 0.03).all()  # ... redder in its depth
    light = share.mean(1)
    middle = len(light) // 2
    assert light[0] > 0.85 and light[-1] > 0.85
    assert light[middle] < 0.8
    assert (np.diff(light[:middle]) < 0.01).all() and (np.diff(light[middle + 1 :]) > -0.01).all()


def test_a_grey_photo_stays_grey() -> None:
    drawn = drawn_mouth(lip=(110, 110, 110), tooth=(220, 220, 220))
    grey = cv2.cvtColor(drawn.face.photo, cv2.COLOR_BGR2GRAY)
    face = EnrolledFace(**{**vars(drawn.face), "photo": cv2.merge([grey] * 3)})
    closed = without_inside(face)
    assert (closed != face.photo).any()
    assert np.ptp(closed.astype(int), axis=-1).max() <= 1


def test_a_laughing_photo_comes_to_rest_without_its_teeth(smiling_face: EnrolledFace) -> None:
    edges = inside_edges(smiling_face)
    assert edges is not None and edges.colours.teeth is not None
    still = MotionCompositor(smiling_face, SPEC).still
    shares = []
    for picture in (smiling_face.photo, still):
        lab = cv2.cvtColor(picture.astype(np.float32) / np.float32(255), cv2.COLOR_BGR2LAB).astype(np.float32)
        mouth = np.zeros(lab.shape[:2], np.uint8)
        outline = smiling_face.landmarks[[78, 81, 13, 311, 308, 402, 14, 178], :2]
        cv2.fillPoly(mouth, [outline.round().astype(np.int32)], 1)
        shares.append(float((edges.colours.toothness(lab, edges.colours.lower_lip) > 0.6)[mouth > 0].mean()))
    assert shares[0] > 0.4
    assert shares[1] < 0.02  # 0.014; 0.035 if the photo itself is warped


def test_the_shade_between_closed_lips_is_red_and_grey_on_a_photo_without_colours() -> None:
    """As grey as it was it showed as a dark stair along pale lips."""
    drawn = drawn_mouth(jaw=4.0)
    middle = round(float(np.flatnonzero(drawn.opening[:, 180]).mean()))
    blue, green, red = without_inside(drawn.face)[middle, 180] / np.array(LIP, float)
    assert red > 1.3 * max(blue, green) and max(blue, green) < 0.7
    grey = np.repeat(cv2.cvtColor(drawn.face.photo, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
    closed = without_inside(replace(drawn.face, photo=np.ascontiguousarray(grey)))
    assert np.ptp(closed[middle, 180].astype(int)) <= 2
