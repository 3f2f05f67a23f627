from __future__ import annotations

import numpy as np
import pytest
from vowels import VOWELS

from s2v.engine.compositor.face_tables import face_tables
from s2v.engine.compositor.layer_flows import layer_flows
from s2v.engine.compositor.warp_tables import WarpTables
from s2v.engine.face.drawn_motion import drawn_moves
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import (
    LIP_CORNERS,
    LOWER_INNER_LIP,
    OUTER_LIPS,
    UPPER_INNER_LIP,
    Points,
    canonical_face,
)
from s2v.engine.face.motion_basis import MotionBasis
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
MOVES = drawn_moves(MotionBasis.load(SPEC.motion_basis), SPEC.n_motion)
UPPER = [*UPPER_INNER_LIP[1:-1], *OUTER_LIPS[1:10]]
LOWER = [*LOWER_INNER_LIP[1:-1], *OUTER_LIPS[11:]]
CORNERS = list(LIP_CORNERS)


@pytest.fixture(scope="module", params=["closed_face", "smiling_face"])
def face(request: pytest.FixtureRequest) -> EnrolledFace:
    found: EnrolledFace = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def tables(face: EnrolledFace) -> WarpTables:
    return face_tables(face, SPEC, moving=False).warp


def read(tables: WarpTables, weights: Points, layer: int, face: EnrolledFace, points: list[int]) -> Points:
    """What a layer's flow says at landmarks of the photo, (n, 2) photo pixels: to a double's precision."""
    flow = (weights @ tables.flows.reshape(len(weights), -1)).reshape(tables.flows.shape[1:])[layer]
    at = face.landmarks[points, :2] @ tables.photo_to_cells[:, :2].T + tables.photo_to_cells[:, 2]
    corner = np.floor(at).astype(int)
    (x, y), (right, down) = corner.T, (at - corner).T
    grid = flow @ tables.cell_to_photo.T.astype(np.float64)
    top = grid[y, x] * (1 - right)[:, None] + grid[y, x + 1] * right[:, None]
    bottom = grid[y + 1, x] * (1 - right)[:, None] + grid[y + 1, x + 1] * right[:, None]
    found: Points = top * (1 - down)[:, None] + bottom * down[:, None]
    return found


def one(component: int) -> Points:
    weights: Points = np.eye(SPEC.n_motion + 1)[component]
    return weights


@pytest.mark.parametrize("component", range(SPEC.n_motion))
def test_the_flow_is_what_each_component_asks_of_the_lips(
    tables: WarpTables, face: EnrolledFace, component: int
) -> None:
    asked = face.pose.turn(MOVES[component])[:, :2]
    size_px = float(np.sqrt((asked[[*UPPER, *LOWER, *CORNERS]] ** 2).sum(1).mean()))
    for layer, points in ((0, UPPER), (1, LOWER)):
        off_px = np.linalg.norm(read(tables, one(component), layer, face, points) - asked[points], axis=1)
        assert off_px.max() < 0.015 * size_px
    for layer in (0, 1):  # several landmarks of a corner share a cell of the grid
        off_px = np.linalg.norm(read(tables, one(component), layer, face, CORNERS) - asked[CORNERS], axis=1)
        assert off_px.max() < max(0.04 * size_px, 4e-4 * face.pose.unit_px)


@pytest.mark.parametrize("vowel", VOWELS)
def test_lips_go_where_a_vowel_sends_them(tables: WarpTables, face: EnrolledFace, vowel: str) -> None:
    asked = face.pose.turn(np.tensordot(VOWELS[vowel], MOVES, 1))[:, :2]
    weights = np.append(VOWELS[vowel], 0.0)
    for layer, points in ((0, [*UPPER, *CORNERS]), (1, [*LOWER, *CORNERS])):
        off_px = np.linalg.norm(read(tables, weights, layer, face, points) - asked[points], axis=1)
        assert off_px.max() < 0.002 * face.pose.unit_px


@pytest.mark.parametrize("vowel", VOWELS)
def test_skin_is_folded_nowhere(tables: WarpTables, vowel: str) -> None:
    weights = np.append(VOWELS[vowel], 1.0)
    flows = (weights @ tables.flows.reshape(len(weights), -1)).reshape(tables.flows.shape[1:])
    for flow in flows:
        down, right = np.gradient(flow, axis=(0, 1))
        area = (1 + right[..., 0]) * (1 + down[..., 1]) - right[..., 1] * down[..., 0]
        assert area.min() > 0.3


def test_landmarks_off_the_grid_ask_nothing_of_it() -> None:
    """A grid over the left half of a face gets what a grid over all of it has there."""
    at = canonical_face()[:, :2]
    whole = np.stack(np.meshgrid(np.linspace(-1, 1, 81), np.linspace(0, 2, 81)), -1)
    cells = 40 * (at + np.array([1.0, 0.0]))
    both = layer_flows(at, MOVES[:2, :, :2], whole, cells)
    left = layer_flows(at, MOVES[:2, :, :2], whole[:, :41], cells)
    np.testing.assert_allclose(left[..., :32, :], both[..., :32, :], atol=5e-4)
