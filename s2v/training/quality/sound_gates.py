"""Gates that listen: whether anybody speaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.media.sound_choice import speech_s
from s2v.spec import LipSyncSpec
from s2v.training.quality.findings import Refusal
from s2v.training.quality.thresholds import Thresholds

_SILENT_DB = -60.0  # of full scale


def speech_seconds(pcm: NDArray[np.int16]) -> float:
    """Of mono sound (n,) at the spec's rate."""
    return speech_s((pcm / 32768).astype(np.float32), LipSyncSpec.sample_rate_hz)


def no_speech(pcm: NDArray[np.int16], limits: Thresholds) -> Refusal | None:
    """Silence, or noise that never changes. Args: pcm: (n,) mono at the spec's rate."""
    length_s, spoken_s = len(pcm) / LipSyncSpec.sample_rate_hz, speech_seconds(pcm)
    wanted_s = max(limits.min_speech_s, limits.min_speech_share * length_s)
    if spoken_s >= wanted_s:
        return None
    power = float(np.mean((pcm / 32768) ** 2)) if len(pcm) else 0.0
    level_db = 10 * np.log10(max(1e-12, power))
    what = "it is silent" if level_db < _SILENT_DB else f"noise of {level_db:.0f} dB"
    reason = f"nobody speaks: {spoken_s:.1f} s of speech in {length_s:.1f} s, {what}"
    return Refusal("no-speech", reason, spoken_s, wanted_s)
