from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from fakes import drawn_face

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.upper_face.expression import MovingExpression
from s2v.engine.compositor.upper_face.expression_tables import BROWS_ABOVE, BROWS_BELOW, CHEEK_RISE, expression_tables
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.geometry import EYES, FACE_OVAL, Points
from s2v.engine.face.maps import Map, remap
from s2v.engine.face.photo import Image
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
BROW_MIDDLES = (105, 334, 52, 282)
CHEEK_APPLES = (50, 280)
PAD_PX = 6


def rest_map(photo: Image) -> Map:
    height, width = photo.shape[:2]
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


def moved_map(face: EnrolledFace, pose: FacePose) -> Map:
    source = rest_map(face.photo)
    MovingExpression(expression_tables(face, PAD_PX)).move(source, (0, 0), pose)
    return source


def went_up(face: EnrolledFace, source: Map, points: tuple[int, ...], amount_px: float) -> Points:
    """What the frame shows above each mesh point by an amount: pixels from there to the photo pixel looked up, down."""
    at = face.landmarks[list(points), :2] - [0, amount_px]
    there = remap(source, at[:, None].astype(np.float32), cv2.INTER_LINEAR)[:, 0]
    return np.asarray(there[:, 1] - at[:, 1], np.float64)


@pytest.fixture(scope="module", params=["closed_face", "smiling_face"])
def face(request: pytest.FixtureRequest) -> EnrolledFace:
    found: EnrolledFace = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("brows", [0.06, 0.02, -0.03])
def test_a_brow_goes_where_it_is_told(closed_face: EnrolledFace, brows: float) -> None:
    """Read as the frame is drawn: at the place where the brow ought to be, the photo's brow is looked up."""
    asked_px = brows * closed_face.pose.unit_px
    shown = went_up(closed_face, moved_map(closed_face, FacePose(brows=brows)), BROW_MIDDLES, asked_px)
    np.testing.assert_allclose(shown, asked_px, atol=0.12 * abs(asked_px) + 0.1)


def test_cheeks_rise_by_a_share_of_what_whole_ones_do(closed_face: EnrolledFace) -> None:
    whole_px = CHEEK_RISE * closed_face.pose.unit_px
    half, whole = (
        went_up(closed_face, moved_map(closed_face, FacePose(cheeks=cheeks)), CHEEK_APPLES, cheeks * whole_px)
        for cheeks in (0.5, 1.0)
    )
    assert (whole > 0.6 * whole_px).all()
    assert (whole < 1.05 * whole_px).all()
    np.testing.assert_allclose(half, whole / 2, rtol=0.15)


def test_at_rest_not_a_bit_changes(face: EnrolledFace) -> None:
    busy = FacePose(gaze=(0.03, 0.01), closed=0.5, widen=0.1, corners=0.02, breath=1.0)
    np.testing.assert_array_equal(moved_map(face, busy), rest_map(face.photo))


def test_irises_stay_under_raised_brows_and_cheeks(face: EnrolledFace) -> None:
    offset = np.abs(moved_map(face, FacePose(brows=0.06, cheeks=1.0)) - rest_map(face.photo)).max(-1)
    for mesh in EYES:
        opening = np.zeros(offset.shape, np.uint8)
        outline = face.landmarks[[*mesh.upper, *mesh.lower[-2:0:-1]], :2]
        cv2.fillPoly(opening, [outline.round().astype(np.int32)], 1)
        assert offset[opening > 0].max() < 0.15  # px


def test_nothing_beside_the_face_moves(face: EnrolledFace) -> None:
    moved = np.abs(moved_map(face, FacePose(brows=-0.03, cheeks=1.0)) - rest_map(face.photo)).max(-1) > 0.02
    near = np.zeros(moved.shape, np.uint8)
    oval = face.landmarks[list(FACE_OVAL), :2]
    cv2.fillPoly(near, [(oval.mean(0) + 1.06 * (oval - oval.mean(0))).round().astype(np.int32)], 1)
    assert moved.any()
    assert not moved[near == 0].any()


def test_hair_over_the_forehead_stays(closed_face: EnrolledFace) -> None:
    """Somebody with a black fringe down to her brows: they hardly move, and the fringe above not at all."""
    at = closed_face.landmarks[list(BROWS_ABOVE), :2]
    photo = closed_face.photo.copy()
    outline = np.concatenate(
        [at - [0, 2], [[photo.shape[1] - 1, at[-1, 1]], [photo.shape[1] - 1, 0], [0, 0], [0, at[0, 1]]]]
    )
    cv2.fillPoly(photo, [outline.round().astype(np.int32)], (12, 10, 10))
    offset = np.abs(moved_map(replace(closed_face, photo=photo), FacePose(brows=0.05)) - rest_map(photo)).max(-1)
    bare = np.abs(moved_map(closed_face, FacePose(brows=0.05)) - rest_map(photo)).max(-1)
    above = np.zeros(offset.shape, np.uint8)
    cv2.fillPoly(above, [outline.round().astype(np.int32)], 1)
    assert bare[above > 0].max() > 0.03 * closed_face.pose.unit_px
    assert offset[above > 0].max() < 0.1 * bare[above > 0].max()


def test_skin_never_folds(face: EnrolledFace) -> None:
    """What is above stays above: no pixel of the frame looks higher up than the one over it."""
    for pose in (FacePose(brows=0.06), FacePose(brows=-0.03), FacePose(cheeks=1.0)):
        assert np.diff(moved_map(face, pose)[..., 1], axis=0).min() > 0.1


def test_a_head_elsewhere_carries_the_expression_along(closed_face: EnrolledFace) -> None:
    """The same map, looked up from a frame whose head was moved and that begins elsewhere."""
    pose, moving = FacePose(brows=0.05, cheeks=0.7), MovingExpression(expression_tables(closed_face, PAD_PX))
    left, top = 10, 7
    at_rest = moved_map(closed_face, pose)
    source = rest_map(closed_face.photo)[top:, left:] + np.array([3, -4], np.float32)
    moving.move(source, (left, top), pose)
    expected = at_rest[top + 20 - 4 : -20 - 4, left + 20 + 3 : -20 + 3]
    apart = np.abs(source[20:-20, 20:-20] - expected)
    assert apart.max() < 0.6  # px: the same field, read at other pixels
    assert apart.mean() < 0.01


def test_the_detector_sees_brows_rise_step_by_step(closed_face: EnrolledFace) -> None:
    heights = []
    for brows in (-0.03, 0.0, 0.03, 0.06):
        frame = remap(closed_face.photo, moved_map(closed_face, FacePose(brows=brows)))
        canonical = enrol(frame, SPEC).landmarks / closed_face.pose.unit_px
        lids = canonical[[159, 386], 1].mean()
        heights.append(lids - canonical[list(BROWS_BELOW), 1].mean())
    steps = np.diff(heights)
    assert (steps > 0.005).all()
    assert heights[-1] - heights[0] > 0.4 * 0.09


@pytest.mark.parametrize("size_px", [(64, 72), (8, 10)])
def test_faces_of_a_few_pixels_are_no_error(size_px: tuple[int, int]) -> None:
    face = drawn_face(SPEC, size_px)
    assert np.isfinite(moved_map(face, FacePose(brows=0.05, cheeks=1.0))).all()


def test_a_part_of_the_frame_beside_the_face_stays(closed_face: EnrolledFace) -> None:
    source = rest_map(closed_face.photo)[:20, :20]
    before = source.copy()
    MovingExpression(expression_tables(closed_face, PAD_PX)).move(source, (0, 0), FacePose(brows=0.05, cheeks=1.0))
    np.testing.assert_array_equal(source, before)
