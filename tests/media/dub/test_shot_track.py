from __future__ import annotations

import cv2
import numpy as np
import pytest
from films import moved

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import Points
from s2v.engine.face.photo import Image
from s2v.media.dub.shot_track import Dubbing, ShotTrack
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec.of("s2v")
FPS = 25.0
SCALE = 0.5


@pytest.fixture(scope="module")
def picture(closed_face: EnrolledFace) -> tuple[Image, Points]:
    small = cv2.resize(closed_face.photo, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), closed_face.landmarks * SCALE


def _dubbings(picture: tuple[Image, Points], seen: str) -> list[Dubbing | None]:
    """Args: seen: for each picture, f: the face; c: the mouth covered; t: far away; -: nobody."""
    shot = ShotTrack(0)
    photo, face = picture
    covered = photo.copy()
    low, high = face[[2, 152, 234, 454], :2].min(0).astype(int), face[[2, 152, 234, 454], :2].max(0).astype(int)
    covered[low[1] : high[1], low[0] : high[0]] = (200, 160, 90)
    tiny = (face - face.mean(0)) * 0.3 + face.mean(0)
    kinds = {"f": (photo, face), "c": (covered, face), "t": (photo, tiny), "-": (photo, None)}
    for kind in seen:
        shot.add(*kinds[kind])
    return shot.dubbings(SPEC, FPS)


def _shares(picture: tuple[Image, Points], seen: str) -> list[float]:
    return [0.0 if one is None else one.share for one in _dubbings(picture, seen)]


def test_a_whole_shot_is_dubbed_from_its_first_picture_on(picture: tuple[Image, Points]) -> None:
    assert _shares(picture, "ffffff") == [1.0] * 6


def test_the_new_mouth_comes_and_goes_gently_within_a_shot_and_nobody_is_drawn_on(
    picture: tuple[Image, Points],
) -> None:
    shares = _shares(picture, "ffffffff--------ffffffff")
    assert shares == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, *[0] * 8, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]


def test_a_face_that_is_missed_for_a_moment_is_dubbed_all_the_same(picture: tuple[Image, Points]) -> None:
    assert _shares(picture, "ffff---ffff") == [1.0] * 11


def test_a_covered_mouth_is_left_alone_and_one_wrong_answer_is_outvoted(picture: tuple[Image, Points]) -> None:
    shares = _shares(picture, "ffffffffccccccccffffffff")
    assert shares[10:14] == [0] * 4
    assert shares[:5] == shares[-5:] == [1.0] * 5
    assert _shares(picture, "ffffcffff") == [1.0] * 9


def test_a_glimpse_is_not_worth_it(picture: tuple[Image, Points]) -> None:
    assert _shares(picture, "--------f--------") == [0] * 17
    assert _shares(picture, "tttttttt") == [0] * 8


def test_what_was_missed_is_where_it_went_meanwhile(picture: tuple[Image, Points]) -> None:
    photo, face = picture
    shot = ShotTrack(0)
    for n in range(9):
        there, way = moved(photo, 0.0, 1.0, (3.0 * n, 0.0))
        at = face.copy()
        at[:, :2] += way[:, 2]
        shot.add(there, None if n == 4 else at)
    x = [one.state.held[:, 0].mean() for one in shot.dubbings(SPEC, FPS) if one is not None]
    np.testing.assert_allclose(np.diff(x), 3.0, atol=0.15)


def test_a_jump_begins_another_shot(picture: tuple[Image, Points]) -> None:
    photo, face = picture
    shot = ShotTrack(0)
    shot.add(photo, face)
    assert not shot.begins_anew(face + np.array([2.0, 0, 0]))
    assert not shot.begins_anew(None)
    assert shot.begins_anew(face + np.array([40.0, 0, 0]))
