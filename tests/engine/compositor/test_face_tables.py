from __future__ import annotations

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from fakes import drawn_face
from poses import pose_at

from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.compositor.face_tables import FaceTables, face_tables, face_warp_tables, lower_face_box
from s2v.engine.compositor.warp import LayeredWarp
from s2v.engine.face.enrolment import EnrolledFace
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()


def arrays(tables: object) -> Iterator[np.ndarray[Any, Any]]:
    """All of them, in order."""
    if isinstance(tables, np.ndarray):
        yield tables
    elif isinstance(tables, tuple):
        for one in tables:
            yield from arrays(one)
    elif is_dataclass(tables):
        for field in fields(tables):
            yield from arrays(getattr(tables, field.name))


@pytest.fixture(scope="module")
def tables(smiling_face: EnrolledFace) -> FaceTables:
    return face_tables(smiling_face, SPEC, moving=True)


def test_drawing_only_reads_the_tables(smiling_face: EnrolledFace) -> None:
    compositor = MotionCompositor(smiling_face, SPEC, moving=True)
    before = [array.copy() for array in arrays(compositor.tables)]
    assert len(before) > 25
    outputs = {"motion": np.zeros((1, SPEC.n_motion), np.float32), "tract": np.ones((1, 5), np.float32)}
    for index, jaw in ((0, 0.0), (88, 3.0), (160, 1.0)):  # the last two in a blink
        outputs["motion"][0, 0] = jaw
        compositor.draw(outputs, pose_at(index))
    for now, then in zip(arrays(compositor.tables), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_tables_cannot_be_changed_by_name(tables: FaceTables) -> None:
    assert tables.moving is not None
    for part in (tables, tables.warp, tables.interior, tables.moving, tables.moving.head, tables.moving.eyes[0]):
        with pytest.raises(FrozenInstanceError):
            setattr(part, fields(part)[0].name, None)


def test_the_mouth_lies_in_the_box_and_leaves_room_for_the_head(tables: FaceTables, smiling_face: EnrolledFace) -> None:
    still = face_tables(smiling_face, SPEC, moving=False)
    assert still.moving is None and tables.moving is not None
    reach_px = tables.moving.head.reach_px
    assert reach_px > 1
    windows = zip(tables.interior.window, still.interior.window, tables.box, (-1, -1, 1, 1), strict=True)
    for moving, held, outer, sign in windows:
        assert moving == sign * min(sign * held + reach_px, sign * outer)
    # The same pixel of the photo is the same place in both.
    for one in (tables, still):
        at = one.interior.plane_to_window[:, 2] + one.interior.window[:2]
        np.testing.assert_allclose(at, still.interior.plane_to_window[:, 2] + still.interior.window[:2])


def test_what_a_photo_shows_decides_what_is_drawn(closed_face: EnrolledFace, tables: FaceTables) -> None:
    closed = face_tables(closed_face, SPEC, moving=True)
    assert closed.line_colour is None
    assert tables.line_colour is not None and tables.line_colour.max() < 100  # darker than lips
    assert closed.moving is not None and len(closed.moving.eyes) == 2


def test_a_face_of_which_one_eye_is_on_the_photo_moves_that_one() -> None:
    face = drawn_face(SPEC, (301, 360))
    half = replace(face, photo=np.ascontiguousarray(face.photo[:, :140]))
    both, one = (face_tables(each, SPEC, moving=True).moving for each in (face, half))
    assert both is not None and one is not None
    assert (len(both.eyes), len(one.eyes)) == (2, 1)
    np.testing.assert_array_equal(one.eyes[0].to_photo, both.eyes[0].to_photo)


def test_the_map_of_the_lower_face_is_of_its_box(tables: FaceTables, smiling_face: EnrolledFace) -> None:
    left, top, right, bottom = tables.box
    assert tables.box == lower_face_box(smiling_face)
    assert tables.warp.size == (right - left, bottom - top)
    np.testing.assert_allclose(tables.warp.output_to_photo[0, 0], [left, top])
    np.testing.assert_allclose(tables.warp.output_to_photo[-1, -1], [right - 1, bottom - 1])


def test_a_grid_of_two_pixels_would_move_next_to_nothing_elsewhere(
    tables: FaceTables, smiling_face: EnrolledFace
) -> None:
    left, top, right, bottom = tables.box
    to_photo, size = np.array([[1.0, 0, left], [0, 1.0, top]]), (right - left, bottom - top)
    weights = np.zeros(SPEC.n_motion + 1, np.float32)
    weights[[0, -1]] = 4, 1  # the jaw far down, and the photo's laugh closed before
    fine = LayeredWarp(face_warp_tables(smiling_face, SPEC, to_photo, size, step=2)).source_map(weights).copy()
    apart_px = np.linalg.norm(LayeredWarp(tables.warp).source_map(weights) - fine, axis=-1)
    assert np.quantile(apart_px, 0.99) < 0.45
