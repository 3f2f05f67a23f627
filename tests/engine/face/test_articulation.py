from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from s2v.engine.face.articulation import (
    CLOSED,
    LEAST,
    MOST,
    USUAL,
    articulated,
    articulation_tables,
    check_articulation,
)
from s2v.engine.face.geometry import LOWER_INNER_LIP, MOUTH_CORNERS, UPPER_INNER_LIP
from s2v.engine.face.motion_basis import MotionBasis
from s2v.errors import S2vError
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec()
TABLES = articulation_tables(SPEC)
BASIS = MotionBasis.load(SPEC.motion_basis)
MOTIONS = arrays(np.float32, SPEC.n_motion, elements=st.floats(-4, 4, width=32))
SHARES = st.floats(LEAST, MOST)


def gap(motion: np.ndarray) -> float:
    """Opening at the middle of the lips, face units."""
    at = BASIS.displacement(np.array([UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]]))
    return float(motion @ (at[:, 1, 1] - at[:, 0, 1]))


def width(motion: np.ndarray) -> float:
    """How much wider than at rest the mouth is, face units."""
    left, right = BASIS.displacement(np.array(MOUTH_CORNERS)).transpose(1, 0, 2)
    return abs(float(motion @ (right - left)[:, 0]))


@given(MOTIONS, SHARES)
def test_lips_that_are_closed_stay_as_closed_as_they_are(motion: np.ndarray, share: float) -> None:
    before, after = gap(motion), gap(articulated(motion, share, TABLES))
    assert after == pytest.approx(before if before <= CLOSED else CLOSED + share * (before - CLOSED), abs=2e-5)


@given(MOTIONS)
def test_as_usual_nothing_changes_by_one_bit(motion: np.ndarray) -> None:
    assert articulated(motion, USUAL, TABLES) is motion


@given(SHARES)
def test_rest_is_rest(share: float) -> None:
    assert not articulated(np.zeros(SPEC.n_motion, np.float32), share, TABLES).any()


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_a_rounded_mouth_is_rounded_more_or_less_even_where_it_is_closed(share: float) -> None:
    """As in W: what is not opening is scaled whole."""
    motion = np.zeros(SPEC.n_motion, np.float32)
    motion[1:4] = 1.5, -1.0, 1.0
    motion -= np.float32(gap(motion)) * TABLES.closing  # lips that just touch
    assert abs(gap(motion)) < 1e-5
    np.testing.assert_allclose(articulated(motion, share, TABLES), share * motion, atol=1e-5)
    assert width(articulated(motion, share, TABLES)) == pytest.approx(share * width(motion), rel=1e-4)


def test_what_opens_the_lips_by_a_face_unit_moves_the_face_the_least() -> None:
    def moved(motion: np.ndarray) -> float:
        return float((np.tensordot(motion, BASIS.components, 1) ** 2).sum())

    assert gap(TABLES.closing) == pytest.approx(1, abs=1e-5)
    random = np.random.default_rng(0)
    for _ in range(50):
        other = TABLES.closing + random.normal(0, 0.3, SPEC.n_motion)
        other /= gap(other)
        assert moved(other) > moved(TABLES.closing)


def test_frames_are_scaled_each_by_itself() -> None:
    motion = np.random.default_rng(0).normal(0, 1.5, (6, SPEC.n_motion)).astype(np.float32)
    together = articulated(motion, 1.3, TABLES)
    assert together.dtype == np.float32
    for row, one in zip(together, motion, strict=True):
        np.testing.assert_allclose(row, articulated(one, 1.3, TABLES), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [0.5, 1, 1.0, 1.5, np.float64(0.7)])
def test_shares_from_a_half_to_one_and_a_half_are_taken(value: float) -> None:
    assert check_articulation(value) == value and type(check_articulation(value)) is float


@pytest.mark.parametrize("value", [0.49, 1.51, -1, 0, float("nan"), float("inf"), True, "1", None, [1.0], 10**400])
def test_whatever_else_is_refused_in_one_line(value: object) -> None:
    with pytest.raises(S2vError, match=r"^articulation is .{1,40}: give a number from 0\.5 to 1\.5, 1\.0 is as it is$"):
        check_articulation(value)


@pytest.mark.parametrize("value", [1, 1.3, np.float32(1.3), np.int64(1)])
def test_numbers_of_numpy_are_numbers(value: object) -> None:
    assert check_articulation(value) == pytest.approx(float(value))  # type: ignore[arg-type]
