from __future__ import annotations

from copy import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
from fakes import drawn_face
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from poses import pose_at

from s2v.engine.backends.base import Tensors
from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.cpu import MotionCompositor, PixelCompositor, make_compositor
from s2v.engine.compositor.face_tables import face_warp_tables, lower_face_box
from s2v.engine.compositor.lips import LipLine, lip_line_colour
from s2v.engine.compositor.mouth.interior import MouthInterior
from s2v.engine.compositor.mouth.own_teeth import own_teeth
from s2v.engine.compositor.warp import LayeredWarp
from s2v.engine.face.articulation import articulated, articulation_tables
from s2v.engine.face.enrolment import EnrolledFace, enrol, face_from_landmarks, face_grid
from s2v.engine.face.geometry import FACE_OVAL, OUTER_LIPS
from s2v.engine.face.motion_basis import aperture, lip_gaps
from s2v.engine.face.photo import Image
from s2v.spec import TRACT_VARIABLES, LipSyncSpec

SPEC = LipSyncSpec()
DRAWN = drawn_face(SPEC)
DRAWN_COMPOSITOR = MotionCompositor(DRAWN, SPEC)
MOTIONS = arrays(np.float32, SPEC.n_motion, elements=st.floats(-5, 5, width=32))


@pytest.fixture(scope="module")
def closed(closed_face: EnrolledFace) -> MotionCompositor:
    return MotionCompositor(closed_face, SPEC)


@pytest.fixture(scope="module")
def smiling(smiling_face: EnrolledFace) -> MotionCompositor:
    return MotionCompositor(smiling_face, SPEC)


def outputs(motion: np.ndarray | float = 0.0, tract: tuple[float, ...] = (0.3, 0.5, 0.1, 0.0, 0.0)) -> Tensors:
    """Motion (one number: of the jaw alone) and tract variables."""
    moved = np.zeros((1, SPEC.n_motion), np.float32)
    if isinstance(motion, np.ndarray):
        moved[0] = motion
    else:
        moved[0, 0] = motion
    return {"motion": moved, "tract": np.array([tract], np.float32)}


def differs(one: Image, other: Image, by: int = 0) -> np.ndarray:
    """(h, w) bool, where two pictures are further apart than `by` levels."""
    return np.asarray(np.abs(one.astype(int) - other).max(-1) > by)


def outside(face: EnrolledFace) -> np.ndarray:
    left, top, right, bottom = lower_face_box(face)
    mask = np.ones(face.photo.shape[:2], bool)
    mask[top:bottom, left:right] = False
    return mask


# --- nothing else changes ----------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(MOTIONS, st.tuples(*[st.floats(0, 1)] * len(TRACT_VARIABLES)))
def test_nothing_outside_the_box_changes_by_one_bit(motion: np.ndarray, tract: tuple[float, ...]) -> None:
    before = DRAWN.photo.copy()
    frame = DRAWN_COMPOSITOR.draw(outputs(motion, tract))
    assert not differs(frame, DRAWN.photo)[outside(DRAWN)].any()
    np.testing.assert_array_equal(DRAWN.photo, before)  # and the photo itself is only read


def test_nothing_outside_the_lower_face_of_a_photo_changes(
    smiling: MotionCompositor, smiling_face: EnrolledFace
) -> None:
    frame = smiling.draw(outputs(2.0))
    assert not differs(frame, smiling_face.photo)[outside(smiling_face)].any()
    assert differs(frame, smiling_face.photo).any()


def test_eyes_and_forehead_stay_however_wide_the_mouth(closed: MotionCompositor, closed_face: EnrolledFace) -> None:
    lower_lids = closed_face.landmarks[[145, 374], 1]
    changed = differs(closed.draw(outputs(4.0)), closed_face.photo)
    assert not changed[: int(lower_lids.max())].any()
    assert changed.any()


