from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import drawn_face

from s2v.engine.compositor.face_tables import face_tables
from s2v.engine.compositor.torch.tables.layout import Layout, is_empty
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.maps import Box
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec.of("s2v")


def holds(box: Box, other: Box) -> bool:
    return box[0] <= other[0] and box[1] <= other[1] and box[2] >= other[2] and box[3] >= other[3]


@pytest.fixture(scope="module")
def layout(closed_face: EnrolledFace) -> Layout:
    return Layout.of(face_tables(closed_face, SPEC, moving=True))


def test_boxes_of_a_moving_face_have_room_for_where_it_goes(layout: Layout, closed_face: EnrolledFace) -> None:
    tables = face_tables(closed_face, SPEC, moving=True)
    assert tables.moving is not None
    head = tables.moving.head
    left, top, right, bottom = tables.box
    carried = (left - head.reach_px, top - head.reach_px, right + head.reach_px, bottom + head.reach_px)
    for part in (layout.face, layout.eyes, layout.skin, layout.mouth):
        assert holds(layout.region, part)
    assert holds(carried, layout.face)
    assert holds(layout.face, tables.box)
    for eye in tables.moving.eyes:
        assert layout.eyes[1] == max(min(one.box[1] for one in tables.moving.eyes) - head.eyes_reach_px, 0)
        assert holds(layout.eyes, eye.box)
    assert layout.cells == (head.terms.shape[2], head.terms.shape[1])


def test_a_still_face_has_no_room_for_eyes_and_brows(closed_face: EnrolledFace) -> None:
    tables = face_tables(closed_face, SPEC, moving=False)
    still = Layout.of(tables)
    assert not still.moving
    assert still.region == still.face == tables.box
    assert is_empty(still.eyes)
    assert is_empty(still.skin)


def test_a_merged_layout_has_room_for_each(layout: Layout) -> None:
    without = replace(layout, eyes=(0, 0, 0, 0), skin=(0, 0, 0, 0), cells=(80, 10), skin_cells=(3, 90))
    merged = Layout.merged([without, layout])
    assert (merged.eyes, merged.skin) == (layout.eyes, layout.skin)  # an empty box has no corner to reach for
    assert merged.cells == (80, layout.cells[1])
    assert merged.skin_cells == (layout.skin_cells[0], 90)
    left, top, right, bottom = layout.region
    apart = Layout.merged([layout, replace(layout, region=(left, top, right - 20, bottom))])
    assert holds(apart.region, layout.region)
    assert Layout.merged([without, without]) == without


def test_faces_of_one_size_may_have_grids_of_their_own(closed_face: EnrolledFace) -> None:
    size = (closed_face.photo.shape[1], closed_face.photo.shape[0])
    other = Layout.of(face_tables(drawn_face(SPEC, size), SPEC, moving=True))
    mine = Layout.of(face_tables(closed_face, SPEC, moving=True))
    assert other.cells != mine.cells
    assert Layout.merged([mine, other]).cells == tuple(max(pair) for pair in zip(mine.cells, other.cells, strict=True))
