from __future__ import annotations

import numpy as np
import pytest
from heads import FPS, head_of, sine

from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.head.motion import amounts, coupling, head_figures
from s2v.training.evaluation.measures.metrics import loudness

N = 600
SPEC = LipSyncSpec()


def phrases(seed: int = 3) -> np.ndarray:
    """(N,) loudness of a voice that comes and goes."""
    random = np.random.default_rng(seed)
    wave = np.convolve(random.standard_normal(N + 20), np.hanning(12), "valid")[:N]
    return np.asarray(wave)


def test_deviation_speed_and_acceleration_of_a_sine() -> None:
    found = amounts(head_of(N, roll=sine(N, 1.5, 3.0)), FPS)
    omega = 2 * np.pi / 1.5
    assert found["roll_sd"] == pytest.approx(3 / np.sqrt(2), rel=0.03)
    assert found["roll_speed"] == pytest.approx(omega * 3 / np.sqrt(2), rel=0.05)
    assert found["roll_acceleration"] == pytest.approx(omega**2 * 3 / np.sqrt(2), rel=0.08)
    assert found["x_sd"] == found["lid_speed"] == 0


def test_the_detectors_trembling_is_no_motion() -> None:
    still, moving = (amounts(head_of(N, noise=0.01, y=curve), FPS) for curve in (np.zeros(N), sine(N, 2.0, 0.05)))
    assert still["y_sd"] < 0.3 * 0.01  # of which the parabola lets 0.58 through
    assert still["y_speed"] < 0.5 * 0.01 * 4.7
    assert moving["y_sd"] == pytest.approx(0.05 / np.sqrt(2), rel=0.05)
    assert moving["y_speed"] == pytest.approx(np.pi * 0.05 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize(("sign", "late"), [(1, 5), (-1, -7)])
def test_coupling_finds_lag_and_strength_whatever_the_sign(sign: int, late: int) -> None:
    loud = phrases()
    own = sign * np.roll(loud, late) + 0.5 * phrases(seed=9)
    found = coupling(own, loud, FPS)
    assert found.lag_s == pytest.approx(late / FPS)
    assert found.r > 0.8 and found.r - found.chance > 0.5


def test_a_head_that_does_not_listen_is_no_better_than_chance() -> None:
    gains = [found.r - found.chance for seed in range(20, 32) if (found := coupling(phrases(seed), phrases(), FPS))]
    assert abs(float(np.median(gains))) < 0.08


def test_short_clips_say_nothing_of_coupling() -> None:
    assert np.isnan(coupling(phrases()[:149], phrases()[:149], FPS)).all()
    assert not np.isnan(coupling(phrases()[:150], phrases()[:150], FPS)).any()


def test_a_head_that_nods_with_a_voice_has_all_figures() -> None:
    pcm = (np.repeat(np.abs(phrases()), 640) * np.random.default_rng(0).standard_normal(N * 640) * 0.05).astype(
        np.float32
    )
    loud = loudness(pcm, N, SPEC)
    lid = np.where(np.arange(N) % 100 < 6, 0.02, 0.1)
    figures = head_figures(head_of(N, noise=1e-4, pitch=0.5 * np.roll(loud, 3), lid=lid), pcm, SPEC)
    assert figures["pitch_follows"] > 0.8 and figures["pitch_lag_s"] == pytest.approx(0.12, abs=0.05)
    assert figures["pitch_follows"] - figures["pitch_chance"] > 0.4
    assert figures["blinks_a_minute"] == pytest.approx(60 * 5 / 24)  # the one that the beginning cuts is left out
    assert figures["shut_s"] > 0.1 and np.isfinite(figures["hold_share"])
