from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from fakes import drawn_face

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.upper_face.eye_tables import eye_tables
from s2v.engine.compositor.upper_face.eyes import UPPER_FOLLOWS, MovingEyes, lay_over
from s2v.engine.compositor.upper_face.lids import SHORTEST_STRIP
from s2v.engine.face.enrolment import EnrolledFace, enrol, face_from_landmarks
from s2v.engine.face.geometry import EYES, EyeMesh, Points
from s2v.engine.face.maps import Map, remap
from s2v.engine.face.photo import Image
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
IRISES = (468, 473)
UPPER_LIDS, LOWER_LIDS = (159, 386), (145, 374)


def rest_map(photo: Image) -> Map:
    height, width = photo.shape[:2]
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


def eyes_of(face: EnrolledFace) -> MovingEyes:
    return MovingEyes(eye_tables(face.photo, face.landmarks, 2))


def drawn(face: EnrolledFace, pose: FacePose, eyes: MovingEyes | None = None) -> Image:
    source = rest_map(face.photo)
    lids = (eyes or eyes_of(face)).move(source, (0, 0), pose)
    frame = remap(face.photo, source)
    lay_over(frame, lids)
    return frame


def opening(landmarks: Points) -> np.ndarray:
    """Of both eyes, in eye widths."""
    tall = np.hypot(*(landmarks[list(UPPER_LIDS)] - landmarks[list(LOWER_LIDS)])[:, :2].T)
    return np.asarray(tall / np.array([eye_width(landmarks, mesh) for mesh in EYES]))


def eye_width(landmarks: Points, mesh: EyeMesh) -> float:
    return float(np.hypot(*(landmarks[mesh.upper[0]] - landmarks[mesh.upper[-1]])[:2]))


def opening_mask(face: EnrolledFace, mesh: EyeMesh, shape: tuple[int, int]) -> np.ndarray:
    outline = face.landmarks[[*mesh.upper, *mesh.lower[-2:0:-1]], :2]
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [outline.round().astype(np.int32)], 1)
    return mask > 0


def squinting(face: EnrolledFace, share: float) -> EnrolledFace:
    """The same photo with landmarks that say its eyes are open by `share` of what they are."""
    landmarks = face.landmarks.copy()
    for mesh in EYES:
        upper, lower = landmarks[list(mesh.upper)], landmarks[list(mesh.lower)]
        landmarks[list(mesh.upper)] = lower + share * (upper - lower)
    return face_from_landmarks(face.photo, landmarks, SPEC)


@pytest.fixture(scope="module", params=["closed_face", "smiling_face"])
def face(request: pytest.FixtureRequest) -> EnrolledFace:
    found: EnrolledFace = request.getfixturevalue(request.param)
    return found


# --- blinks -------------------------------------------------------------------------------------------


def test_a_detector_sees_open_half_closed_and_shut_eyes(closed_face: EnrolledFace) -> None:
    as_photographed = opening(closed_face.landmarks)
    half = opening(enrol(drawn(closed_face, FacePose(closed=0.5)), SPEC).landmarks)
    shut = opening(enrol(drawn(closed_face, FacePose(closed=1.0)), SPEC).landmarks)
    assert (half < 0.85 * as_photographed).all()
    assert (shut < 0.6 * as_photographed).all()
    assert (shut < half).all()


def test_shut_lids_cover_the_whole_eye(face: EnrolledFace) -> None:
    """Nothing of what is between the open lids is left: the eyeball is replaced by skin and lashes."""
    shut = drawn(face, FacePose(closed=1.0)).astype(int)
    for mesh in EYES:
        inside = cv2.erode(opening_mask(face, mesh, face.photo.shape[:2]).astype(np.uint8), np.ones((3, 3))) > 0
        assert (np.abs(shut - face.photo)[inside].max(-1) > 3).mean() > 0.9


