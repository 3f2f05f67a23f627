from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.face_tables import face_layers, moving_tables
from s2v.engine.compositor.upper_face.eyes import MovingEyes
from s2v.engine.compositor.upper_face.sunglasses import dark_lenses
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import EYES

BLACK, BROWN, BLUE = (18, 15, 15), (25, 40, 62), (90, 50, 25)


@pytest.fixture(params=["closed_face", "smiling_face"])
def face(request: pytest.FixtureRequest) -> EnrolledFace:
    found: EnrolledFace = request.getfixturevalue(request.param)
    return found


def lenses(face: EnrolledFace, eyes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """(h, w) 1 on round lenses before some of the eyes, 0 beside them."""
    mask = np.zeros(face.photo.shape[:2], np.uint8)
    for mesh in (EYES[n] for n in eyes):
        x, y = face.landmarks[[mesh.upper[0], mesh.upper[-1]], :2].mean(0).round().astype(int)
        cv2.circle(mask, (int(x), int(y)), round(0.26 * face.pose.unit_px), 1, -1)
    return mask


def behind(face: EnrolledFace, mask: np.ndarray, picture: np.ndarray, cover: float = 1.0) -> EnrolledFace:
    share = cover * mask[..., None]
    return replace(face, photo=(face.photo * (1 - share) + picture * share).astype(np.uint8))


def mirrored(face: EnrolledFace) -> EnrolledFace:
    """Lenses that show a pale sky over dark trees."""
    level = face.landmarks[[33, 133, 362, 263], 1].mean() + 0.04 * face.pose.unit_px
    rows = np.arange(face.photo.shape[0])[:, None, None]
    return behind(face, lenses(face), np.where(rows < level, (220, 200, 170), (40, 60, 50)))


def shaded(face: EnrolledFace, light: float) -> EnrolledFace:
    """The photo in the shade of a brim down to the middle of the nose. Args: light: share that is left."""
    below = face.landmarks[[33, 133, 362, 263], 1].mean() + 0.22 * face.pose.unit_px
    rows = np.arange(face.photo.shape[0])[:, None, None]
    left = light + (1 - light) / (1 + np.exp((below - rows) / (0.02 * face.pose.unit_px)))
    return replace(face, photo=(255 * ((face.photo / 255) ** 2.2 * left) ** (1 / 2.2)).astype(np.uint8))


def test_bare_eyes_are_none_in_any_light(face: EnrolledFace) -> None:
    assert not dark_lenses(face)
    for light in (0.4, 0.2, 0.1):
        assert not dark_lenses(shaded(face, light))
    grey = cv2.cvtColor(cv2.cvtColor(face.photo, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    assert not dark_lenses(replace(face, photo=np.asarray(grey, np.uint8)))
    assert not dark_lenses(replace(face, photo=(0.25 * face.photo).astype(np.uint8)))


@pytest.mark.parametrize("colour", [BLACK, BROWN, BLUE])
def test_dark_lenses_are_found(face: EnrolledFace, colour: tuple[int, int, int]) -> None:
    assert dark_lenses(behind(face, lenses(face), np.array(colour)))
    assert dark_lenses(behind(face, lenses(face), np.array(colour), cover=0.93))


def test_mirrored_lenses_are_found(face: EnrolledFace) -> None:
    assert dark_lenses(mirrored(face))


def test_lenses_that_show_the_eyes_do_not_count(face: EnrolledFace) -> None:
    assert not dark_lenses(behind(face, lenses(face), np.array(BROWN), cover=0.4))


def test_shut_eyes_do_not_count(face: EnrolledFace) -> None:
    """Skin where the eyes were, with a line of lashes."""
    cheek = np.median(face.photo[tuple(face.landmarks[[50, 280], 1::-1].round().astype(int).T)], axis=0)
    shut = behind(face, cv2.erode(lenses(face), np.ones((9, 9))), cheek)
    for mesh in EYES:
        lid = face.landmarks[list(mesh.lower), :2].round().astype(np.int32)
        cv2.polylines(shut.photo, [lid], False, (40, 40, 60), max(1, round(0.03 * face.pose.unit_px)), cv2.LINE_AA)
    assert not dark_lenses(shut)


def test_one_covered_eye_is_no_pair_of_sunglasses(face: EnrolledFace) -> None:
    assert not dark_lenses(behind(face, lenses(face, (0,)), np.array(BROWN)))


def test_a_photo_without_light_is_no_error(closed_face: EnrolledFace) -> None:
    assert not dark_lenses(replace(closed_face, photo=np.zeros_like(closed_face.photo)))


def test_behind_dark_lenses_nothing_blinks_or_looks_about_and_rims_stay(closed_face: EnrolledFace) -> None:
    worn = behind(closed_face, lenses(closed_face), np.array(BLACK))
    for hidden, face in ((True, worn), (False, closed_face)):
        tables = moving_tables(face, face_layers(face, face.photo, moving=True))
        assert (tables.eyes == ()) == hidden
        assert (tables.room.brows == 0 and tables.room.cheeks == 0) == hidden
        height, width = face.photo.shape[:2]
        rest = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
        source = rest.copy()
        lids = MovingEyes(tables.eyes).move(source, (0, 0), FacePose(closed=0.6, gaze=(0.03, 0.01)))
        assert (lids == [] and np.array_equal(source, rest)) == hidden
