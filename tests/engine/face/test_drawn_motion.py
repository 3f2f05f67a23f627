from __future__ import annotations

import numpy as np
import pytest
from vowels import VOWELS

from s2v.engine.face.drawn_motion import drawn_moves
from s2v.engine.face.geometry import LOWER_INNER_LIP, MOUTH_CORNERS, N_MESH, UPPER_INNER_LIP, Points
from s2v.engine.face.motion_basis import MotionBasis, mirror_index

BASIS = MotionBasis.load("grid-s1")
ASKED = BASIS.displacement(np.arange(N_MESH))
DRAWN = drawn_moves(BASIS, len(ASKED))
BESIDE_CORNER, NOSE_TIP, UPPER_EYE = 287, 1, 159


def width_and_opening(moves: Points) -> tuple[float, float]:
    left, right = MOUTH_CORNERS
    upper, lower = UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]
    return moves[right, 0] - moves[left, 0], moves[lower, 1] - moves[upper, 1]


@pytest.mark.parametrize("vowel", VOWELS)
def test_a_mouth_is_drawn_narrower_and_a_little_less_open_than_it_is_to_be_read(vowel: str) -> None:
    width, opening = width_and_opening(np.tensordot(VOWELS[vowel], ASKED, 1))
    drawn_width, drawn_opening = width_and_opening(np.tensordot(VOWELS[vowel], DRAWN, 1))
    assert drawn_width == pytest.approx(1.20 * width - 0.13 * opening, abs=1e-6)
    assert drawn_opening == pytest.approx(0.95 * opening, abs=1e-6)


def test_motion_that_changes_neither_width_nor_opening_is_drawn_as_it_is() -> None:
    shape = np.array([width_and_opening(moves) for moves in ASKED])
    _, _, directions = np.linalg.svd(shape.T)
    lips = [*UPPER_INNER_LIP, *LOWER_INNER_LIP]
    for direction in directions[2:]:
        as_asked, as_drawn = (np.tensordot(direction, moves, 1)[lips] for moves in (ASKED, DRAWN))
        np.testing.assert_allclose(as_drawn, as_asked, atol=5e-4)


def test_the_corners_carry_the_skin_beside_them() -> None:
    narrow = np.tensordot(VOWELS["UW"], ASKED, 1)
    drawn = np.tensordot(VOWELS["UW"], DRAWN, 1)
    corner = MOUTH_CORNERS[1]
    assert narrow[BESIDE_CORNER, 0] / narrow[corner, 0] < 0.65
    assert 0.7 < drawn[BESIDE_CORNER, 0] / drawn[corner, 0] < 0.95


def test_both_sides_move_alike_and_nothing_above_the_mouth() -> None:
    np.testing.assert_allclose(DRAWN[:, mirror_index()] * [-1, 1, 1], DRAWN, atol=1e-6)
    assert np.abs(DRAWN[:, [NOSE_TIP, UPPER_EYE]]).max() == 0


def test_a_model_of_fewer_coefficients_gets_as_many() -> None:
    assert drawn_moves(BASIS, 4).shape == (4, N_MESH, 3)