def test_under_a_falling_lid_the_eye_stays_as_sharp_as_it_was(face: EnrolledFace) -> None:
    """A hard seam: each pixel of the eye is either still the photo's own or already lid."""
    half = drawn(face, FacePose(closed=0.5)).astype(int)
    for mesh in EYES:
        inside = opening_mask(face, mesh, face.photo.shape[:2])
        same = (np.abs(half - face.photo).max(-1) <= 1) & inside
        assert 0.2 < same.sum() / inside.sum() < 0.75
        columns = np.flatnonzero(inside.sum(0) >= 6)
        for column in columns[len(columns) // 4 : -len(columns) // 4]:
            rows = np.flatnonzero(inside[:, column])
            lid = rows[: len(rows) // 4]  # the upper quarter is covered, what is left is the photo's
            assert same[lid, column].mean() < 0.5


def test_a_blink_changes_nothing_but_the_eyes(face: EnrolledFace) -> None:
    changed = (drawn(face, FacePose(closed=1.0, gaze=(0.04, 0.01))) != face.photo).any(-1)
    near = np.zeros(face.photo.shape[:2], np.uint8)
    for mesh in EYES:
        points = face.landmarks[[*mesh.upper, *mesh.lower], :2]
        low, high = points.min(0), points.max(0)
        reach = 0.45 * eye_width(face.landmarks, mesh)
        corner, opposite = ((int(x), int(y)) for x, y in (low - reach, high + reach))
        cv2.rectangle(near, corner, opposite, 1, -1)
    assert not changed[near == 0].any()
    assert changed.any()


def test_closing_grows_step_by_step(closed_face: EnrolledFace) -> None:
    eyes = eyes_of(closed_face)
    amounts = [
        np.abs(drawn(closed_face, FacePose(closed=closed), eyes).astype(int) - closed_face.photo).sum()
        for closed in (0.0, 0.02, 0.25, 0.5, 0.75, 1.0)
    ]
    assert amounts[0] == 0
    assert amounts[1] < 0.15 * amounts[-1]
    assert amounts == sorted(amounts)


def test_eyes_that_are_closed_on_the_photo_do_not_blink(closed_face: EnrolledFace) -> None:
    sleeper = squinting(closed_face, 0.15)
    assert opening(sleeper.landmarks).max() < 0.09
    frame = drawn(sleeper, FacePose(closed=1.0, gaze=(0.04, 0.0)))
    np.testing.assert_array_equal(frame, sleeper.photo)


def test_narrow_eyes_blink(closed_face: EnrolledFace) -> None:
    narrow = squinting(closed_face, 0.6)
    assert (drawn(narrow, FacePose(closed=1.0)) != narrow.photo).any()


def test_a_rolled_head_blinks_along_its_own_eyes(closed_face: EnrolledFace) -> None:
    height, width = closed_face.photo.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 25, 1)
    warped = cv2.warpAffine(closed_face.photo, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    photo = np.asarray(warped, np.uint8)
    landmarks = closed_face.landmarks.copy()
    landmarks[:, :2] = landmarks[:, :2] @ turn[:, :2].T + turn[:, 2]
    rolled = drawn(face_from_landmarks(photo, landmarks, SPEC), FacePose(closed=1.0))
    upright = drawn(closed_face, FacePose(closed=1.0))
    expected = cv2.warpAffine(upright, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    middle = np.s_[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
    assert np.abs(rolled.astype(int) - expected)[middle].mean() < 1.0


@pytest.mark.parametrize("size_px", [(64, 72), (8, 10)])
def test_eyes_of_a_few_pixels_are_no_error(size_px: tuple[int, int]) -> None:
    face = drawn_face(SPEC, size_px)
    assert drawn(face, FacePose(closed=0.7, gaze=(0.04, 0.0))).shape == face.photo.shape


def test_an_eye_at_the_edge_of_the_photo_is_no_error(closed_face: EnrolledFace) -> None:
    left = int(closed_face.landmarks[33, 0]) + 8
    landmarks = closed_face.landmarks - [left, 0, 0]
    face = face_from_landmarks(np.ascontiguousarray(closed_face.photo[:, left:]), landmarks, SPEC)
    assert (drawn(face, FacePose(closed=1.0)) != face.photo).any()


@pytest.mark.parametrize("closed", [0.25, 0.5])
def test_both_eyes_shut_by_the_same_share_of_their_openings(closed_face: EnrolledFace, closed: float) -> None:
    """Also where one is half as open as the other: what is left of the photo between the lids is the same share."""
    landmarks = closed_face.landmarks.copy()
    mesh = EYES[1]
    lower = landmarks[list(mesh.lower)]
    landmarks[list(mesh.upper)] = lower + 0.5 * (landmarks[list(mesh.upper)] - lower)
    uneven = face_from_landmarks(closed_face.photo, landmarks, SPEC)
    frame = drawn(uneven, FacePose(closed=closed)).astype(int)
    left = []
    for mesh in EYES:
        x, top = uneven.landmarks[mesh.upper[4], :2].round().astype(int)
        bottom = uneven.landmarks[mesh.lower[4], 1].round().astype(int)
        column = np.s_[top:bottom, x - 2 : x + 3]
        left.append((np.abs(frame - uneven.photo)[column].max(-1) <= 1).mean())
    assert left[0] == pytest.approx(left[1], abs=0.12)
    assert 0.5 * (1 - closed) < left[0] < 1.2 * (1 - closed)


def test_an_eye_that_is_narrow_on_the_photo_shuts_at_the_same_time(closed_face: EnrolledFace) -> None:
    eyes = eye_tables(closed_face.photo, closed_face.landmarks, 2)
    narrow = MovingEyes([replace(eye, strength=0.2) for eye in eyes])
    for closed in (0.3, 0.6, 1.0):
        pose = FacePose(closed=closed)
        np.testing.assert_array_equal(drawn(closed_face, pose, narrow), drawn(closed_face, pose, MovingEyes(eyes)))


def test_skin_comes_down_from_above_a_shutting_lid_but_not_behind_glasses(closed_face: EnrolledFace) -> None:
    """A photo pixel above the fold is seen lower down, and nothing under the brow's middle moves."""
    for glasses, moves in ((0.0, True), (1.0, False)):
        eyes = eye_tables(closed_face.photo, closed_face.landmarks, 2, glasses)
        source = rest_map(closed_face.photo)
        MovingEyes(eyes).move(source, (0, 0), FacePose(closed=1.0))
        went = (rest_map(closed_face.photo) - source)[..., 1]
        for eye, mesh in zip(eyes, EYES, strict=True):
            x, y = closed_face.landmarks[mesh.upper[4], :2].round().astype(int)
            above = y - round(eye.strip * eye.width_px) - 1
            assert went[above, x] > 0.4 if moves else went[above, x] == 0
            assert went[y - round((eye.strip + 0.4) * eye.width_px), x] == 0


def test_behind_glasses_only_lashes_ride_with_a_lid_and_no_rim(closed_face: EnrolledFace) -> None:
    for eye in eye_tables(closed_face.photo, closed_face.landmarks, 2, glasses=1.0):
        assert eye.strip == pytest.approx(SHORTEST_STRIP)
    assert any(eye.strip > 1.2 * SHORTEST_STRIP for eye in eye_tables(closed_face.photo, closed_face.landmarks, 2))


def test_lashes_point_down_when_the_lids_are_shut(closed_face: EnrolledFace) -> None:
    """Below the edge of the shut lid it is darker than without the lashes that turn."""
    eyes = eye_tables(closed_face.photo, closed_face.landmarks, 2)
    bald = [replace(eye, plates=eye.plates._replace(lashes=np.zeros_like(eye.plates.lashes))) for eye in eyes]
    for closed in (0.4, 1.0):
        pose = FacePose(closed=closed)
        with_lashes, without = (drawn(closed_face, pose, MovingEyes(these)).astype(int) for these in (eyes, bald))
        darker = (without - with_lashes).sum(-1)
        assert darker.min() >= -3
        assert (darker.max() > 60) == (closed == 1.0)


# --- lids that follow --------------------------------------------------------------------------------


def test_zero_amounts_leave_map_and_frame_as_they_are(face: EnrolledFace) -> None:
    source = rest_map(face.photo)
    assert eyes_of(face).move(source, (0, 0), FacePose(brows=0.05, corners=0.02, yaw=0.1)) == []
    np.testing.assert_array_equal(source, rest_map(face.photo))


def test_a_detector_sees_eyes_open_wider_and_narrower(closed_face: EnrolledFace) -> None:
    seen = [
        opening(enrol(drawn(closed_face, FacePose(widen=widen)), SPEC).landmarks).mean() for widen in (-0.3, 0.0, 0.2)
    ]
    assert seen[0] < 0.93 * seen[1]
    assert seen[2] > 1.04 * seen[1]


@pytest.mark.parametrize("pose", [FacePose(widen=0.2), FacePose(widen=-0.3), FacePose(gaze=(0.0, 0.05))])
def test_lids_that_bend_the_map_tear_no_skin(closed_face: EnrolledFace, pose: FacePose) -> None:
    """Beside the seam between lid and eyeball, neighbours stay neighbours."""
    source = rest_map(closed_face.photo)
    assert eyes_of(closed_face).move(source, (0, 0), pose) == []
    step = np.abs(np.diff(source - rest_map(closed_face.photo), axis=0)).max(-1)
    for mesh in EYES:
        width = eye_width(closed_face.landmarks, mesh)
        edge = closed_face.landmarks[[*mesh.upper, *mesh.lower], :2]
        near = np.zeros(step.shape, np.uint8)
        cv2.fillPoly(near, [cv2.convexHull(edge.round().astype(np.int32))], 1)
        near = cv2.dilate(near, np.ones((2 * round(0.12 * width) + 1,) * 2))
        left, right = (int(n) for n in (edge[:, 0].min() - width / 2, edge[:, 0].max() + width / 2))
        assert step[:, left:right][near[:, left:right] == 0].max() < 0.5


def test_the_upper_lid_follows_a_look_down_and_a_raised_cheek_lifts_the_lower_one(closed_face: EnrolledFace) -> None:
    """The photo pixel of each lid's edge is looked up further down, or up, by what they are told."""
    for pose, lids, expected in (
        (FacePose(gaze=(0.0, 0.05)), UPPER_LIDS, UPPER_FOLLOWS * 0.05),
        (FacePose(cheeks=1.0), LOWER_LIDS, None),
    ):
        source = rest_map(closed_face.photo)
        eyes_of(closed_face).move(source, (0, 0), pose)
        for lid, mesh in zip(lids, EYES, strict=True):
            x, y = closed_face.landmarks[lid, :2].round().astype(int)
            width = eye_width(closed_face.landmarks, mesh)
            skin = y - 2 if lid in UPPER_LIDS else y + 2
            went = (skin - source[skin, x, 1]) / width
            if expected is None:
                assert -0.12 < went < -0.02
            else:
                assert 0.5 * expected < went < 1.1 * expected


def test_a_blink_begins_where_a_look_down_has_left_the_lid(closed_face: EnrolledFace) -> None:
    """No jump from the lid that bends the map to the lid that is painted."""
    eyes, down = eyes_of(closed_face), (0.0, 0.05)
    looking = drawn(closed_face, FacePose(gaze=down), eyes).astype(int)
    begins = drawn(closed_face, FacePose(gaze=down, closed=0.01), eyes).astype(int)
    whole = drawn(closed_face, FacePose(gaze=down, closed=0.5), eyes).astype(int)
    assert np.abs(begins - looking).sum() < 0.12 * np.abs(whole - looking).sum()


# --- gaze ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [-1, 1])
def test_irises_move_by_what_they_are_told_and_lids_stay(closed_face: EnrolledFace, side: int) -> None:
    before = closed_face.landmarks
    after = enrol(drawn(closed_face, FacePose(gaze=(side * 0.08, 0.0))), SPEC).landmarks
    for iris, mesh in zip(IRISES, EYES, strict=True):
        moved = (after[iris] - before[iris])[0] / eye_width(before, mesh)
        assert 0.04 < side * moved < 0.11
    assert np.abs(after - before)[[*UPPER_LIDS, *LOWER_LIDS], :2].max() < 1.5  # px: the detector's own trembling


def test_a_look_aside_bends_only_what_is_between_the_lids(closed_face: EnrolledFace) -> None:
    source = rest_map(closed_face.photo)
    assert eyes_of(closed_face).move(source, (0, 0), FacePose(gaze=(0.04, 0.0))) == []
    moved = np.abs(source - rest_map(closed_face.photo)).max(-1) > 0
    open_eyes = np.zeros(moved.shape, bool)
    for mesh in EYES:
        open_eyes |= opening_mask(closed_face, mesh, moved.shape)
    near = cv2.dilate(open_eyes.astype(np.uint8), np.ones((5, 5))) > 0
    assert moved.any()
    assert not (moved & ~near).any()


def test_eyes_at_rest_leave_the_map_alone(closed_face: EnrolledFace) -> None:
    source = rest_map(closed_face.photo)
    assert eyes_of(closed_face).move(source, (0, 0), FacePose(breath=1.0)) == []
    np.testing.assert_array_equal(source, rest_map(closed_face.photo))
