from __future__ import annotations

import numpy as np
import pytest
from heads import FPS

from s2v.engine.face.geometry import canonical_face
from s2v.training.evaluation.measures.head.curves import head_curves, moves, noise_gains, tremble

UNIT_PX = 80.0
BROWS, UPPER_LIDS = (63, 105, 66, 107, 293, 334, 296, 336), (160, 159, 158, 385, 386, 387)


def seen(
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    at: tuple[float, float] = (200, 150),
    unit_px: float = UNIT_PX,
    face: np.ndarray | None = None,
) -> np.ndarray:
    """Landmarks (478, 3) in pixels of the canonical face, turned by degrees, its eyes' middle at `at`."""
    points = canonical_face() if face is None else face
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    pixels = unit_px * points @ (tilt @ turn @ nod).T + [*at, 0]
    return np.concatenate([pixels, np.repeat(pixels[:1], 10, axis=0)])


def test_each_quantity_is_what_the_head_does_and_nothing_else() -> None:
    lifted, narrowed = canonical_face().copy(), canonical_face().copy()
    lifted[list(BROWS), 1] -= 0.05
    narrowed[list(UPPER_LIDS), 1] += 0.02
    frames = [
        seen(), seen(at=(208, 150)), seen(at=(200, 158)), seen(yaw=6), seen(pitch=5), seen(roll=3),
        seen(face=lifted), seen(face=narrowed), seen(),
    ]  # fmt: skip
    head = head_curves(np.stack(frames))
    off = head.values - head.values[0]
    expected = np.zeros((9, 8))
    expected[1, 0] = expected[2, 1] = 0.1  # 8 px right, 8 px down, of 80 px
    expected[3, 2], expected[4, 3], expected[5, 4] = 6, 5, 3  # degrees: nose right, nose down, clockwise
    expected[6, 6], expected[7, 7] = 0.05, -0.02
    assert off == pytest.approx(expected, abs=2e-3)


def test_a_head_that_comes_nearer_only_scales() -> None:
    head = head_curves(np.stack([seen(), seen(unit_px=1.05 * UNIT_PX), seen()]))
    assert head["scale"] == pytest.approx([1, 1.05, 1], abs=1e-6)
    assert np.ptp(head["brow"]) < 1e-9 and np.ptp(head["x"]) < 1e-9


def test_speed_and_acceleration_are_by_the_second() -> None:
    t = np.arange(50) / FPS
    found = moves(0.3 * t**2 + 0.1 * t, FPS)
    assert found.place == pytest.approx(0.3 * t**2 + 0.1 * t)
    assert found.speed == pytest.approx(0.6 * t + 0.1)
    assert found.acceleration == pytest.approx(np.full(50, 0.6))


def test_trembling_is_told_from_moving_and_blinks_count_for_nothing() -> None:
    n = 1000
    noise = 0.01 * np.random.default_rng(1).standard_normal(n)
    slow = 0.2 * np.sin(2 * np.pi * np.arange(n) / (2.0 * FPS))
    assert tremble(slow + noise) == pytest.approx(0.01, rel=0.08)
    assert tremble(slow) < 0.0007
    jumps = np.where(np.arange(n) % 100 < 4, -0.2, 0.0)
    assert tremble(slow + noise + jumps) == pytest.approx(0.01, rel=0.2)


def test_what_is_left_of_noise_is_known() -> None:
    noise = np.random.default_rng(2).standard_normal(4000)
    left = [float(part[3:-3].std()) for part in moves(noise, FPS)]
    assert left == pytest.approx(noise_gains(FPS), rel=0.05)
