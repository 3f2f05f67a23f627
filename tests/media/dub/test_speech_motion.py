from __future__ import annotations

import numpy as np
import pytest

from s2v.media.dub.speech_motion import SpeechMotion
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec.of("s2v")


def _curve(values: np.ndarray) -> SpeechMotion:
    n = len(values)
    motion = np.repeat(values[:, None], SPEC.n_motion, 1).astype(np.float32)
    return SpeechMotion(SPEC, motion, np.zeros((n, 5), np.float32), np.linspace(0.9, 1.2, n).astype(np.float32))


def test_in_the_middle_of_a_frame_it_is_what_the_network_said() -> None:
    values = np.array([0.0, 1.0, -2.0, 0.5, 3.0])
    motion = _curve(values)
    for frame, value in enumerate(values):
        outputs, effort = motion.at((frame + 0.5) / SPEC.fps)
        assert outputs["motion"].shape == (1, SPEC.n_motion)
        np.testing.assert_allclose(outputs["motion"], value, atol=1e-5)
        assert effort == pytest.approx(motion.efforts[frame])


def test_between_frames_it_follows_a_smooth_curve() -> None:
    at = (np.arange(50) + 0.5) / SPEC.fps
    motion = _curve(np.sin(2 * np.pi * 3 * at))
    for time_s in np.arange(0.2, 1.8, 1 / 60):
        assert motion.at(time_s)[0]["motion"][0, 0] == pytest.approx(np.sin(2 * np.pi * 3 * time_s), abs=0.02)


def test_before_and_after_the_recording_it_stays() -> None:
    motion = _curve(np.array([1.0, 2.0, 4.0]))
    assert motion.at(-1.0)[0]["motion"][0, 0] == 1
    assert motion.at(9.0)[0]["motion"][0, 0] == 4
