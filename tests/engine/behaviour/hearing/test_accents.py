from __future__ import annotations

import numpy as np
import pytest
from spoken import RATE_HZ, Pcm, phrase, silence, speech, tone

from s2v.engine.behaviour.hearing.accents import SHORTEST_GAP_S, STRONG, Accents
from s2v.engine.behaviour.hearing.prosody import Prosody, ProsodyTick


def accents(pcm: Pcm) -> np.ndarray:
    """Strength in each tick."""
    finder = Accents()
    return np.array(
        [finder.hear(sound, speaking=True) for sound in Prosody(RATE_HZ).hear(pcm[: len(pcm) // 160 * 160])]
    )


def test_the_stressed_syllable_is_found_while_it_sounds() -> None:
    calm = speech(12.0)  # by then the threshold has found the voice
    stressed_s = len(calm) / RATE_HZ + 0.5 + 4 * 0.2
    found = accents(np.concatenate([calm, silence(0.5), phrase(0.7, 0.7, 0.7, 0.7, 2.5, 0.7, 0.7, level=0.15)]))
    at_s = np.flatnonzero(found) / 100
    assert ((at_s > stressed_s) & (at_s < stressed_s + 0.2)).any()
    strength = found[round(stressed_s * 100) : round(stressed_s * 100) + 20].max()
    assert strength >= np.median(found[found > 0])


def test_a_first_word_is_no_accent_for_being_the_first() -> None:
    first = [accents(speech(3.0, seed=seed))[:60].any() for seed in range(12)]
    assert np.mean(first) < 0.6  # every one, were the loudness before it taken for 0


def test_a_voice_has_as_many_accents_when_it_begins_as_when_it_is_known() -> None:
    counts = []
    for seed in range(8):
        pcm = speech(4.0, seed=seed)
        found = accents(np.concatenate([pcm, pcm, pcm]))
        counts.append([(found[begin : begin + 400] > 0).sum() for begin in (0, 800)])
    first, known = np.mean(counts, axis=0)
    assert first > 0.8 * known
    assert min(count for count, _ in counts) >= 2


@pytest.mark.parametrize("level", [0.03, 0.15, 0.4])
def test_one_to_two_accents_a_second_are_found_in_any_voice(level: float) -> None:
    pcm = speech(30.0, level=level)
    found = accents(pcm)
    talking_s = sum(sound.speech for sound in Prosody(RATE_HZ).hear(pcm)) / 100
    assert 0.9 < (found[500:] > 0).sum() / (talking_s * 25 / 30) < 2.0
    strong = (found > STRONG).sum() / (found > 0).sum()
    assert 0.05 < strong < 0.5
    assert np.diff(np.flatnonzero(found)).min() >= round(SHORTEST_GAP_S * 100)


def test_a_higher_pitch_alone_is_an_accent() -> None:
    finder, level = Accents(), 0.6
    for _ in range(400):
        finder.hear(ProsodyTick(level, True, 0.0), speaking=True)
    assert not any(finder.hear(ProsodyTick(level, True, 0.0), speaking=True) for _ in range(100))
    high = [ProsodyTick(level, True, 7.0)] * 30
    assert any(finder.hear(sound, speaking=True) for sound in high)


def test_silence_and_a_steady_tone_have_none() -> None:
    assert not accents(silence(3.0)).any()
    assert (accents(np.concatenate([silence(1.0), tone(6.0, 220.0)]))[400:] == 0).all()


def test_there_are_none_outside_phrases() -> None:
    finder = Accents()
    pcm = speech(4.0)
    assert not any(finder.hear(sound, speaking=False) for sound in Prosody(RATE_HZ).hear(pcm))
