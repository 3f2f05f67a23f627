"""The real engines, where they are installed: same again, the phones they tell, pace and size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("av")

from s2v.errors import DataError
from s2v.training.voices.phones import N_FEATURES, phone_features
from s2v.training.voices.speech import Speaker, SynthesizedSpeech
from s2v.training.voices.synthesizers import ENGINES

TEXT = 'Bob put a "big" map up. Was it fun?'
VOICES = [
    ("flite", "slt"),
    ("flite", "kal"),
    ("festival", "ked_diphone"),
    ("festival", "cmu_us_slt_arctic_hts"),
    ("espeak-ng", "en-gb+f4"),
    ("hibari", "heart"),
]


def speech(engine: str, voice: str, text: str = TEXT, **how: float) -> SynthesizedSpeech:
    need = ENGINES[engine].missing(voice)
    if need:
        pytest.skip(f"{engine} is not installed: {need}")
    return ENGINES[engine].speak(Speaker(voice, **how), text, 1)


@pytest.mark.parametrize(("engine", "voice"), VOICES)
def test_the_same_text_gives_the_same_sound_whatever_was_said_before(engine: str, voice: str) -> None:
    first = speech(engine, voice)
    speech(engine, voice, "Something else.")
    again = speech(engine, voice)
    np.testing.assert_array_equal(first.pcm, again.pcm)
    assert first.phones == again.phones


@pytest.mark.parametrize(("engine", "voice"), VOICES)
def test_a_quicker_speaker_takes_less_time(engine: str, voice: str) -> None:
    usual, quick = speech(engine, voice), speech(engine, voice, pace=1.25)
    assert 0.7 < len(quick.pcm) / len(usual.pcm) < 0.93
    # Who is in a hurry may leave out a pause, but no phone.
    said = [[phone.name for phone in spoken.phones if phone.name != "SIL"] for spoken in (usual, quick)]
    assert said[0] == said[1]


@pytest.mark.parametrize(("engine", "voice"), VOICES)
def test_a_larger_speaker_sounds_lower_at_the_same_pace(engine: str, voice: str) -> None:
    def centre_hz(pcm: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(pcm)) ** 2
        return float((np.fft.rfftfreq(len(pcm), 1 / 16_000) * power).sum() / power.sum())

    usual, large = speech(engine, voice), speech(engine, voice, size=1.3)
    assert 0.85 < len(large.pcm) / len(usual.pcm) < 1.2
    assert centre_hz(large.pcm) < 0.95 * centre_hz(usual.pcm)


# Kokoro takes seconds for a sentence: what it has of its own is tested in kokoro/, with a small network.
@pytest.mark.parametrize(("engine", "voice"), [*(row for row in VOICES if row[0] != "hibari"), ("kokoro", "bm_george")])
def test_phones_tell_when_the_lips_close(engine: str, voice: str) -> None:
    said = speech(engine, voice, size=1.1)
    names = [phone.name for phone in said.phones]
    lips = [name for name in names if name in ("P", "B", "M", "F")]
    assert lips == ["B", "B", "P", "B", "M", "P", "P", "F"]
    assert all(a.end_s == pytest.approx(b.start_s) for a, b in itertools.pairwise(said.phones))
    assert said.phones[-1].end_s == pytest.approx(len(said.pcm) / 16_000, rel=0.04)
    # Every name is known: none of the phones but the pauses is taken for silence.
    features = phone_features(list(said.phones), len(said.pcm) // 160)
    assert features.shape[1] == N_FEATURES
    pauses_s = sum(phone.end_s - phone.start_s for phone in said.phones if phone.name == "SIL")
    assert features[:, 15].mean() * len(said.pcm) / 16_000 == pytest.approx(pauses_s, abs=0.15)
    # Loud while a vowel is spoken, quiet in the pauses.
    loud, quiet = (
        np.concatenate(
            [said.pcm[int(p.start_s * 16_000) : int(p.end_s * 16_000)] for p in said.phones if p.name in which]
        ).astype(float)
        for which in (("AE", "AA", "IH"), ("SIL",))
    )
    assert loud.std() > 4 * quiet.std()


@pytest.mark.parametrize(
    ("voice", "text", "lips"),
    [("ff_siwis", "Un peu de vin.", "P V"), ("jf_alpha", "ふゆの ママ", "ɸ M M"), ("hf_beta", "पाप", "P P")],
)
def test_other_languages_close_the_lips_in_silence_or_hum(voice: str, text: str, lips: str) -> None:
    said = speech("kokoro", voice, text)
    assert [phone.name for phone in said.phones if phone.name in ("P", "B", "M", "F", "V", "ɸ")] == lips.split()
    level = np.sqrt(np.convolve(said.pcm.astype(float) ** 2, np.ones(160) / 160, "same"))

    def loudness(names: str, of: str) -> float:
        spans = [level[int(p.start_s * 16_000) : int(p.end_s * 16_000)] for p in said.phones if p.name in names.split()]
        return float(np.median([span.min() if of == "quietest" else np.median(span) for span in spans]))

    if "P" in lips:
        assert loudness("P", "quietest") < 0.1 * loudness("AA a œ ø AE", "middle")


def test_a_voice_that_the_engine_lacks_is_an_error() -> None:
    with pytest.raises(DataError, match="no voice 'xx'"):
        speech("espeak-ng", "xx")
