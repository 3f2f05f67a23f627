from __future__ import annotations

import numpy as np
import pytest
from heads import FPS, head_of, sine

from s2v.training.evaluation.measures.head.curves import moves
from s2v.training.evaluation.measures.head.holds import hold_figures, holds_of, skull_speed

N = 400


def stepping(hold: int, step: int, way: float) -> np.ndarray:
    """(N,) a head that stands for `hold` frames, moves by `way` in `step` frames, stands, and moves back."""
    one_way = np.concatenate([np.zeros(hold), np.linspace(0, way, step + 2)[1:-1]])
    return np.resize(np.concatenate([one_way, way - one_way]), N)


def test_holds_and_steps_are_as_long_and_as_far_as_they_were_made() -> None:
    found = hold_figures([holds_of(head_of(N, x=stepping(20, 10, 0.1)), FPS)])
    assert found["step_amplitude"] == pytest.approx(0.1, abs=0.01)
    # The parabola of 0.28 s smears both ends of a step.
    assert 0.4 <= found["step_s"] <= 0.6
    assert 0.6 <= found["hold_s"] <= 0.8
    assert found["hold_share"] == pytest.approx(0.58, abs=0.08)


def test_trembling_neither_ends_a_hold_nor_makes_one() -> None:
    found = hold_figures([holds_of(head_of(N, noise=0.002, x=stepping(20, 10, 0.1)), FPS)])
    assert found["hold_share"] == pytest.approx(0.58, abs=0.12)
    assert found["step_amplitude"] == pytest.approx(0.1, abs=0.015)


def test_a_head_that_drifts_in_slow_waves_hardly_holds() -> None:
    drift = holds_of(head_of(N, x=sine(N, 3.1, 0.1), y=sine(N, 2.3, 0.1)), FPS)
    assert drift.share < 0.09


def test_speed_is_that_of_the_skull_without_its_trembling() -> None:
    t = np.arange(N) / FPS
    head = head_of(N, noise=0.003, x=0.3 * t, y=0.4 * t)
    assert float(np.sqrt((skull_speed(head, FPS)[5:-5] ** 2).mean())) == pytest.approx(0.5, rel=0.01)
    still = head_of(N, noise=0.003)
    trembling = float(np.sqrt((moves(still.rigid, FPS).speed[5:-5] ** 2).sum(-1).mean()))
    assert float(np.sqrt((skull_speed(still, FPS)[5:-5] ** 2).mean())) < 0.4 * trembling


def test_without_steps_there_is_nothing_to_tell_of_them() -> None:
    found = hold_figures([holds_of(head_of(N, x=sine(N, 1.0, 0.1)), FPS)])
    assert found["hold_share"] == 0  # it turns back within less than MIN_HOLD_S
    assert np.isnan(found["hold_s"]) and np.isnan(found["step_s"]) and np.isnan(found["step_amplitude"])
    assert all(np.isnan(value) for value in hold_figures([]).values())
