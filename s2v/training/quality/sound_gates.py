"""Gates that listen: whether anybody speaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.media.sound_choice import speech_s
from s2v.spec import LipSyncSpec
from s2v.training.quality.findings import Refusal
from s2v.training.quality.thresholds import Thresholds

_SILENT_DB = -60.0  # of full scale


def no_speech(pcm: NDArray[np.int16], limits: Thresholds) -> Refusal | None:
    """Silence, or noise that never changes. Args: pcm: (n,) mono at the spec's rate."""
    heard = (pcm / 32768).astype(np.float32)
    length_s = len(heard) / LipSyncSpec.sample_rate_hz
    spoken_s = speech_s(heard, LipSyncSpec.sample_rate_hz)
    wanted_s = max(limits.min_speech_s, limits.min_speech_share * length_s)
    if spoken_s >= wanted_s:
        return None
    level_db = 10 * np.log10(max(1e-12, float(np.mean(heard.astype(np.float64) ** 2)) if len(heard) else 0.0))
    what = "it is silent" if level_db < _SILENT_DB else f"noise of {level_db:.0f} dB"
    return Refusal(
        "no-speech", f"nobody speaks: {spoken_s:.1f} s of speech in {length_s:.1f} s, {what}", spoken_s, wanted_s
    )
