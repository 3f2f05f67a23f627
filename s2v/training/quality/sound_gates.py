"""Gates that listen: whether anybody speaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.media.sound_choice import speech_s, varies_by_db
from s2v.spec import LipSyncSpec
from s2v.training.quality.findings import Refusal
from s2v.training.quality.thresholds import Thresholds

_SILENT_DB = -60.0  # of full scale


def speech_seconds(pcm: NDArray[np.int16]) -> float:
    """Of mono sound (n,) at the spec's rate, those that stand out from the noise."""
    return speech_s((pcm / 32768).astype(np.float32), LipSyncSpec.sample_rate_hz)


def no_speech(pcm: NDArray[np.int16], limits: Thresholds) -> Refusal | None:
    """Silence, or noise that never changes: speech in noise as loud as itself passes.

    Args: pcm: (n,) mono at the spec's rate.
    """
    if speech_seconds(pcm) >= limits.min_speech_s:
        return None
    varies_db = varies_by_db((pcm / 32768).astype(np.float32), LipSyncSpec.sample_rate_hz)
    if varies_db >= limits.min_varies_db:
        return None
    power = float(np.mean((pcm / 32768) ** 2)) if len(pcm) else 0.0
    level_db = 10 * np.log10(max(1e-12, power))
    what = "the sound is silent" if level_db < _SILENT_DB else f"noise of {level_db:.0f} dB that stays as it is"
    return Refusal("no-speech", f"nobody speaks: {what}", varies_db, limits.min_varies_db)
