"""The head in pictures: where it goes, what stays, and how sharp it is."""

from __future__ import annotations

import weakref
from dataclasses import replace
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from fakes import drawn_face
from poses import pose_at

from s2v.engine.behaviour.pose import AT_REST, FacePose
from s2v.engine.compositor.face_tables import lower_face_box
from s2v.engine.compositor.head.drawing import MovingHead, _longest_run
from s2v.engine.compositor.head.fine_photo import FINE
from s2v.engine.compositor.head.layers import Layers, layers
from s2v.engine.compositor.head.tables import HeadTables, head_tables
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.geometry import FACE_OVAL, N_MESH, Points
from s2v.engine.face.photo import Image
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
POSES = [
    FacePose(yaw=0.12, pitch=0.06, shift=(0.03, -0.02), breath=1.0),
    FacePose(yaw=-0.12, roll=0.05, lean=0.05),
    FacePose(pitch=-0.08, roll=-0.05, shift=(-0.06, 0.05), breath=0.5),
    FacePose(pitch=0.09, lean=-0.03, shift=(0.06, 0.06)),
]


def tables_of(face: EnrolledFace, cut: Layers | None = None) -> HeadTables:
    cut = cut or layers(face.photo, face.landmarks, face.plane)
    return head_tables(cut, face.landmarks, face.pose, face.plane, lower_face_box(face))


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
def tables(face: EnrolledFace) -> HeadTables:
    return tables_of(face)


@pytest.fixture(scope="module")
def head(tables: HeadTables) -> MovingHead:
    return MovingHead(tables)


@pytest.fixture(scope="module")
def roomy(closed_face: EnrolledFace) -> HeadTables:
    return tables_of(closed_face)


def drawn(head: MovingHead, pose: FacePose) -> Image:
    frame = head.background.copy()
    head.look_up(head.source(pose), frame)
    return frame


def displacement(head: MovingHead, pose: FacePose) -> np.ndarray:
    """Photo pixels, (h, w, 2) of the head's box."""
    left, top, right, bottom = head.box
    here = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), -1)
    return head.source(pose).map - here


def at_points(field: np.ndarray, points: Points, origin: tuple[int, int]) -> np.ndarray:
    places = (points - origin).astype(np.float32)[None]
    return np.asarray(cv2.remap(field.astype(np.float32), places, None, cv2.INTER_LINEAR)[0])


def gradient_energy(picture: Image) -> float:
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return float((cv2.Sobel(grey, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(grey, cv2.CV_32F, 0, 1) ** 2).mean())


def test_at_rest_everything_is_where_it_was(head: MovingHead, face: EnrolledFace) -> None:
    assert np.abs(displacement(head, AT_REST)).max() < 1e-3
    change = np.abs(drawn(head, AT_REST).astype(int) - face.photo)
    assert change.max() <= 16  # the finest detail is lifted by a touch
    assert np.quantile(change, 0.999) <= 5
    assert change.mean() < 0.5


@pytest.mark.parametrize("pose", POSES)
def test_where_a_point_is_carried_to_the_frame_shows_it(closed_face: EnrolledFace, pose: FacePose) -> None:
    head = MovingHead(tables_of(closed_face))
    mouth = closed_face.landmarks[[61, 291, 13, 14, 0, 17, 78, 308], :2]
    carried = head.carry(pose, mouth)
    back = carried + at_points(displacement(head, pose), carried, head.box[:2])
    assert np.abs(back - mouth).max() < 0.2
    assert np.abs(carried - mouth).max() > 1.5
    # On the average as an affine map; the mouth's corners lie deeper than its middle.
    forward = head.forward(pose)
    assert np.abs(mouth @ forward[:, :2].T + forward[:, 2] - carried).max() < 0.02 * closed_face.pose.unit_px


def test_going_there_and_back_ends_within_a_tenth_of_a_pixel(roomy: HeadTables) -> None:
    head = MovingHead(roomy)
    rows, columns = roomy.cells.shape[:2]
    places = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)
    for pose in POSES:
        came = head.source(pose).coarse
        goes = np.tensordot(roomy.motion.coefficients(roomy.limits.limited(pose)).T, roomy.terms, 1) / roomy.cell_px
        goes = np.moveaxis(goes, 0, -1).astype(np.float32)
        off_px = np.hypot(*np.moveaxis(came + cv2.remap(goes, came, None, cv2.INTER_LINEAR) - places, -1, 0))
        off_px *= roomy.cell_px
        shown = roomy.cover[
            came[..., 1].round().astype(int).clip(0, rows - 1), came[..., 0].round().astype(int).clip(0, columns - 1)
        ]
        within = ((roomy.cells >= 0) & (roomy.cells < roomy.background.shape[1::-1])).all(-1)
        assert np.quantile(off_px[(shown > 0) & within], 0.99) < 0.1
        assert np.abs(came - places).max() * roomy.cell_px > 3


