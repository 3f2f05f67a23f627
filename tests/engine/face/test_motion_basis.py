from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import MOUTH_CORNERS, N_MESH, OUTER_EYES, RIGID, Points, canonical_face
from s2v.engine.face.motion_basis import MotionBasis, aperture, lip_gaps, mirror_index, neutral_face, symmetric
from s2v.errors import ModelError
from s2v.spec import LipSyncSpec

BASIS = MotionBasis.load(LipSyncSpec().motion_basis)
EVERYWHERE = np.arange(N_MESH)
COEFFICIENTS = arrays(np.float64, (3, len(BASIS.components)), elements=st.floats(-4, 4))


def test_mirroring_twice_gives_every_point_back() -> None:
    mirror = mirror_index()
    np.testing.assert_array_equal(mirror[mirror], EVERYWHERE)
    assert mirror[OUTER_EYES[0]] == OUTER_EYES[1]
    assert mirror[MOUTH_CORNERS[0]] == MOUTH_CORNERS[1]
    assert mirror[13] == 13  # on the middle line


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_symmetric_motion_is_left_as_it_is(seed: int) -> None:
    once = symmetric(np.random.default_rng(seed).standard_normal((2, N_MESH, 3)))
    np.testing.assert_allclose(symmetric(once), once, atol=1e-12)
    np.testing.assert_allclose(once[:, mirror_index()] * [-1, 1, 1], once, atol=1e-12)


def test_components_are_orthogonal_and_sorted() -> None:
    flat = BASIS.components.reshape(len(BASIS.components), -1)
    lengths = np.linalg.norm(flat, axis=1)
    np.testing.assert_allclose(flat @ flat.T / np.outer(lengths, lengths), np.eye(len(flat)), atol=1e-6)
    assert (np.diff(lengths) < 0).all()
    assert len(flat) >= LipSyncSpec().n_motion


@settings(max_examples=40, deadline=None)
@given(COEFFICIENTS)
def test_coefficients_undo_displacement(coefficients: Points) -> None:
    moved = canonical_face() + np.tensordot(coefficients, BASIS.displacement(EVERYWHERE), 1)
    np.testing.assert_allclose(BASIS.coefficients(moved, canonical_face()), coefficients, atol=1e-6)


def test_one_sided_motion_counts_half() -> None:
    # A basis of symmetric motion sees the part of a crooked mouth that both sides share.
    lopsided = BASIS.displacement(EVERYWHERE)[0] * (canonical_face()[:, :1] > 0)
    said = BASIS.coefficients((canonical_face() + lopsided)[None], canonical_face())[0]
    assert said[0] == pytest.approx(0.5, abs=0.1)


def test_displacement_is_asked_for_point_by_point() -> None:
    some = np.array([14, 33, 152])
    np.testing.assert_array_equal(BASIS.displacement(some), BASIS.displacement(EVERYWHERE)[:, some])
    assert BASIS.displacement(some)[:, 1].any() == 0  # the corner of the eye
    assert np.abs(BASIS.displacement(np.array(RIGID))).max() == 0


def test_the_first_component_opens_the_jaw_and_the_second_widens_the_mouth() -> None:
    moves = BASIS.displacement(EVERYWHERE)
    opens = aperture(canonical_face() + moves) - aperture(canonical_face())
    assert opens[0] == max(opens)
    assert opens[0] > 0.03
    assert moves[0, 152, 1] > 0.02  # the chin goes down, y being down
    left, right = moves[1][list(MOUTH_CORNERS), 0]
    assert right - left > opens[1] > 0


def test_a_basis_that_is_not_shipped_is_named() -> None:
    with pytest.raises(ModelError, match="basis 'klingon-7', which this version does not ship"):
        MotionBasis.load("klingon-7")


def test_aperture_tells_closed_lips_from_open_ones(closed_face: EnrolledFace, smiling_face: EnrolledFace) -> None:
    assert aperture(closed_face.canonical) < 0.004
    assert aperture(smiling_face.canonical) > 0.06
    overlapping = closed_face.canonical.copy()
    overlapping[14, 1] = overlapping[13, 1] - 0.002
    assert aperture(overlapping) == pytest.approx(-0.002)
    both = np.stack([closed_face.canonical, smiling_face.canonical])
    assert lip_gaps(both).shape == (2, 9)
    np.testing.assert_array_equal(aperture(both), lip_gaps(both)[:, 4])


def test_the_neutral_face_is_the_closed_one_among_a_talkers_frames(closed_face: EnrolledFace) -> None:
    opening = np.abs(np.sin(np.arange(60) / 5))
    spoken = closed_face.canonical + np.multiply.outer(opening, BASIS.displacement(EVERYWHERE)[0])
    neutral = neutral_face(spoken)
    assert np.abs(neutral - closed_face.canonical).max() < 0.01
    first = BASIS.coefficients(spoken, neutral)[:, 0]
    assert np.corrcoef(first, opening)[0, 1] > 0.999
    assert first.min() > -0.1
