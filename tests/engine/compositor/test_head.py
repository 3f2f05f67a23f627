from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes import drawn_face

from s2v.engine.behaviour.idle_motion import ROLL_DEGREES, SHIFT_X_UNITS, SHIFT_Y_UNITS, IdleMotion
from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.face_tables import lower_face_box
from s2v.engine.compositor.head import MovingHead
from s2v.engine.compositor.head_tables import FINE, HeadTables, fine_photo, head_tables
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.geometry import N_MESH, Points
from s2v.engine.face.photo import Image
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
ROLL = float(np.radians(ROLL_DEGREES))
EXTREMES = [
    FacePose(shift=(x * SHIFT_X_UNITS, y * SHIFT_Y_UNITS), roll=turn * ROLL, breath=breath)
    for x, y, turn, breath in [(1, 1, 1, 1), (-1, 1, -1, 0), (1, -1, -1, 1), (-1, -1, 1, 0.5)]
]


def tables_of(face: EnrolledFace) -> HeadTables:
    return head_tables(face.photo, face.landmarks, face.plane, lower_face_box(face))


def head_of(face: EnrolledFace) -> MovingHead:
    return MovingHead(tables_of(face))


def cropped(face: EnrolledFace, left: int, top: int, right: int, bottom: int) -> EnrolledFace:
    """The same face on a part of its photo."""
    photo = np.ascontiguousarray(face.photo[top:bottom, left:right])
    return face_from_landmarks(photo, face.landmarks - [left, top, 0], SPEC)


@pytest.fixture(scope="module")
def tight(closed_face: EnrolledFace) -> EnrolledFace:
    """A photo that ends at the chin, the ears and the middle of the forehead."""
    low, high = closed_face.landmarks[:N_MESH, :2].min(0), closed_face.landmarks[:N_MESH, :2].max(0)
    return cropped(closed_face, int(low[0]), int(low[1]) + 12, int(high[0]) & ~1, int(high[1] + 4) & ~1)


@pytest.fixture(scope="module", params=["roomy", "tight", "drawn"])
def face(request: pytest.FixtureRequest, closed_face: EnrolledFace, tight: EnrolledFace) -> EnrolledFace:
    return {"roomy": closed_face, "tight": tight, "drawn": drawn_face(SPEC)}[request.param]


@pytest.fixture(scope="module")
def head(face: EnrolledFace) -> MovingHead:
    return head_of(face)


def displacement(head: MovingHead, pose: FacePose) -> np.ndarray:
    """Photo pixels, (h, w, 2) of the head's box."""
    left, top, right, bottom = head.box
    here = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), -1)
    return head.source_map(pose) - here


def drawn(head: MovingHead, photo: Image, pose: FacePose) -> Image:
    frame = photo.copy()
    head.look_up(head.source_map(pose), frame)
    return frame


def at_points(field: np.ndarray, points: Points, origin: tuple[int, int]) -> np.ndarray:
    places = (points - origin).astype(np.float32)[None]
    return np.asarray(cv2.remap(field.astype(np.float32), places, None, cv2.INTER_LINEAR)[0])


def sharpness(picture: Image) -> float:
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def test_at_rest_everything_is_where_it_was(head: MovingHead, face: EnrolledFace) -> None:
    assert np.abs(displacement(head, FacePose())).max() < 1e-3
    change = np.abs(drawn(head, face.photo, FacePose()).astype(int) - face.photo)
    assert change.max() <= 8  # the finest detail is lifted by a touch
    assert change.mean() < 0.5


