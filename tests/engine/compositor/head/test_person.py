from __future__ import annotations

import cv2
import numpy as np
import pytest

from s2v.engine.compositor.head import person as person_module
from s2v.engine.compositor.head.person import Matte, person_matte, settled_by_colour, sure_skull
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.geometry import FacePlane
from s2v.spec import LipSyncSpec


def matte_of(face: EnrolledFace) -> Matte:
    return person_matte(face.photo, face.landmarks, face.plane)


@pytest.fixture(scope="module")
def closed_matte(closed_face: EnrolledFace) -> Matte:
    return matte_of(closed_face)


def overlap(one: Matte, other: Matte) -> float:
    """Share of what either holds that both hold."""
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


def test_a_person_is_cut_out_with_hair_and_shirt(closed_face: EnrolledFace, closed_matte: Matte) -> None:
    height, width = closed_face.photo.shape[:2]
    assert closed_matte.shape == (height, width)
    assert closed_matte.dtype == np.float32
    assert closed_matte.min() >= 0
    assert closed_matte.max() <= 1
    assert closed_matte[300:, 200:320].min() > 0.95  # the shirt
    assert closed_matte[40, 240] > 0.95  # the hair, above what the mesh knows
    for sky in (np.s_[:200, :100], np.s_[:200, -130:], np.s_[260:, -40:]):
        assert closed_matte[sky].max() < 0.02
    assert (closed_matte[sure_skull(closed_face.landmarks, closed_face.plane, (height, width)) > 0] == 1).all()


def test_the_same_photo_gives_the_same_matte(
    closed_face: EnrolledFace, closed_matte: Matte, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.testing.assert_array_equal(matte_of(closed_face), closed_matte)
    monkeypatch.setattr(person_module, "_SEEN_FACE", 1.1)  # as if the network saw nobody: GrabCut draws at random
    first = matte_of(closed_face)
    cv2.setRNGSeed(77)
    np.testing.assert_array_equal(matte_of(closed_face), first)


def test_where_the_network_sees_nobody_colours_tell(
    closed_face: EnrolledFace, closed_matte: Matte, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person_module, "_answer", lambda network, picture: np.zeros(picture.shape[:2], np.float32))
    assert overlap(matte_of(closed_face), closed_matte) > 0.8


def test_somebody_else_on_the_photo_is_background(closed_face: EnrolledFace, smiling_face: EnrolledFace) -> None:
    beside = cv2.resize(smiling_face.photo, (512, 512))[:, 60:]
    both = np.hstack([closed_face.photo[:, :440], beside])
    scale = 512 / smiling_face.photo.shape[0]
    shift = np.array([440 - 60, 0])
    right = smiling_face.landmarks * scale + [*shift, 0]
    left = person_matte(both, closed_face.landmarks, closed_face.plane)
    assert left[:, 520:].max() < 0.05
    assert left[330, 230] > 0.95
    other = face_from_landmarks(both, right, LipSyncSpec())
    assert matte_of(other)[:, :300].max() < 0.05


def test_a_small_photo_is_cut_out_alike(closed_face: EnrolledFace, closed_matte: Matte) -> None:
    small = np.asarray(cv2.resize(closed_face.photo, (160, 160), interpolation=cv2.INTER_AREA), np.uint8)
    scale = 160 / 512
    matte = person_matte(small, closed_face.landmarks * scale, FacePlane(closed_face.plane.matrix * scale))
    expected = np.asarray(cv2.resize(closed_matte, (160, 160), interpolation=cv2.INTER_AREA), np.float32)
    assert overlap(matte, expected) > 0.94


def test_a_small_head_on_a_wide_photo_is_looked_at_closer(
    closed_face: EnrolledFace, closed_matte: Matte, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, top = 900, 500
    wide = np.asarray(cv2.copyMakeBorder(closed_face.photo, top, 0, left, left, cv2.BORDER_REPLICATE), np.uint8)
    plane = FacePlane(closed_face.plane.matrix + np.array([[0, 0, left], [0, 0, top]]))
    landmarks = closed_face.landmarks + np.array([left, top, 0])
    closer = person_matte(wide, landmarks, plane)
    assert closer[:, :600].max() < 0.05
    monkeypatch.setattr(person_module, "_around", lambda *_: None)
    as_a_whole = person_matte(wide, landmarks, plane)
    part = np.s_[top:, left:-left]
    assert overlap(closer[part], closed_matte) > max(0.8, overlap(as_a_whole[part], closed_matte) + 0.01)


def test_where_the_network_is_in_doubt_colours_tell() -> None:
    picture = np.full((200, 200, 3), (190, 200, 210), np.uint8)
    picture[60:, 60:140] = (30, 50, 90)  # the person
    picture[80:120, 140:165] = (30, 50, 90)  # a lock that the network doubts
    likely = np.zeros((200, 200), np.float32)
    likely[60:, 60:140] = 1
    likely[80:120, 140:165] = likely[80:120, 35:60] = 0.5  # on the other side it doubts the wall
    settled = settled_by_colour(picture, likely, 80.0)
    assert settled[84:116, 144:160].min() > 0.9
    assert settled[84:116, 40:56].max() < 0.1
    np.testing.assert_array_equal(settled[150:, :30], 0)
    np.testing.assert_array_equal(settled[130:, 70:130], 1)
    np.testing.assert_array_equal(settled_by_colour(picture, (likely > 0.7).astype(np.float32), 80.0), likely > 0.7)
