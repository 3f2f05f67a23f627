from __future__ import annotations

import numpy as np
import pytest

from s2v.engine.audio.voice_activity import MIN_RUN_BLOCKS, OVER_NOISE_DB, QUIETEST_SPEECH_DB, VoiceActivity, levels_db


def heard(*parts: tuple[float, int]) -> list[bool]:
    """Which blocks are speech, of levels in dB that last so many blocks each."""
    activity = VoiceActivity()
    return [activity.hears(level_db) for level_db, n_blocks in parts for _ in range(n_blocks)]


def test_a_voice_is_speech_from_its_fourth_block_to_its_last_and_a_knock_is_none() -> None:
    voice = heard((-60.0, 50), (-30.0, 20), (-60.0, 50))
    assert np.flatnonzero(voice).tolist() == list(range(50 + MIN_RUN_BLOCKS - 1, 70))
    assert not any(heard((-60.0, 50), (-30.0, MIN_RUN_BLOCKS - 1), (-60.0, 50)))


@pytest.mark.parametrize("noise_db", [-70.0, -50.0, -30.0])
def test_what_stands_out_from_the_noise_is_speech_however_loud_the_noise_is(noise_db: float) -> None:
    assert any(heard((noise_db, 50), (noise_db + OVER_NOISE_DB + 0.1, 10)))
    assert not any(heard((noise_db, 50), (noise_db + OVER_NOISE_DB - 0.1, 10)))


def test_what_is_too_quiet_is_none_though_it_stands_out() -> None:
    knock_and_hush = (-60.0, 1), (-90.0, 50)  # something was recorded, so that the hush is the noise
    assert not any(heard(*knock_and_hush, (QUIETEST_SPEECH_DB - 0.1, 10)))
    assert any(heard(*knock_and_hush, (QUIETEST_SPEECH_DB + 0.1, 10)))


def test_a_steady_sound_has_become_the_noise_after_two_seconds() -> None:
    loud = heard((-60.0, 100), (-30.0, 250))
    assert loud[150] and not any(loud[300:])


def test_digital_silence_before_a_sound_is_no_measure_of_the_noise() -> None:
    assert not any(heard((-200.0, 150), (-50.0, 100)))


def test_levels_are_rms_in_db_of_full_scale() -> None:
    blocks = np.stack([np.zeros(160), np.full(160, 0.1), np.tile([1.0, -1.0], 80)]).astype(np.float32)
    assert levels_db(blocks) == pytest.approx([-200.0, -20.0, 0.0], abs=1e-5)
    assert levels_db(blocks[:0]) == []