@pytest.mark.parametrize("pose", EXTREMES)
def test_the_face_moves_as_one_piece_and_as_told(closed_face: EnrolledFace, pose: FacePose) -> None:
    head = head_of(closed_face)
    face_points = closed_face.landmarks[:N_MESH, :2]
    forward = head.forward(pose)
    carried = face_points @ forward[:, :2].T + forward[:, 2]
    # Where a point is carried to, the frame shows that point. (The breath lifts what is below the lips.)
    still_breath = FacePose(pose.shift, roll=pose.roll)
    back = carried + at_points(displacement(head, still_breath), carried, head.box[:2])
    assert np.abs(back - face_points).max() < 0.06
    assert np.hypot(*(carried - face_points).T).max() < head.reach_px
    # On the whole it goes where the pose says: right, down and clockwise are positive.
    unit_px = closed_face.pose.unit_px
    chin, brow = carried[152] - face_points[152], carried[9] - face_points[9]
    assert chin[1] == pytest.approx(pose.shift[1] * unit_px, abs=0.4)
    assert np.sign((brow - chin)[0]) == np.sign(pose.roll)


@pytest.mark.parametrize("pose", EXTREMES)
def test_the_picture_never_tears(head: MovingHead, pose: FacePose) -> None:
    field = displacement(head, pose)
    stretch = max(float(np.abs(np.diff(field, axis=axis)).max()) for axis in (0, 1))
    assert stretch < 0.12  # pixels per pixel: far from a fold, which is 1


@pytest.mark.parametrize("pose", EXTREMES)
def test_the_border_of_the_photo_stays(head: MovingHead, face: EnrolledFace, pose: FacePose) -> None:
    frame = drawn(head, face.photo, pose)
    height, width = frame.shape[:2]
    unmoved = np.ones((height, width), bool)
    for left, top, right, bottom in tables_of(face).bands:
        unmoved[top:bottom, left:right] = False
    assert (frame == face.photo).all(-1)[unmoved].all()
    whole = np.zeros((height, width, 2))
    left, top, right, bottom = head.box
    whole[top:bottom, left:right] = displacement(head, pose)
    for edge in (whole[0], whole[-1], whole[:, 0], whole[:, -1]):
        assert np.abs(edge).max() < 0.05


def test_a_face_without_room_around_it_moves_less(closed_face: EnrolledFace, tight: EnrolledFace) -> None:
    assert tables_of(closed_face).scale == 1
    assert tables_of(tight).scale < 0.5


def test_breath_lifts_the_shoulders_and_not_the_lips(closed_face: EnrolledFace) -> None:
    head = head_of(closed_face)
    field = displacement(head, FacePose(breath=1.0))
    lips = closed_face.landmarks[[13, 14, 61, 291, 17, 0], :2]
    assert np.abs(at_points(field, lips, head.box[:2])).max() < 0.02
    chin = closed_face.landmarks[152, :2]
    below = chin + np.array([0, 0.45 * closed_face.pose.unit_px])
    lifted = at_points(field, below[None], head.box[:2])[0]
    assert lifted[1] > 0.15  # px: the frame shows what was further down
    assert abs(lifted[0]) < 0.25 * lifted[1]  # along the face, which is tilted a little


def test_nothing_of_the_sharpness_is_lost(closed_face: EnrolledFace) -> None:
    head, motion = head_of(closed_face), IdleMotion(3, SPEC.fps)
    low = closed_face.landmarks[:N_MESH, :2].min(0).astype(int)
    high = closed_face.landmarks[:N_MESH, :2].max(0).astype(int)
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    before = sharpness(closed_face.photo[part])
    after = [sharpness(drawn(head, closed_face.photo, motion.at(frame))[part]) for frame in range(40, 400, 45)]
    assert 0.97 < np.mean(after) / before < 1.03


def test_the_fine_grid_begins_on_the_photos_own_pixels(closed_photo: Image) -> None:
    part = closed_photo[200:260, 180:280]
    fine = fine_photo(part)
    assert fine.shape == (60 * FINE, 100 * FINE, 4)
    assert np.abs(fine[::FINE, ::FINE, :3].astype(int) - part).max() <= 8
    # Between two pixels of a smooth ramp lies their mean.
    ramp = np.repeat(np.arange(0, 240, 3, dtype=np.uint8)[None, :, None], 40, 0).repeat(3, 2)
    steps = fine_photo(ramp)[80, 160:200, 0].astype(int)
    np.testing.assert_allclose(steps, 120 + 0.75 * np.arange(40), atol=1.01)