def test_the_box_holds_the_mouth_and_the_chin(closed_face: EnrolledFace) -> None:
    left, top, right, bottom = lower_face_box(closed_face)
    moving = closed_face.landmarks[[0, 17, 61, 291, 152]]
    assert (moving[:, :2] > [left, top]).all()
    assert (moving[:, :2] < [right, bottom]).all()
    assert outside(closed_face).mean() > 0.5


def test_the_face_at_rest_is_the_photo_when_its_lips_are_closed(
    closed: MotionCompositor, closed_face: EnrolledFace
) -> None:
    inside = ~outside(closed_face)
    assert differs(closed.still, closed_face.photo, by=1)[inside].mean() < 0.01
    assert np.abs(closed.still.astype(int) - closed_face.photo).max() < 12
    np.testing.assert_array_equal(closed.draw(outputs(0.0)), closed.still)


def test_frames_are_new_arrays_and_the_same_for_the_same_input(closed: MotionCompositor) -> None:
    one, other = closed.draw(outputs(1.0)), closed.draw(outputs(1.0))
    assert not np.shares_memory(one, other)
    np.testing.assert_array_equal(one, other)
    one[:] = 0
    np.testing.assert_array_equal(closed.draw(outputs(1.0)), other)
    assert closed.still.any()


@pytest.mark.parametrize("roll_degrees", [0.0, 12.0])
def test_the_box_begins_under_the_eyes_and_is_a_third_wider_and_lower_than_the_face(roll_degrees: float) -> None:
    """In the face's own plane: from 0.22 face units under the eyes' line, and 1.3 times as far from the middle."""
    face = drawn_face(SPEC, (800, 960))
    turn = cv2.getRotationMatrix2D((400, 400), roll_degrees, 0.8)
    landmarks = face.landmarks.copy()
    landmarks[:, :2] = landmarks[:, :2] @ turn[:, :2].T + turn[:, 2]
    face = face_from_landmarks(face.photo, landmarks, SPEC)
    oval = face.plane.to_plane(face.landmarks[list(FACE_OVAL), :2])
    middle, half = (oval.max(0) + oval.min(0)) / 2, np.ptp(oval, axis=0) / 2
    sides = [middle[0] - 1.3 * half[0], middle[0] + 1.3 * half[0]], [0.22, middle[1] + 1.3 * half[1]]
    corners = face.plane.to_photo(np.array([[x, y] for x in sides[0] for y in sides[1]]))
    left, top, right, bottom = lower_face_box(face)
    assert left > 0 and top > 0 and right < 800 and bottom < 960, "nothing is cut off by the photo's edge"
    assert 0 <= (corners.min(0) - [left, top]).min() <= (corners.min(0) - [left, top]).max() < 1
    assert 0 <= ([right, bottom] - corners.max(0)).min() <= ([right, bottom] - corners.max(0)).max() < 1


# --- the mouth -----------------------------------------------------------------------------------------


def test_a_laugh_is_closed_at_rest(smiling: MotionCompositor, smiling_face: EnrolledFace) -> None:
    assert aperture(smiling_face.canonical) > 0.1
    assert lip_gaps(enrol(smiling.still, SPEC).canonical).max() < 0.03
    np.testing.assert_array_equal(smiling.draw(outputs(0.0)), smiling.still)  # the line between the lips too


def test_the_jaw_opens_the_mouth_as_far_as_it_was_told(closed: MotionCompositor) -> None:
    said = (0.0, 2.0, 3.0)
    seen = [float(aperture(enrol(closed.draw(outputs(first)), SPEC).canonical)) for first in said]
    for first, gap in zip(said, seen, strict=True):
        assert gap == pytest.approx(0.045 * first, abs=0.03)  # component 0 opens 0.045 face units


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_a_frame_speaks_as_strongly_as_it_was_told(closed: MotionCompositor, share: float) -> None:
    said = outputs(2.0)
    stronger = articulated(said["motion"][0], share, articulation_tables(SPEC))
    np.testing.assert_array_equal(closed.draw(said, articulation=share), closed.draw(outputs(stronger)))
    assert differs(closed.draw(said, articulation=share), closed.draw(said)).any()
    np.testing.assert_array_equal(closed.draw(outputs(0.0), articulation=share), closed.still)


