from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.compositor.upper_face.expression_tables import SkinField, expression_tables
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.spec import LipSyncSpec


def fields(face: EnrolledFace) -> list[SkinField]:
    tables = expression_tables(face, 3)
    found = [field for field in (tables.brows, tables.cheeks) if field is not None]
    assert len(found) == 2
    return found


def test_a_field_ends_with_cells_that_stay(closed_face: EnrolledFace) -> None:
    for field in fields(closed_face):
        rim = np.ones(field.forward.shape[:2], bool)
        rim[1:-1, 1:-1] = False
        assert not field.forward[rim].any()
        assert field.forward[~rim].any()


def test_boxes_lie_on_the_photo_and_hold_whole_cells(smiling_face: EnrolledFace) -> None:
    height, width = smiling_face.photo.shape[:2]
    for field in fields(smiling_face):
        left, top, right, bottom = field.box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert field.cell_px % 2 == 1
        assert field.forward.shape == ((bottom - top) // field.cell_px, (right - left) // field.cell_px, 2)
        assert 3 <= field.pad_px < 3 + 0.05 * smiling_face.pose.unit_px


def test_a_larger_photo_has_as_many_cells_of_more_pixels(closed_face: EnrolledFace) -> None:
    photo = np.repeat(np.repeat(closed_face.photo, 2, 0), 2, 1)
    landmarks = closed_face.landmarks * 2 + [0.5, 0.5, 0]
    for small, large in zip(
        fields(closed_face), fields(face_from_landmarks(photo, landmarks, LipSyncSpec())), strict=True
    ):
        assert large.cell_px > 1.5 * small.cell_px
        assert abs(large.forward).max() == pytest.approx(2 * abs(small.forward).max(), rel=0.05)
        np.testing.assert_allclose(large.forward.shape, small.forward.shape, atol=8)


def test_brows_go_up_and_inner_ends_apart(closed_face: EnrolledFace) -> None:
    brows = fields(closed_face)[0].forward
    assert brows[..., 1].max() <= 0
    half = brows.shape[1] // 2
    assert brows[:, half:, 0].sum() - brows[:, :half, 0].sum() > 0.05 * -brows[..., 1].sum()