@pytest.mark.parametrize("pose", POSES)
def test_the_picture_never_tears(head: MovingHead, tables: HeadTables, pose: FacePose) -> None:
    field = displacement(head, pose)
    places = (head.source(pose).map - np.array(tables.layer_box[:2])).astype(np.float32)
    shown = cv2.remap(np.ascontiguousarray(tables.fine[::FINE, ::FINE, 3]), places, None, cv2.INTER_LINEAR)
    for axis in (0, 1):
        stretch = np.abs(np.diff(field, axis=axis)).max(-1)
        assert stretch[(shown < 255)[: stretch.shape[0], : stretch.shape[1]]].max() < 0.75  # 1 is a fold


def test_the_head_goes_where_it_is_told(closed_face: EnrolledFace, roomy: HeadTables) -> None:
    head, unit_px = MovingHead(roomy), closed_face.pose.unit_px
    x, y = head.eyes_shift(FacePose(shift=(0.04, 0.0)))
    assert x == pytest.approx(0.04 * unit_px, abs=1) and abs(y) <= 1
    nose, corner = closed_face.landmarks[[4, 234], :2]
    for yaw in (-0.1, 0.1):
        shown = at_points(displacement(head, FacePose(yaw=yaw)), np.stack([nose, corner]), head.box[:2])[:, 0]
        assert np.sign(shown[0]) == -np.sign(yaw)  # the frame shows what was to the other side
        assert abs(shown[0]) > 3 * abs(shown[1])  # the edge by the ear barely moves
    nodding = at_points(displacement(head, FacePose(pitch=0.1)), nose[None], head.box[:2])[0]
    assert nodding[1] < -0.03 * unit_px
    shift_x, _ = head.depth_shift(FacePose(yaw=0.1))
    assert -0.12 * unit_px < shift_x < -0.05 * unit_px