def test_a_rolled_photo_works_as_an_upright_one(smiling_face: EnrolledFace) -> None:
    height, width = smiling_face.photo.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 15, 1)
    warped = cv2.warpAffine(smiling_face.photo, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    photo = np.asarray(warped, np.uint8)
    face = enrol(photo, SPEC)
    np.testing.assert_allclose(aperture(face.canonical), aperture(smiling_face.canonical), atol=0.02)
    compositor = MotionCompositor(face, SPEC)
    assert aperture(enrol(compositor.still, SPEC).canonical) < 0.05
    assert not differs(compositor.draw(outputs(2.0)), photo)[outside(face)].any()
    check_interior(compositor, face, 2.0)


@pytest.mark.parametrize("first", [0.3, 1.0, 3.0])
def test_the_inside_of_the_mouth_shows_in_the_opening_and_nowhere_else(
    closed: MotionCompositor, closed_face: EnrolledFace, first: float
) -> None:
    check_interior(closed, closed_face, first)


def test_the_inside_of_a_laughing_mouth_stays_between_the_lips_too(
    smiling: MotionCompositor, smiling_face: EnrolledFace
) -> None:
    check_interior(smiling, smiling_face, 2.5)


def check_interior(compositor: MotionCompositor, face: EnrolledFace, first: float) -> None:
    """What changes with the colours of the layers is inside the mouth."""
    plain, blue = (recoloured(compositor, blue).draw(outputs(first)) for blue in (False, True))
    shown = differs(plain, blue, by=2)
    warp = LayeredWarp(face_warp_tables(face, SPEC, np.eye(2, 3), shown.shape[::-1], step=8))
    opening = np.zeros(shown.shape, np.uint8)
    outline = warp.mouth_outline(np.append(outputs(first)["motion"][0], np.float32(1)))
    cv2.fillPoly(opening, [outline.round().astype(np.int32)], 255)
    # Under the edge of the lips it fades out within 3.5 % of the distance between the eyes.
    reach = 2 * round(0.035 * face.pose.unit_px) + 1
    near = cv2.dilate(opening, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    assert not shown[near == 0].any()
    assert shown[opening > 0].mean() > 0.8


def recoloured(compositor: MotionCompositor, blue: bool) -> MotionCompositor:
    """The same, with a mouth of bright blue or of bright red."""
    other = copy(compositor)
    colours = np.tile(np.array([[250], [0], [0]] if blue else [[0], [0], [250]], np.float32), 4)
    other.interior = MouthInterior(replace(compositor.tables.interior, colours=colours))
    return other


def test_a_closed_mouth_has_no_teeth_of_its_own(closed_face: EnrolledFace, smiling_face: EnrolledFace) -> None:
    for face, shown in ((closed_face, False), (smiling_face, True)):
        height, width = face.photo.shape[:2]
        assert (own_teeth(face, 0, 0, (width, height)) is not None) == shown


def test_a_line_is_drawn_where_lips_meet_that_were_apart(closed_face: EnrolledFace, smiling_face: EnrolledFace) -> None:
    outline = lens(0.0)
    for face, drawn in ((closed_face, False), (smiling_face, True)):
        mouth = np.full((64, 64, 3), 220, np.uint8)
        line_of(face).draw(mouth, outline)
        assert (mouth[32, 32].max() < 200) == drawn
        assert (mouth[8] == 220).all()
    wide = np.full((64, 64, 3), 220, np.uint8)
    line_of(smiling_face).draw(wide, lens(20.0))
    assert (wide == 220).all()


def line_of(face: EnrolledFace) -> LipLine:
    return LipLine(lip_line_colour(face), face.pose.unit_px)


def test_a_highlight_on_the_lips_does_not_grey_the_line_between_them(smiling_face: EnrolledFace) -> None:
    photo = smiling_face.photo.copy()
    for inner, outer in ((82, 37), (87, 84), (13, 0)):
        x, y = smiling_face.landmarks[[inner, outer], :2].mean(0).round().astype(int)
        photo[y, x] = 255
    before, shining = (lip_line_colour(face) for face in (smiling_face, replace(smiling_face, photo=photo)))
    assert before is not None and shining is not None
    assert shining[2] > 1.5 * shining[:2].max()
    np.testing.assert_allclose(shining, before, atol=20)


@pytest.mark.parametrize("first", [0.0, -0.3, -1.0, -2.0])
def test_closed_or_pressed_lips_show_nothing_of_the_inside(
    closed: MotionCompositor, smiling: MotionCompositor, first: float
) -> None:
    for compositor in (closed, smiling):
        red, blue = (recoloured(compositor, blue).draw(outputs(first)) for blue in (False, True))
        np.testing.assert_array_equal(red, blue)


def test_what_the_tract_says_is_seen_in_an_open_mouth_and_not_in_a_closed_one(closed: MotionCompositor) -> None:
    low, high = (0.0, 0.5, 0.0, 0.0, 0.0), (1.0, 0.5, 1.0, 0.0, 0.0)
    assert differs(closed.draw(outputs(3.0, low)), closed.draw(outputs(3.0, high)), by=20).sum() > 100
    np.testing.assert_array_equal(closed.draw(outputs(0.0, low)), closed.draw(outputs(0.0, high)))


def lens(gap: float, roll_degrees: float = 0.0) -> np.ndarray:
    """Outline of a mouth 40 px wide around (32, 32) whose lips are `gap` px apart in the middle."""
    u = np.linspace(-1, 1, 11)
    upper = np.c_[20 * u, -gap / 2 * (1 - u**2)]
    outline = np.concatenate([upper, (upper * [1, -1])[-2:0:-1]])
    a = np.radians(roll_degrees)
    return np.asarray(outline @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + 32)


# --- network "speech2vid" ------------------------------------------------------------------------------


def test_a_face_takes_as_much_of_an_expression_as_its_photo_bears(
    closed_face: EnrolledFace, smiling_face: EnrolledFace
) -> None:
    """Corners of 0.04 lift calm lips by that, a laugh's by little; the outline of the opening goes along."""
    lifted = []
    for face in (closed_face, smiling_face):
        moving = MotionCompositor(face, SPEC, moving=True)
        rest, friendly = (moving.draw(outputs(), FacePose(corners=corners)) for corners in (0.0, 0.04))
        mouth = face.landmarks[list(OUTER_LIPS), :2].round().astype(int)
        near = np.zeros(rest.shape[:2], np.uint8)
        cv2.fillPoly(near, [mouth], 1)
        lifted.append(np.abs(friendly.astype(int) - rest)[near > 0].mean())
    assert lifted[0] > 2 * lifted[1] > 0


def test_closed_lips_stay_closed_under_a_friendly_face(closed_face: EnrolledFace) -> None:
    moving = MotionCompositor(closed_face, SPEC, moving=True)
    weights = np.append(np.zeros(SPEC.n_motion, np.float32), np.float32(1))
    gaps = []
    for corners in (0.0, 0.04):
        outline = moving._outline(weights, FacePose(corners=corners))
        gaps.append(np.abs(outline[1:10, 1] - outline[:10:-1, 1]).max())
    assert gaps[1] < gaps[0] + 0.004 * closed_face.pose.unit_px


def test_painting_the_photos_own_crop_back_changes_little(closed_face: EnrolledFace) -> None:
    compositor = PixelCompositor(closed_face, SPEC)
    frame = compositor.draw({"pixels": closed_face.network_input[:, 3:]})
    assert not differs(frame, closed_face.photo)[outside(closed_face)].any()
    change = np.abs(frame.astype(int) - closed_face.photo)[~outside(closed_face)]
    assert 0 < change.mean() < 2  # only sharpness is lost
    np.testing.assert_array_equal(compositor.still, closed_face.photo)


def test_pixels_are_pasted_on_the_mouth_and_fade_before_the_box_ends(closed_face: EnrolledFace) -> None:
    compositor = PixelCompositor(closed_face, SPEC)
    frame = compositor.draw({"pixels": np.ones((1, 3, SPEC.face_px, SPEC.face_px), np.float32)})
    x, y = closed_face.landmarks[[13, 14], :2].mean(0).round().astype(int)
    assert frame[y, x].min() > 250
    left, top, right, bottom = lower_face_box(closed_face)
    box = differs(frame, closed_face.photo)[top:bottom, left:right]
    assert not (box[0].any() or box[-1].any() or box[:, 0].any() or box[:, -1].any())


WHITE = {"pixels": np.ones((1, 3, SPEC.face_px, SPEC.face_px), np.float32)}


def test_pixels_are_pasted_from_under_the_eyes_to_the_chin_and_between_the_cheeks() -> None:
    """White on black shows how much is pasted: half on the edge, a sixth one standard deviation further out."""
    face = drawn_face(SPEC, (800, 960))
    frame = PixelCompositor(replace(face, photo=np.zeros_like(face.photo)), SPEC).draw(WHITE)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(frame, face_grid(face.plane, SPEC), (SPEC.face_px, SPEC.face_px), flags=flags)[..., 0] / 255
    middle = SPEC.face_px // 2
    down, across = crop[:, middle], crop[round(0.7 * SPEC.face_px)]
    for share, further in ((0.5, 0.0), (0.159, 0.035)):
        for line, edges in ((down, (0.46, 0.93)), (across, (0.22, 0.78))):
            pasted = np.flatnonzero(line > share)
            wanted = SPEC.face_px * np.array([edges[0] - further, edges[1] + further])
            np.testing.assert_allclose([pasted[0], pasted[-1] + 1], wanted, atol=1)


def test_what_is_pasted_moves_with_the_head() -> None:
    face = drawn_face(SPEC, (800, 960))
    dark = replace(face, photo=np.zeros_like(face.photo))
    held = PixelCompositor(dark, SPEC).draw(WHITE)
    moving = PixelCompositor(dark, SPEC, moving=True)
    assert moving.animated is not None
    x, y = face.landmarks[13, :2]
    index, far = 0, 0.0
    for candidate in range(0, 500, 10):
        forward = moving.animated.forward(pose_at(candidate))
        if (moved := float(np.hypot(*(forward @ [x, y, 1] - [x, y])))) > far:
            index, far = candidate, moved
    forward = moving.animated.forward(pose_at(index))
    wanted = np.asarray(cv2.warpAffine(held, forward, held.shape[1::-1]), np.uint8)
    shown = moving.draw(WHITE, pose_at(index))
    assert far > 2
    assert not differs(shown, wanted, by=3).any()
    assert differs(held, wanted, by=9).any()


def test_pasted_colours_are_rounded_and_not_cut_off(closed_face: EnrolledFace) -> None:
    compositor = PixelCompositor(closed_face, SPEC)
    x, y = closed_face.landmarks[[13, 14], :2].mean(0).round().astype(int)
    errors = []
    for level in np.linspace(100.0, 110.0, 101):
        crop = np.full((1, 3, SPEC.face_px, SPEC.face_px), level / 255, np.float32)
        errors.append(compositor.draw({"pixels": crop})[y, x].mean() - level)
    assert np.mean(errors) == pytest.approx(0, abs=0.1)


def test_the_spec_chooses_the_compositor(closed_face: EnrolledFace) -> None:
    assert isinstance(make_compositor(closed_face, SPEC), MotionCompositor)
    assert isinstance(make_compositor(closed_face, LipSyncSpec(network="speech2vid")), PixelCompositor)
