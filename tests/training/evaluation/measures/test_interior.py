from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import LOWER_INNER_LIP, N_MESH, OUTER_LIPS, UPPER_INNER_LIP, canonical_face
from s2v.training.evaluation.measures.interior import (
    INNER_LIPS,
    enclosed,
    interior_figures,
    look_inside,
    mouth_chroma,
)
from s2v.training.evaluation.measures.teeth_left import teeth_left, tooth_colour

SIZE_PX, UNIT_PX = 320, 150
SKIN, LIP, TOOTH = (150, 175, 215), (110, 100, 190), (205, 225, 230)  # BGR, as the next two
CAVITY, TONGUE = (20, 20, 35), (100, 95, 180)


def face(opening: float) -> np.ndarray:
    """Landmarks (478, 3) in pixels of the canonical face with its lower lip let down, face units."""
    points = canonical_face().copy()
    line = (points[list(UPPER_INNER_LIP)] + points[list(LOWER_INNER_LIP)]) / 2
    points[list(UPPER_INNER_LIP)] = points[list(LOWER_INNER_LIP)] = line
    for index, point in enumerate(LOWER_INNER_LIP[1:-1], 1):
        points[point, 1] += opening * (1 - ((index - 5) / 5) ** 2)
    below = points[:, 1] > line[5, 1] + 0.01
    below[list(LOWER_INNER_LIP)] = False
    points[below, 1] += opening
    pixels = points * UNIT_PX + np.array([SIZE_PX / 2, SIZE_PX / 4, 0])
    return np.concatenate([pixels, np.zeros((478 - N_MESH, 3))])


def picture(landmarks: np.ndarray, rows: list[tuple[int, int, int]]) -> np.ndarray:
    """Skin, lips and, within them, stripes of equal height from the top to the bottom."""
    shown = np.full((SIZE_PX, SIZE_PX, 3), SKIN, np.uint8)
    shown[enclosed(shown.shape[:2], landmarks[list(OUTER_LIPS), :2])] = LIP
    inside = enclosed(shown.shape[:2], landmarks[list(INNER_LIPS), :2])
    if not rows or not inside.any():
        return shown
    ranks = np.argsort(np.argsort(np.nonzero(inside)[0], kind="stable"), kind="stable")
    shown[inside] = np.array(rows, np.uint8)[ranks * len(rows) // inside.sum()]
    return shown


def test_dark_share_redness_and_teeth_are_those_of_the_inside() -> None:
    landmarks = face(0.16)
    look = look_inside(picture(landmarks, [TOOTH, CAVITY, CAVITY, TONGUE]), landmarks)
    assert look is not None
    assert look.dark_share == pytest.approx(0.5, abs=0.02)
    cheek, tooth, tongue = (
        cv2.cvtColor(np.array([[colour]], np.float32) / 255, cv2.COLOR_BGR2LAB)[0, 0]
        for colour in (SKIN, TOOTH, TONGUE)
    )
    assert look.teeth_over_cheek == pytest.approx(tooth[0] / cheek[0], abs=0.02)
    assert look.redness == pytest.approx(tooth[1], abs=1.5)
    fleshy = look_inside(picture(landmarks, [CAVITY, CAVITY, TONGUE, TONGUE]), landmarks)
    assert fleshy is not None and fleshy.redness == pytest.approx(tongue[1], abs=1.5)


def test_darkness_is_told_by_the_cheek_not_by_the_exposure() -> None:
    landmarks = face(0.16)
    bright = picture(landmarks, [TOOTH, (48, 48, 64)])
    assert interior_figures([look_inside(bright, landmarks)])["dark_share"] == pytest.approx(0.5, abs=0.02)
    pale = bright.copy()
    pale[(bright == SKIN).all(-1)] = (70, 80, 100)  # dark skin around the same mouth
    assert interior_figures([look_inside(pale, landmarks)])["dark_share"] == 0


def test_shut_mouths_say_nothing_and_the_others_are_averaged() -> None:
    shut = face(0.0)
    assert look_inside(picture(shut, []), shut) is None
    small = face(0.16) / 16
    assert look_inside(np.full((20, 20, 3), 90, np.uint8), small) is None
    assert interior_figures([None]) == {}
    landmarks = face(0.16)
    looks = [look_inside(picture(landmarks, rows), landmarks) for rows in ([CAVITY], [TOOTH])]
    assert interior_figures([*looks, None])["dark_share"] == pytest.approx(0.5)


def test_chroma_is_looked_for_within_the_lips_only() -> None:
    landmarks = face(0.1)
    coloured = picture(landmarks, [CAVITY, TOOTH])
    luma = np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2GRAY), np.uint8)
    grey = np.repeat(luma[..., None], 3, axis=2)
    assert max(mouth_chroma(grey, landmarks)) < 0.5
    tinted = grey.copy()
    tinted[:20] = (0, 0, 255)  # red hair
    assert max(mouth_chroma(tinted, landmarks)) < 0.5
    inside = enclosed(grey.shape[:2], landmarks[list(INNER_LIPS), :2])
    tinted[inside] = (160, 140, 120)  # bluish teeth
    chroma, redness = mouth_chroma(tinted, landmarks)
    assert chroma > 10 and 1 < redness < chroma


# --- what is left of a smile's teeth -----------------------------------------------------------------------


def test_teeth_are_told_from_lips_by_the_photo_itself() -> None:
    smile, closed = face(0.12), face(0.0)
    colour = tooth_colour(picture(smile, [TOOTH, TOOTH, TOOTH, CAVITY]), smile)
    assert colour is not None
    assert teeth_left(picture(closed, []), closed, colour) == 0
    crumbs = picture(closed, [])
    middle = closed[list(UPPER_INNER_LIP), :2].mean(0).round().astype(int)
    crumbs[middle[1] - 2 : middle[1] + 2, middle[0] - 20 : middle[0] + 20] = TOOTH
    left = teeth_left(crumbs, closed, colour)
    mouth = enclosed(crumbs.shape[:2], closed[list(OUTER_LIPS), :2]).sum()
    assert 160 / mouth < left < 1.6 * 160 / mouth  # of the mouth without its rim
    shining = picture(closed, [])
    shining[middle[1] - 2 : middle[1] + 2, middle[0] - 20 : middle[0] + 20] = (185, 175, 250)  # lighter, as red
    assert teeth_left(shining, closed, colour) == 0


def test_a_photo_whose_teeth_cannot_be_told_from_its_lips_gives_no_colour() -> None:
    smile = face(0.12)
    assert tooth_colour(picture(smile, [LIP]), smile) is None
    assert tooth_colour(picture(smile, [CAVITY]), smile) is None  # open, but no teeth are seen
    shut = face(0.0)
    assert tooth_colour(picture(shut, []), shut) is None


def test_the_teeth_of_a_real_smile_are_where_they_are(smiling_face: EnrolledFace) -> None:
    colour = tooth_colour(smiling_face.photo, smiling_face.landmarks)
    assert colour is not None
    assert colour.teeth[0] > colour.lips[0] + 15 and colour.teeth[1] < colour.lips[1] - 10
    assert teeth_left(smiling_face.photo, smiling_face.landmarks, colour) > 0.2  # the smile itself is full of them
