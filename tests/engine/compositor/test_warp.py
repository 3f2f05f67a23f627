from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vowels import VOWELS

from s2v.engine.compositor.face_tables import face_tables, face_warp_tables, lower_face_box
from s2v.engine.compositor.warp import LayeredWarp
from s2v.engine.face.drawn_motion import drawn_moves
from s2v.engine.face.enrolment import EnrolledFace, enrol
from s2v.engine.face.geometry import (
    LOWER_INNER_LIP,
    MOUTH_CORNERS,
    OUTER_EYES,
    OUTER_LIPS,
    UPPER_INNER_LIP,
    Points,
    canonical_face,
)
from s2v.engine.face.maps import remap
from s2v.engine.face.motion_basis import MotionBasis, lip_gaps
from s2v.engine.face.rest_pose import rest_displacement
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
MOVES = drawn_moves(MotionBasis.load(SPEC.motion_basis), SPEC.n_motion)
JAW = MOVES[0]
LOWER_LIP, UPPER_LIP, CHIN, NOSE_TIP = 17, 0, 152, 1


@pytest.fixture(scope="module")
def warp(closed_face: EnrolledFace) -> LayeredWarp:
    """The whole photo; the last weight is the rest displacement."""
    return whole_photo(closed_face)


def whole_photo(face: EnrolledFace) -> LayeredWarp:
    height, width = face.photo.shape[:2]
    return LayeredWarp(face_warp_tables(face, SPEC, np.eye(2, 3), (width, height), step=6))


def coefficients(first: float = 0.0, rest: float = 0.0) -> np.ndarray:
    weights = np.zeros(SPEC.n_motion + 1, np.float32)
    weights[0], weights[-1] = first, rest
    return weights


def no_motion(face: EnrolledFace) -> np.ndarray:
    height, width = face.photo.shape[:2]
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


# --- rest: what closes a photo's lips ----------------------------------------------------------------


def test_an_open_mouth_comes_to_rest_closed(smiling_face: EnrolledFace) -> None:
    assert lip_gaps(smiling_face.canonical).max() > 0.06
    closed = lip_gaps(smiling_face.canonical + smiling_face.rest)
    assert closed.max() < 0.003
    assert closed.min() > -0.03  # pressed on each other by the width of a line of teeth, no more


def test_closed_lips_are_at_rest_already(closed_face: EnrolledFace) -> None:
    assert np.abs(closed_face.rest).max() < 0.003


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 4))
def test_any_opening_of_the_jaw_is_closed(opening: float) -> None:
    shut = canonical_face() + rest_displacement(canonical_face())
    opened = shut + opening * JAW
    assert lip_gaps(opened + rest_displacement(opened)).max() < 0.003


def test_closing_keeps_the_smile_and_the_eyes(smiling_face: EnrolledFace) -> None:
    rest = smiling_face.rest
    assert np.abs(rest[list(MOUTH_CORNERS)]).max() < 0.01
    assert np.abs(rest[[*OUTER_EYES, NOSE_TIP, 10, 168]]).max() < 1e-9
    assert rest[LOWER_INNER_LIP[5], 1] < -0.03 < 0 < rest[UPPER_INNER_LIP[5], 1]
    assert np.abs(rest[:, [0, 2]]).max() == 0  # straight up and down


# --- the map ---------------------------------------------------------------------------------------


def test_no_motion_maps_every_pixel_to_itself(warp: LayeredWarp, closed_face: EnrolledFace) -> None:
    np.testing.assert_array_equal(warp.source_map(coefficients()), no_motion(closed_face))


def shown_at(warp: LayeredWarp, face: EnrolledFace, points: list[int], moves: Points, weights: np.ndarray) -> Points:
    """How far, in pixels, the map is off at the places where some landmarks should have gone."""
    moved = face.pose.to_photo(face.canonical + moves)[points, :2]
    source = warp.source_map(weights)
    at = moved.astype(np.float32)[None]
    return np.asarray(cv2.remap(source, at, None, cv2.INTER_LINEAR)[0] - face.landmarks[points, :2])


@pytest.mark.parametrize("opening", [0.5, 1.0, 2.0])
def test_landmarks_are_shown_where_the_motion_sends_them(
    warp: LayeredWarp, closed_face: EnrolledFace, opening: float
) -> None:
    points = [LOWER_LIP, UPPER_LIP, CHIN, *MOUTH_CORNERS]
    off = shown_at(warp, closed_face, points, opening * JAW, coefficients(opening))
    assert np.abs(off).max() < 0.02 * closed_face.pose.unit_px