@pytest.mark.parametrize("pose", POSES)
def test_outside_the_halo_the_background_is_the_photo_to_the_bit(closed_face: EnrolledFace, pose: FacePose) -> None:
    cut = layers(closed_face.photo, closed_face.landmarks, closed_face.plane)
    tables = tables_of(closed_face, cut)
    head = MovingHead(tables)
    frame = drawn(head, pose)
    reach = int(np.abs(displacement(head, pose)).max()) + 3
    near = cv2.dilate((cut.matte > 0).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    assert (frame == closed_face.photo)[~near].all()
    assert (~near).mean() > 0.15
    # And wherever the layer that was moved there covers nothing.
    left, top, right, bottom = head.box
    matte = cv2.remap(cut.matte, head.source(pose).map, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    inside = np.zeros(cut.matte.shape, bool)
    inside[top:bottom, left:right] = cv2.dilate(matte, np.ones((5, 5), np.uint8)) == 0
    assert (frame == tables.background)[inside].all()


def test_the_layer_lies_over_the_background_and_hides_it_inside() -> None:
    face = drawn_face(SPEC, (301, 360))
    height, width = face.photo.shape[:2]
    oval = np.zeros((height, width), np.uint8)
    cv2.fillPoly(oval, [face.landmarks[list(FACE_OVAL), :2].round().astype(np.int32)], 255)
    wide = cv2.dilate(oval, np.ones((31, 31), np.uint8)).astype(np.float32) / 255
    matte = np.asarray(cv2.GaussianBlur(wide, (0, 0), 4), np.float32)
    matte[matte < 0.01], matte[matte > 0.99] = 0, 1
    red, blue = (np.full((height, width, 3), colour, np.uint8) for colour in ((0, 0, 250), (250, 0, 0)))
    at_rest = (blue + matte[..., None] * (red.astype(np.float32) - blue) + 0.5).astype(np.uint8)
    head = MovingHead(tables_of(face, Layers(at_rest, matte, blue, matte)))
    pose = FacePose(shift=(0.06, -0.03), roll=0.03)
    frame = drawn(head, pose)
    left, top, right, bottom = head.box
    wanted = np.zeros((height, width), np.float32)
    wanted[top:bottom, left:right] = cv2.remap(matte, head.source(pose).map, None, cv2.INTER_LINEAR)
    shown = blue + wanted[..., None] * (red.astype(np.float32) - blue)
    above_neck = np.s_[: int(face.landmarks[152, 1])]
    assert np.abs(frame - shown)[above_neck].max() <= 8
    assert (np.abs(wanted - matte) > 0.5).sum() > 200  # it has moved


@pytest.mark.parametrize("pose", POSES)
def test_the_lower_border_of_the_photo_stays(head: MovingHead, pose: FacePose) -> None:
    assert head.box[3] == head.background.shape[0]
    assert np.abs(displacement(head, pose)[-1]).max() < 0.1  # neck, shoulders


@pytest.fixture(scope="module")
def cut_off(closed_face: EnrolledFace) -> EnrolledFace:
    """A photo that ends in the middle of the forehead and far enough from the face elsewhere."""
    return cropped(closed_face, 0, int(closed_face.landmarks[10, 1]) + 8, *closed_face.photo.shape[1::-1])


@pytest.mark.parametrize("pose", POSES)
def test_a_head_that_the_upper_border_cuts_off_keeps_its_shape(cut_off: EnrolledFace, pose: FacePose) -> None:
    tables = tables_of(cut_off)
    field = displacement(MovingHead(tables), pose)
    left = tables.box[0]
    low, high = cut_off.landmarks[[70, 300], 0].astype(int) - left  # between the ends of the brows
    depth_px = int(cut_off.landmarks[[70, 300], 1].min())
    # It goes with the brows, and nothing is squeezed or drawn out towards the border.
    upper, lower = field[0, low:high], field[depth_px, low:high]
    assert np.abs(upper).max() > 1
    assert np.abs(np.diff(field[:depth_px, low:high], axis=0)).max() < 0.12
    assert np.abs(upper - lower).max() < 0.1 * depth_px


@pytest.mark.parametrize("pose", POSES)
def test_what_comes_in_from_beyond_the_border_is_more_of_the_head(cut_off: EnrolledFace, pose: FacePose) -> None:
    tables = tables_of(cut_off)
    head = MovingHead(tables)
    source, frame = head.source(pose).map, drawn(head, pose)
    assert tables.layer_box[1] < 0 and source[..., 1].min() >= tables.layer_box[1]
    low, high = cut_off.landmarks[[70, 300], 0].astype(int)
    mirrored = np.abs(source[:3, low - head.box[0] : high - head.box[0]])
    wanted = cv2.remap(cut_off.photo, mirrored, None, cv2.INTER_LINEAR)
    shown = frame[head.box[1] : head.box[1] + 3, low:high]
    assert np.abs(shown.astype(int) - wanted).mean() < 3


def test_a_face_without_room_around_it_moves_less(roomy: HeadTables, tight: EnrolledFace) -> None:
    assert roomy.limits.turn_share > 0.9 and roomy.limits.x_share == 1
    limits = tables_of(tight).limits
    assert limits.turn_share < 0.5 and limits.x_share < 0.25 and limits.y_share < 0.25


def test_breath_lifts_the_shoulders_and_not_the_lips(closed_face: EnrolledFace, roomy: HeadTables) -> None:
    head = MovingHead(roomy)
    field = displacement(head, FacePose(breath=1.0))
    lips = closed_face.landmarks[[13, 14, 61, 291, 17, 0], :2]
    assert np.abs(at_points(field, lips, head.box[:2])).max() < 0.02
    below = closed_face.landmarks[152, :2] + np.array([0, 0.45 * closed_face.pose.unit_px])
    lifted = at_points(field, below[None], head.box[:2])[0]
    assert lifted[1] > 0.15  # px: the frame shows what was further down
    assert abs(lifted[0]) < 0.25 * lifted[1]  # along the face, which is tilted a little


def test_shoulders_stay_while_the_head_moves(closed_face: EnrolledFace, roomy: HeadTables) -> None:
    head, unit_px = MovingHead(roomy), closed_face.pose.unit_px
    chin = closed_face.landmarks[152, :2]
    shoulders = chin + unit_px * np.array([[-1.0, 1.0], [0.0, 1.05], [1.0, 1.0]])
    for pose in POSES:
        field = displacement(head, replace(pose, breath=0.0))
        assert np.abs(at_points(field, shoulders, head.box[:2])).max() < 0.004 * unit_px


def test_sharpness_is_kept(closed_face: EnrolledFace, roomy: HeadTables) -> None:
    head = MovingHead(roomy)
    low = closed_face.landmarks[:N_MESH, :2].min(0).astype(int)
    high = closed_face.landmarks[:N_MESH, :2].max(0).astype(int)
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    before = gradient_energy(closed_face.photo[part])
    after = []
    for n in range(1, 13):  # turning squeezes one side of the face, which is not sharpness
        pose = replace(pose_at(n), yaw=0.0, pitch=0.0, lean=0.0)
        x, y = head.eyes_shift(pose)
        after.append(gradient_energy(np.roll(drawn(head, pose), (-y, -x), (0, 1))[part]))
    assert 0.95 < np.mean(after) / before < 1.03


def test_frames_of_one_pose_are_the_same_whatever_was_drawn_between(roomy: HeadTables) -> None:
    head = MovingHead(roomy)
    first = [drawn(head, pose) for pose in POSES]
    for pose, frame in zip(reversed(POSES), reversed(first), strict=True):
        np.testing.assert_array_equal(drawn(head, pose), frame)


def test_the_longest_run_is_found() -> None:
    for flags, wanted in (("0110111010", (4, 7)), ("1", (0, 1)), ("000", (0, 0)), ("0011", (2, 4)), ("110011", (0, 2))):
        assert _longest_run(np.array([flag == "1" for flag in flags])) == wanted


def test_engines_that_draw_by_turns_each_move_the_head_once_a_frame(
    roomy: HeadTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    coefficients = Mock(wraps=roomy.motion.coefficients)
    monkeypatch.setattr(roomy.motion, "coefficients", coefficients)
    head = MovingHead(roomy)
    for ask in (head.source, head.eyes_shift, head.forward, head.depth_shift):
        for pose in POSES:
            ask(pose)
    assert coefficients.call_count == len(POSES)


def test_a_head_that_nobody_uses_is_freed_at_once(roomy: HeadTables) -> None:
    head = MovingHead(roomy)
    head.forward(POSES[0])
    gone = weakref.ref(head)
    del head
    assert gone() is None
