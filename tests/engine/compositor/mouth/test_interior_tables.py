from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import cv2
import numpy as np
import pytest
from fakes import drawn_face

from s2v.engine.compositor.face_tables import lower_face_box
from s2v.engine.compositor.mouth.interior_tables import InteriorTables, interior_tables, upper_teeth_show_mm
from s2v.engine.compositor.mouth.tongue import GRID_LEFT, GRID_PX, GRID_TOP
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.geometry import MOUTH_CORNERS, canonical_face
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
MM = 1 / 92


def made(
    face: EnrolledFace, reach_px: int = 0, seed: int | None = None, show_mm: float | None = None
) -> InteriorTables:
    return interior_tables(face, SPEC, lower_face_box(face), reach_px, seed, show_mm)


def edge(tables: InteriorTables) -> np.ndarray:
    """The middle of the upper teeth's edge, in pixels of the photo."""
    at = np.array([-GRID_LEFT * GRID_PX - 0.5, -GRID_TOP * GRID_PX - 0.5])
    return np.asarray(tables.grid_to_window[:, :2] @ at + tables.grid_to_window[:, 2] + tables.window[:2])


def seen_edge(tables: InteriorTables) -> np.ndarray:
    """Where the picture of the row has it: pixels of the photo, below the middle of the right central incisor."""
    shift = np.array([4 * MM * tables.unit_px, 0])
    back = np.linalg.inv(np.vstack([tables.row_to_window, [0, 0, 1]]))[:2]
    column = round(float((back[:, :2] @ (edge(tables) + shift - tables.window[:2]) + back[:, 2])[0]))
    last = np.flatnonzero(tables.upper[:, column, 2] < 0.5)[-1] + 0.5
    return np.asarray(tables.row_to_window @ [column, last, 1] + tables.window[:2] - shift)


@pytest.mark.parametrize("size", [(300, 360), (700, 840), (1300, 1560)])
def test_teeth_stand_where_they_are_said_to_whatever_the_photos_size(size: tuple[int, int]) -> None:
    tables = made(drawn_face(SPEC, size), show_mm=2.0)
    np.testing.assert_allclose(seen_edge(tables), edge(tables), atol=0.006 * tables.unit_px + 0.6)


def test_so_much_of_the_upper_teeth_shows_below_the_lips() -> None:
    face = drawn_face(SPEC, (700, 840))
    resting = face.canonical + face.rest
    stomion = face.pose.to_photo(resting[[13, 14]].mean(0))[1]
    for show_mm in (0.0, 2.0, 4.0):
        below_mm = (edge(made(face, show_mm=show_mm))[1] - stomion) / face.pose.unit_px / MM
        assert below_mm == pytest.approx(show_mm + 1.4, abs=0.05)


def test_long_lips_hide_teeth() -> None:
    """Vig and Brundo (1978): 3.9 mm show below an upper lip of 10 to 15 mm, 0.2 mm below one of 31 to 36."""
    resting = canonical_face().copy()
    shown = []
    for length_mm in (10, 12.5, 23, 33, 40):
        resting[[13, 14], 1] = resting[2, 1] + length_mm * MM
        shown.append(upper_teeth_show_mm(resting))
    assert shown == pytest.approx([3.9, 3.9, 2.1, 0.2, 0.2])


def test_the_window_lies_around_the_mouth_in_the_box_and_leaves_room_for_the_head() -> None:
    face = drawn_face(SPEC, (700, 840))
    still, moving = made(face), made(face, reach_px=9)
    left, top, right, bottom = still.window
    assert moving.window == (left - 9, top - 9, right + 9, bottom + 9)
    lips = face.landmarks[list(MOUTH_CORNERS), :2]
    assert left < lips[:, 0].min() - 0.05 * face.pose.unit_px and right > lips[:, 0].max() + 0.05 * face.pose.unit_px
    assert top < lips[:, 1].min() and bottom > lips[:, 1].max() + 0.25 * face.pose.unit_px
    np.testing.assert_allclose(edge(still), edge(moving))
    small_box = (left + 20, top + 5, right - 30, bottom - 7)
    assert interior_tables(face, SPEC, small_box, 9).window == small_box


def test_a_mouth_outside_the_box_has_an_empty_window_and_no_error() -> None:
    tables = interior_tables(drawn_face(SPEC), SPEC, (0, 0, 20, 20), 0)
    left, top, right, bottom = tables.window
    assert right <= left or bottom <= top
    assert tables.upper.size == 0


def test_the_photo_is_the_seed() -> None:
    face = drawn_face(SPEC, (700, 840))
    one, again = made(face), made(face)
    other = made(replace(face, photo=np.ascontiguousarray(face.photo[::-1])))
    np.testing.assert_array_equal(one.upper, again.upper)
    np.testing.assert_array_equal(one.lower, again.lower)
    assert (np.abs(one.upper - other.upper)[..., 0] > 0.05).mean() > 0.005
    np.testing.assert_array_equal(made(face, seed=5).lower, made(face, seed=5).lower)
    assert (made(face, seed=5).lower != made(face, seed=6).lower).any()


