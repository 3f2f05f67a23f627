from __future__ import annotations

import numpy as np
import pytest
from spoken import RATE_HZ, Pcm, clicks, noise, silence, speech, tone

from s2v.engine.behaviour.hearing.prosody import MOST_LOUDNESS, OWN_LOUDNESS, Prosody, ProsodyTick

HOP = RATE_HZ // 100


def heard(pcm: Pcm) -> list[ProsodyTick]:
    return Prosody(RATE_HZ).hear(pcm[: len(pcm) // HOP * HOP])


def loudness(sounds: list[ProsodyTick]) -> np.ndarray:
    return np.array([one.loudness for one in sounds])


def spoken(sounds: list[ProsodyTick]) -> np.ndarray:
    return np.array([one.speech for one in sounds])


def test_a_step_of_pitch_is_measured_in_semitones_within_a_twentieth_of_a_second() -> None:
    low, high = 130.0, 130.0 * 2 ** (5 / 12)
    sounds = heard(np.concatenate([tone(1.0, low), tone(0.3, high)]))
    before, after = (sounds[i].semitones for i in (98, 107))
    assert before is not None and after is not None
    assert before == pytest.approx(0, abs=0.1)
    assert after == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("hz", [80.0, 200.0, 380.0])
def test_an_octave_is_not_mistaken(hz: float) -> None:
    steady = heard(tone(0.5, hz))
    semitones = [one.semitones for one in steady[10:]]
    assert all(one is not None and abs(one) < 0.2 for one in semitones)


def test_noise_and_clicks_have_no_pitch() -> None:
    for sound in (np.concatenate([silence(0.5), noise(0.4, 0.1)]), clicks(2.0)):
        assert np.mean([one.semitones is not None for one in heard(sound)]) < 0.02


@pytest.mark.parametrize("gain_db", [-20, -10, 12])
def test_loudness_is_counted_from_the_voices_own_level(gain_db: float) -> None:
    pcm = speech(12.0)
    # As loud as a voice through a microphone that is nearer or further: the noise comes with it.
    sounds, others = (heard((10 ** (db / 20) * pcm).astype(np.float32)) for db in (0, gain_db))
    usual, other = loudness(sounds), loudness(others)
    talking = usual[400:] > 0.2
    assert usual[400:][spoken(sounds)[400:]].mean() == pytest.approx(OWN_LOUDNESS, abs=0.05)
    assert np.abs(usual - other)[400:][talking].mean() < 0.11


def test_a_voice_that_begins_at_once_and_does_not_pause_is_no_noise() -> None:
    swell = 0.4 + 0.3 * np.sin(2 * np.pi * 4 * np.arange(int(2.5 * RATE_HZ)) / RATE_HZ)
    loud = (swell * tone(2.5, 150.0)).astype(np.float32)
    weak = (10 ** (-25 / 20) * tone(0.3, 150.0)).astype(np.float32)  # a syllable's end
    assert spoken(heard(np.concatenate([loud, weak])))[262:278].all()


def test_louder_is_louder_and_bounded() -> None:
    calm = speech(6.0)
    again, raised = (np.concatenate([calm, times * calm[: RATE_HZ * 2]]) for times in (1, 3))
    levels = loudness(heard(raised))
    assert levels[600:].mean() > loudness(heard(again))[600:].mean() + 0.1
    assert levels.max() <= MOST_LOUDNESS and levels.min() == 0


def test_silence_is_not_speech_and_speech_in_noise_still_is() -> None:
    assert not spoken(heard(silence(1.0))).any()
    pcm = np.concatenate([noise(4.0, 0.01), speech(4.0) + noise(4.0, 0.01, seed=1)])
    quiet, noisy = spoken(heard(pcm)), spoken(heard(np.concatenate([silence(4.0), speech(4.0)])))
    assert not quiet[200:400].any()
    assert (quiet[400:] & noisy[400:]).sum() > 0.6 * noisy[400:].sum()


@pytest.mark.parametrize("sound", [noise(8.0, 0.1), tone(8.0, 440.0), noise(8.0, 0.003)], ids=["loud", "tone", "hiss"])
def test_a_steady_sound_is_soon_taken_for_what_it_is(sound: Pcm) -> None:
    speaks = spoken(heard(np.concatenate([silence(5.0), sound])))[500:]
    assert np.flatnonzero(speaks).max(initial=0) < 320  # after 3.2 s at most


def test_the_noise_floor_is_found_sooner_in_the_first_seconds() -> None:
    # Noise that swells and fades too much to be known by its steadiness.
    swell = (1 + 0.6 * np.sin(2 * np.pi * 1.5 * np.arange(6 * RATE_HZ) / RATE_HZ)).astype(np.float32)
    rough = noise(6.0, 0.003) * swell
    first = spoken(heard(rough)).sum()
    later = spoken(heard(np.concatenate([silence(5.0), rough]))).sum()
    assert first < 0.75 * later


def test_pieces_of_several_ticks_give_the_same() -> None:
    pcm = speech(3.0)[: 300 * HOP]
    whole, prosody = heard(pcm), Prosody(RATE_HZ)
    pieces: list[ProsodyTick] = []
    for start, end in ((0, 1), (1, 4), (4, 11), (11, 11), (11, 300)):
        pieces += prosody.hear(pcm[start * HOP : end * HOP])
    assert pieces == whole
