from __future__ import annotations

import numpy as np
import pytest
from fakes import voice

from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.motion_level import Speak, gap_weights
from s2v.training.evaluation.measures.voice_level import as_recorded, level_figures

SPEC = LipSyncSpec()
N = 75
PCM = 0.3 * voice(3.0)
SPOKEN = np.ones(N, bool)


def loudness_mouth(power: float) -> Speak:
    """Lips that open with the level of each frame to some power: 0 is deaf to it, 1 follows it fully."""

    def speak(pcm: np.ndarray) -> np.ndarray:
        frames = pcm[: len(pcm) // 640 * 640].reshape(-1, 640)
        level = np.sqrt((frames**2).mean(1)) + 1e-4
        motion = np.zeros((len(frames), SPEC.n_motion), np.float32)
        motion[:, 0] = 3 * level**power / gap_weights(SPEC)[0]
        return motion

    return speak


def figures(power: float, film: np.ndarray | None = None) -> dict[str, float]:
    return level_figures(loudness_mouth(power), PCM, np.zeros(N) if film is None else film, SPOKEN, SPEC)


def test_lips_that_follow_the_level_shrink_with_it_and_grow_with_it() -> None:
    found = figures(1.0)
    assert found["quiet_spread"] == pytest.approx(10 ** (-30 / 20), rel=0.05)
    assert found["quiet_same"] > 0.99
    assert found["louder"] == pytest.approx(10 ** (10 / 20), rel=0.02)


def test_lips_that_do_not_care_for_the_level_stay_as_they_are() -> None:
    found = figures(1e-9)
    assert found["louder"] == pytest.approx(1, abs=1e-3)
    assert 0.4 < figures(0.1)["quiet_spread"] < 0.75


def test_noise_keeps_open_the_lips_of_who_follows_loudness() -> None:
    film = np.full(N, 0.1)
    film[30:40] = 0.0
    pcm = PCM.copy()
    pcm[30 * 640 : 40 * 640] = 0
    shut = level_figures(loudness_mouth(1.0), pcm, film, SPOKEN, SPEC)["closures_noise"]
    assert shut == 0  # noise of 10 dB less than the voice
    deaf = level_figures(lambda pcm: np.zeros((len(pcm) // 640, SPEC.n_motion), np.float32), pcm, film, SPOKEN, SPEC)
    assert deaf["closures_noise"] == 1 and np.isnan(deaf["louder"])


def test_a_recording_has_sixteen_bits() -> None:
    assert as_recorded(np.array([1e-6, 0.5, 1.5, -2.0])).tolist() == [0, 0.5, 32767 / 32768, -1]