def test_teeth_are_as_soft_as_the_photo(closed_face: EnrolledFace) -> None:
    blurred = np.asarray(cv2.GaussianBlur(closed_face.photo, (0, 0), 2.5), np.uint8)
    sharp, soft = made(closed_face, seed=1), made(replace(closed_face, photo=blurred), seed=1)
    assert soft.blur_px > sharp.blur_px + 1
    steepness = [np.abs(np.diff(tables.upper[..., 0], axis=0)).max() for tables in (sharp, soft)]
    assert steepness[1] < 0.6 * steepness[0]


def test_a_turned_head_shows_more_of_its_near_side() -> None:
    shares = []
    for yaw_degrees in (0.0, 20.0):
        a = np.radians(yaw_degrees)
        turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        face = drawn_face(SPEC, (700, 840))
        middle = face.landmarks.mean(0)
        turned = face_from_landmarks(face.photo, (face.landmarks - middle) @ turn.T + middle, SPEC)
        tables = made(turned)
        back = np.linalg.inv(np.vstack([tables.row_to_window, [0, 0, 1]]))[:2]
        middle_x, middle_y = back[:, :2] @ (edge(tables) - tables.window[:2]) + back[:, 2]
        row = tables.upper[round(middle_y - 5 * MM * tables.unit_px), :, 0]
        shares.append(row[: round(middle_x)].sum() / row.sum())
    assert shares[0] == pytest.approx(0.5, abs=0.02)
    assert abs(shares[1] - 0.5) > 0.06
    assert turned.pose.yaw_degrees * (shares[1] - 0.5) > 0, "the left side of the picture is near if it looks right"


def test_the_jaw_coefficient_moves_the_chin_down_and_lower_teeth_are_less_bright() -> None:
    tables = made(drawn_face(SPEC, (700, 840)))
    assert tables.chin_moves.shape == (SPEC.n_motion, 2)
    assert 0.01 < tables.chin_moves[0, 1] < 0.06
    assert abs(tables.chin_moves[0, 0]) < 0.1 * tables.chin_moves[0, 1]
    brightest = [np.percentile(row[..., 0][row[..., 0] > 0.3], 90) for row in (tables.upper, tables.lower)]
    assert brightest[1] == pytest.approx(0.91 * brightest[0], rel=0.05)


def test_a_laugh_shows_its_own_teeth(smiling_face: EnrolledFace) -> None:
    """Of the photo's teeth, shapes and colour; drawn ones of any person lie behind."""
    one, other = (made(smiling_face, seed=seed) for seed in (1, 2))
    closed = replace(smiling_face, canonical=smiling_face.canonical + smiling_face.rest, rest=0 * smiling_face.rest)
    drawn = [made(closed, seed=seed) for seed in (1, 2)]
    front = np.s_[:, one.upper.shape[1] // 3 : -one.upper.shape[1] // 3, 0]
    assert np.abs(one.upper - other.upper)[front].sum() < 0.7 * np.abs(drawn[0].upper - drawn[1].upper)[front].sum()
    assert (one.colours[:, 0] != drawn[0].colours[:, 0]).any()


def test_they_cannot_be_changed_by_name() -> None:
    tables = made(drawn_face(SPEC))
    with pytest.raises(FrozenInstanceError):
        setattr(tables, fields(tables)[0].name, None)


def turned(yaw_degrees: float, steeper: float = 0.0) -> EnrolledFace:
    """A drawn face with its head turned. Args: steeper: how far its mouth's right corner is lower, face units."""
    a = np.radians(yaw_degrees)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    face = drawn_face(SPEC, (700, 840))
    middle = face.landmarks.mean(0)
    landmarks = (face.landmarks - middle) @ turn.T + middle
    left, right = sorted(MOUTH_CORNERS, key=lambda point: float(landmarks[point, 0]))
    landmarks[left, 1] -= steeper / 2 * face.pose.unit_px
    landmarks[right, 1] += steeper / 2 * face.pose.unit_px
    return face_from_landmarks(face.photo, landmarks, SPEC)


def row_edge(face: EnrolledFace) -> np.ndarray:
    """Lower edge of the upper teeth, (n, 2) pixels of the photo from left to right."""
    tables = made(face)
    tooth = tables.upper[..., 0] > 0.15
    columns = np.flatnonzero(tooth.any(0))
    last = len(tooth) - 1 - tooth[::-1].argmax(0)[columns]
    at = tables.row_to_window @ np.stack([columns, last, np.ones(len(columns))])
    return np.asarray(at.T + tables.window[:2])


@pytest.mark.parametrize("yaw_degrees", [-28.0, 0.0, 28.0])
def test_a_row_reaches_towards_both_corners_however_the_head_is_turned(yaw_degrees: float) -> None:
    """Where the arch turned out of sight it would end square, with a hole between it and the corner."""
    face = turned(yaw_degrees)
    left, right = np.sort(face.landmarks[list(MOUTH_CORNERS), 0])
    ends = row_edge(face)[[0, -1], 0]
    assert ends[0] < left + 0.09 * (right - left) and ends[1] > right - 0.09 * (right - left)


def test_the_row_of_a_turned_head_slopes_with_its_lips_and_that_of_a_straight_one_does_not() -> None:
    def slope(yaw_degrees: float, steeper: float) -> float:
        u, v = row_edge(turned(yaw_degrees, steeper)).T
        return float(np.polyfit(u, v, 1)[0])

    assert slope(20.0, 0.06) - slope(20.0, 0.0) > 0.06
    assert abs(slope(0.0, 0.06) - slope(0.0, 0.0)) < 0.02