@pytest.mark.parametrize("vowel", VOWELS)
def test_lips_and_corners_are_shown_where_a_vowel_sends_them(closed_face: EnrolledFace, vowel: str) -> None:
    """On the grid that faces are drawn with, for the outer lips and both corners."""
    left, top, *_ = lower_face_box(closed_face)
    source = LayeredWarp(face_tables(closed_face, SPEC, moving=False).warp).source_map(np.append(VOWELS[vowel], 0))
    points = list(OUTER_LIPS)
    asked = np.tensordot(VOWELS[vowel], closed_face.pose.turn(MOVES)[:, points, :2], 1)
    at = closed_face.landmarks[points, :2] + asked - [left, top]
    off = cv2.remap(source, at[None].astype(np.float32), None, cv2.INTER_LINEAR)[0] - closed_face.landmarks[points, :2]
    assert np.linalg.norm(off, axis=1).max() < 0.008 * closed_face.pose.unit_px
    corners = [points.index(corner) for corner in MOUTH_CORNERS]
    wider, short = np.ptp(asked[corners, 0]) * np.sign(asked[corners[1], 0]), np.diff(off[corners, 0])
    assert abs(float(short[0])) < 0.05 * abs(wider) + 0.001 * closed_face.pose.unit_px


def test_a_flow_that_stretches_a_lot_is_turned_round_too(closed_face: EnrolledFace) -> None:
    """As at the corners of a wide open mouth, where whole steps towards the map would swing to and fro for ever."""
    tables = face_tables(closed_face, SPEC, moving=False).warp
    _, _, rows, columns, _ = tables.flows.shape
    y = np.arange(rows) - rows / 2
    flow = np.zeros((1, 2, rows, columns, 2), np.float32)
    flow[..., 1] = (5 * np.tanh(1.4 * y / 5) * np.exp(-((y / 14) ** 2)))[
        :, None
    ]  # of 2.4 times the height in the middle
    stretched = replace(tables, flows=flow, lip_moves=tables.lip_moves[:1])
    middles = np.round((np.arange(rows) + 0.5) * tables.size[1] / rows - 0.5).astype(int)  # output rows, of the cells
    shown = (LayeredWarp(stretched).source_map(np.ones(1, np.float32)) - tables.output_to_photo)[middles, 5, 1]
    cell_px = tables.cell_to_photo[1, 1]
    back = np.arange(rows) + shown / cell_px
    there = back + np.interp(back, np.arange(rows), flow[0, 0, :, 0, 1])
    np.testing.assert_allclose(there, np.arange(rows), atol=0.3)


def test_opening_the_jaw_takes_the_lower_lip_down(warp: LayeredWarp, closed_face: EnrolledFace) -> None:
    moved = warp.source_map(coefficients(1.5)) - no_motion(closed_face)
    x, y = closed_face.landmarks[LOWER_LIP, :2].round().astype(int)
    down = 1.5 * JAW[LOWER_LIP, 1] * closed_face.pose.unit_px
    assert down > 3
    assert moved[y + round(down), x, 1] == pytest.approx(-down, abs=1.5)  # shows what was higher up


def test_eyes_and_the_edge_of_the_picture_stay(warp: LayeredWarp, closed_face: EnrolledFace) -> None:
    moved = warp.source_map(coefficients(3.0)) - no_motion(closed_face)
    eyes_y = int(closed_face.landmarks[[145, 374], 1].max())  # lower lids
    assert np.abs(moved[:eyes_y]).max() < 1 / 64  # a remap tells 1/32 of a pixel apart
    for edge in (moved[-1], moved[:, 0], moved[:, -1]):
        assert np.abs(edge).max() == 0


def test_the_lips_part_without_stretching_skin_between_them(warp: LayeredWarp, closed_face: EnrolledFace) -> None:
    weights = coefficients(2.0)
    outline = warp.mouth_outline(weights)
    x, top, bottom = outline[5, 0], outline[5, 1], outline[15, 1]
    assert bottom - top > 0.06 * closed_face.pose.unit_px
    column = warp.source_map(weights)[:, round(x), 1]
    above, below = round(top) - 2, round(bottom) + 2
    # On both sides of the opening the photo moves as a piece: a pixel is still about a pixel.
    for rows in (slice(above - 8, above), slice(below, below + 8)):
        assert np.abs(np.diff(column[rows]) - 1).max() < 0.5


