from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.behaviour.pose import AT_REST, FacePose
from s2v.engine.compositor.head.limits import (
    LEAN_BACK,
    LEAN_FORTH,
    PITCH,
    ROLL,
    SHIFT_X,
    SHIFT_Y,
    YAW,
    HeadLimits,
    head_limits,
)
from s2v.engine.face.geometry import Pose

FREE = HeadLimits(1, 1, 1, 1, 1)


def looking(yaw_degrees: float, pitch_degrees: float = 0.0) -> Pose:
    y, p = np.radians([yaw_degrees, pitch_degrees])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    pose = Pose(0.01, about_x @ about_y, np.zeros(3))
    assert pose.yaw_degrees == pytest.approx(yaw_degrees) and pose.pitch_degrees == pytest.approx(pitch_degrees)
    return pose


def amounts(pose: FacePose) -> np.ndarray:
    return np.array([*pose.shift, pose.yaw, pose.pitch, pose.roll, pose.lean])


def asking(share: float) -> FacePose:
    """That share of every limit."""
    shift = (share * SHIFT_X, share * SHIFT_Y)
    return FacePose(shift, share * YAW, share * PITCH, share * ROLL, share * LEAN_FORTH)


def test_a_little_is_given_as_asked_and_a_lot_never_goes_beyond() -> None:
    np.testing.assert_allclose(amounts(FREE.limited(asking(0.1))), amounts(asking(0.1)), rtol=0.01)
    limits = amounts(asking(1.0))
    for share in (1.0, 3.0, 100.0):
        given = amounts(FREE.limited(asking(share)))
        assert (given > 0.7 * limits).all() and (given <= limits).all()
    np.testing.assert_allclose(np.degrees(limits[2:5]), [11, 7, 4.5])
    np.testing.assert_allclose(limits[[0, 1, 5]], [0.09, 0.09, 0.06])


def test_both_ways_are_alike_but_for_leaning_back() -> None:
    there, back = FREE.limited(asking(2.0)), FREE.limited(asking(-2.0))
    np.testing.assert_allclose(amounts(back)[:5], -amounts(there)[:5])
    assert back.lean == pytest.approx(-LEAN_BACK, rel=0.01)
    assert FREE.limited(AT_REST) == AT_REST


def test_what_is_not_of_the_head_passes() -> None:
    pose = FacePose(breath=0.7, gaze=(0.3, -0.2), closed=0.9, widen=0.2, brows=0.05, cheeks=0.4, corners=0.02)
    assert head_limits(looking(20), 0.0, 0.0, 0.5).limited(pose) == pose


def test_a_turned_photo_turns_less_and_one_by_the_border_moves_less() -> None:
    free = head_limits(looking(0), 0.5, 0.5, 1.0)
    assert free == FREE
    by_yaw = [head_limits(looking(yaw), 0.5, 0.5, 1.0).turn_share for yaw in (0, 10, 25, -25, 30)]
    assert by_yaw[0] > by_yaw[1] > by_yaw[2] == by_yaw[3] == by_yaw[4]
    assert 4 <= by_yaw[2] * np.degrees(YAW) <= 6
    assert head_limits(looking(0, 25), 0.5, 0.5, 1.0).nod_share < 1
    beside, above = head_limits(looking(0), 0.0, 0.5, 1.0), head_limits(looking(0), 0.5, 0.06, 1.0)
    assert (beside.x_share, beside.y_share, beside.roll_share, beside.turn_share) == (0.6, 1, 0.6, 1)
    assert (above.x_share, above.y_share, above.roll_share) == (1, 0.9, 1)  # it slides along the upper border
    tight = head_limits(looking(0), 0.0, 0.0, 0.25)
    np.testing.assert_allclose(tight.turn_share, 0.25)
    np.testing.assert_allclose(tight.x_share, 0.15)
