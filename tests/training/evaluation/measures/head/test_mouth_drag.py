from __future__ import annotations

import numpy as np
import pytest
from heads import head_of, sine

from s2v.engine.face.geometry import LOWER_INNER_LIP, UPPER_INNER_LIP, canonical_face
from s2v.training.evaluation.measures.head.mouth_drag import StillHead, lip_opening, still_head, without_drag

N = 200


def test_what_goes_with_the_mouth_is_taken_out_and_the_rest_stays() -> None:
    opening, nod = 0.1 + sine(N, 0.7, 0.05), sine(N, 2.0, 3.0)
    still = StillHead(head_of(N, pitch=20 * opening, brow=-0.1 * opening), opening)
    louder = 1.5 * opening + 0.2  # the moving one opens wider: only the slope counts
    cleaned = without_drag(head_of(N, pitch=nod + 20 * louder, brow=-0.1 * louder), louder, still)
    assert cleaned["pitch"] - cleaned["pitch"].mean() == pytest.approx(nod - nod.mean())
    assert np.ptp(cleaned["brow"]) < 1e-12
    assert (cleaned["x"] == 0).all()


def test_the_skulls_points_are_cleaned_as_well() -> None:
    opening, sway = sine(N, 0.7, 0.05), sine(N, 2.0, 0.1)
    still = StillHead(head_of(N, y=0.2 * opening), opening)
    cleaned = without_drag(head_of(N, x=sway, y=0.2 * opening), opening, still)
    off = cleaned.rigid - cleaned.rigid.mean(0)
    assert off[..., 0] == pytest.approx(np.repeat((sway - sway.mean())[:, None], 16, axis=1))
    assert np.abs(off[..., 1]).max() < 1e-12


def test_a_mouth_that_stays_closed_tells_nothing() -> None:
    still = StillHead(head_of(N, pitch=sine(N, 1.0, 1.0)), np.zeros(N))
    assert without_drag(head_of(N, pitch=sine(N, 2.0, 3.0)), sine(N, 0.7, 0.05), still)["pitch"] == pytest.approx(
        sine(N, 2.0, 3.0)
    )


def test_the_opening_is_that_of_the_inner_lips() -> None:
    face = np.concatenate([canonical_face(), np.zeros((10, 3))])
    opened = face.copy()
    opened[LOWER_INNER_LIP[5], 1] += 0.06
    opened[UPPER_INNER_LIP[5], 1] -= 0.04
    landmarks = 80 * np.stack([face, opened, face])
    assert np.diff(lip_opening(landmarks)) == pytest.approx([0.1, -0.1])
    assert still_head(landmarks).opening == pytest.approx(lip_opening(landmarks))
