"""How late sound is, measured on real talkers whose sound is shifted by a known time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from s2v.training.quality.findings import head_of
from s2v.training.quality.lip_sync import Curves, Hear, estimate_offset, seen_curves, shipped_model_hears

Talk = tuple[Curves, NDArray[np.float64], NDArray[np.int16]]


@pytest.fixture(scope="module")
def hear() -> Hear:
    return shipped_model_hears()


@pytest.fixture(scope="module", params=["s1/pgid5s", "other/sbwe5n"])
def talk(request: pytest.FixtureRequest, features: Path) -> Talk:
    """Lips, the moments of their pictures, and sound, of three seconds."""
    with np.load(features / f"{request.param}.npz") as stored:
        curves = seen_curves(head_of(stored["landmarks"]).canonical)
        return curves, stored["times_s"].astype(np.float64), stored["pcm"]


def shifted(pcm: NDArray[np.int16], late_s: float) -> NDArray[np.int16]:
    """With silence where there is no sound any more."""
    samples = round(abs(late_s) * 16_000)
    silence = np.zeros(samples, np.int16)
    return np.concatenate([silence, pcm[:-samples]] if late_s > 0 else [pcm[samples:], silence])


@pytest.mark.parametrize("late_s", [-0.4, -0.2, 0.12, 0.3])
def test_sound_is_found_as_late_as_it_is(talk: Talk, hear: Hear, late_s: float) -> None:
    seen, times_s, pcm = talk
    before, after = (estimate_offset(hear(sound), seen, times_s) for sound in (pcm, shifted(pcm, late_s)))
    assert before is not None
    assert after is not None
    assert before.offset_s == pytest.approx(0, abs=0.05)
    assert after.offset_s - before.offset_s == pytest.approx(late_s, abs=0.03)
    assert after.margin > 0.15
    assert after.correlation > 0.4


def test_the_sound_of_another_clip_fits_nowhere_clearly(talk: Talk, hear: Hear, features: Path) -> None:
    seen, times_s, _ = talk
    with np.load(features / "other/sbwe5n.npz") as other, np.load(features / "s1/pgid5s.npz") as one:
        not_this = max((one["pcm"], other["pcm"]), key=lambda pcm: not np.array_equal(pcm, talk[2]))
    estimate = estimate_offset(hear(not_this), seen, times_s)
    assert estimate is None or estimate.margin < 0.15


def test_pictures_that_were_dropped_do_not_move_the_offset(talk: Talk, hear: Hear) -> None:
    seen, times_s, pcm = talk
    shown = np.maximum.accumulate(np.where(np.arange(len(times_s)) % 3 == 1, 0, np.arange(len(times_s))))
    estimate = estimate_offset(hear(pcm), seen[:, shown], times_s[shown])
    assert estimate is not None
    assert estimate.offset_s == pytest.approx(0, abs=0.05)


def test_lips_or_sound_that_do_not_move_say_nothing(talk: Talk, hear: Hear) -> None:
    seen, times_s, pcm = talk
    assert estimate_offset(hear(pcm), np.zeros_like(seen), times_s) is None
    assert estimate_offset(np.zeros_like(hear(pcm)), seen, times_s) is None
    assert estimate_offset(hear(pcm[:6000]), seen[:, :9], times_s[:9]) is None
    assert estimate_offset(np.zeros((2, 0)), np.zeros((2, 0)), np.zeros(0)) is None
