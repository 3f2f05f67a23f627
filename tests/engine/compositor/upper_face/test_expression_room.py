from __future__ import annotations

from dataclasses import replace

import pytest

from s2v.engine.behaviour.pose import FacePose
from s2v.engine.compositor.upper_face.expression_room import (
    BROWS_FACE_UNITS,
    CORNERS_FACE_UNITS,
    WIDEN,
    ExpressionRoom,
    expression_room,
    smile_share,
)
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import MOUTH_CORNERS

WHOLE = ExpressionRoom(brows=1.0, cheeks=1.0, raised=1.0, lowered=1.0)


def test_a_laugh_leaves_little_of_a_smile_and_closed_lips_all(
    closed_face: EnrolledFace, smiling_face: EnrolledFace
) -> None:
    calm, laughing = (expression_room(face.canonical, 0.0) for face in (closed_face, smiling_face))
    assert calm.raised > 0.9
    assert laughing.raised < 0.35
    assert laughing.cheeks < 0.35
    assert laughing.lowered > 1.8


def test_a_smile_is_measured_step_by_step(closed_face: EnrolledFace) -> None:
    shares = []
    for lift in (0.0, 0.05, 0.10, 0.15):
        smiling = closed_face.canonical.copy()
        smiling[list(MOUTH_CORNERS)] += [[-lift, -lift, 0], [lift, -lift, 0]]
        shares.append(smile_share(smiling))
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] > 0.9


def test_amounts_are_scaled_and_limited() -> None:
    room = ExpressionRoom(brows=0.5, cheeks=0.4, raised=0.2, lowered=2.0)
    fitted = room.fitted(FacePose(brows=0.02, cheeks=0.5, corners=0.03, widen=0.1))
    assert fitted == FacePose(brows=0.01, cheeks=0.2, corners=pytest.approx(0.006), widen=0.1)  # type: ignore[arg-type]
    assert room.fitted(FacePose(corners=-0.01)).corners == pytest.approx(-0.02)


@pytest.mark.parametrize("sign", [0, 1])
def test_nothing_goes_beyond_what_looks_right(sign: int) -> None:
    far = (-9.0, 9.0)[sign]
    fitted = WHOLE.fitted(FacePose(brows=far, cheeks=far, corners=far, widen=far))
    limits = BROWS_FACE_UNITS[sign], (0.0, 1.0)[sign], CORNERS_FACE_UNITS[sign], WIDEN[sign]
    assert (fitted.brows, fitted.cheeks, fitted.corners, fitted.widen) == limits


def test_what_is_no_expression_stays() -> None:
    pose = FacePose(shift=(0.1, 0.2), yaw=0.3, gaze=(0.1, 0.0), closed=0.4)
    assert WHOLE.fitted(pose) is pose
    assert WHOLE.fitted(replace(pose, brows=0.01)) == replace(pose, brows=0.01)