def test_the_outline_of_the_mouth_follows_the_weights(warp: LayeredWarp, closed_face: EnrolledFace) -> None:
    upper, lower = warp.lips(coefficients())
    on_photo = closed_face.plane.to_photo(np.concatenate([upper, lower]))
    np.testing.assert_allclose(on_photo, closed_face.landmarks[[*UPPER_INNER_LIP, *LOWER_INNER_LIP], :2], atol=1e-6)
    outline = warp.mouth_outline(coefficients(1.0))
    assert outline.shape == (20, 2)
    wanted = closed_face.pose.to_photo(closed_face.canonical + JAW)[list(UPPER_INNER_LIP), :2]
    np.testing.assert_allclose(outline[:11], wanted, atol=1e-6)


def test_a_warp_seen_through_another_grid_shows_the_same(warp: LayeredWarp, closed_face: EnrolledFace) -> None:
    # Half the pixels, from (100, 200) on: output (i, j) is photo (100 + 2 i, 200 + 2 j).
    grid = np.array([[2.0, 0, 100], [0, 2.0, 200]])
    half = LayeredWarp(face_warp_tables(closed_face, SPEC, grid, (150, 150), step=3))
    whole = warp.source_map(coefficients(1.0))[200:500:2, 100:400:2]
    off = np.linalg.norm(half.source_map(coefficients(1.0)) - whole, axis=-1)
    # Where the layers part the two round differently; everywhere else they agree.
    assert np.quantile(off, 0.98) < 0.5
    np.testing.assert_allclose(
        half.mouth_outline(coefficients(1.0)) * 2 + [100, 200], warp.mouth_outline(coefficients(1.0)), atol=1e-6
    )


# --- corners of the mouth ----------------------------------------------------------------------------


def test_corners_at_rest_leave_the_map_bit_for_bit(warp: LayeredWarp) -> None:
    weights = coefficients(first=1.5)
    np.testing.assert_array_equal(warp.source_map(weights, corners=0.0), warp.source_map(weights))
    np.testing.assert_array_equal(warp.mouth_outline(weights, 0.0), warp.mouth_outline(weights))


@pytest.mark.parametrize("corners", [0.04, -0.02])
def test_corners_go_up_and_out_and_the_opening_stays_as_high(warp: LayeredWarp, corners: float) -> None:
    for jaw in (0.0, 2.0):
        weights = coefficients(first=jaw)
        before, after = warp.lips(weights), warp.lips(weights, corners)
        moved = (after[0] - before[0])[[0, -1]] / corners
        np.testing.assert_allclose(moved, [[-0.43, -0.73], [0.43, -0.73]], atol=0.08)
        heights = [
            np.interp(np.linspace(-0.15, 0.15, 7), *lower.T) - np.interp(np.linspace(-0.15, 0.15, 7), *upper.T)
            for upper, lower in (before, after)
        ]
        np.testing.assert_allclose(heights[1], heights[0], atol=0.004)


def test_lips_stay_closed_under_raised_corners(closed_face: EnrolledFace, warp: LayeredWarp) -> None:
    upper, lower = warp.lips(coefficients(), 0.04)
    at_rest = warp.lips(coefficients())
    np.testing.assert_allclose(lower[:, 1] - upper[:, 1], (at_rest[1] - at_rest[0])[:, 1], atol=0.003)


def test_raised_corners_move_neither_eyes_nor_chin(closed_face: EnrolledFace, warp: LayeredWarp) -> None:
    offset = warp.source_map(coefficients(), corners=0.04) - warp.source_map(coefficients())
    size = np.abs(offset).max(-1) / closed_face.pose.unit_px
    at = closed_face.landmarks.round().astype(int)
    still, moving = (
        [size[at[n, 1], at[n, 0]] for n in points] for points in ((33, 263, 145, 374, CHIN), MOUTH_CORNERS)
    )
    assert max(still) < 0.002
    assert min(moving) > 0.02


def test_a_detector_sees_a_smile_grow_with_the_corners(closed_face: EnrolledFace, warp: LayeredWarp) -> None:
    smiles = []
    for corners in (-0.02, 0.0, 0.02, 0.04):
        frame = remap(closed_face.photo, warp.source_map(coefficients(), corners=corners))
        canonical = enrol(frame, SPEC).canonical
        smiles.append(canonical[[13, 14], 1].mean() - canonical[list(MOUTH_CORNERS), 1].mean())
    assert (np.diff(smiles) > 0.004).all()
