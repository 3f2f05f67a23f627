from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v.engine.audio.effort import LEAST, LOUDEST_TALK_DB, MOST, VocalEffort, effort_of, efforts
from s2v.spec import LipSyncSpec

SPEC = LipSyncSpec.of("s2v")
RATE_HZ = SPEC.sample_rate_hz


def talk(seconds: float, level_db: float = -30.0, noise_db: float = -90.0, seed: int = 0) -> np.ndarray:
    """Syllables of 0.2 s, every second one 3 dB louder, with 0.1 s between them, over noise."""
    rng = np.random.default_rng(seed)
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    stress = np.where(at_s % 0.6 < 0.3, 10 ** (3 / 20), 1.0)
    voice = rng.standard_normal(len(at_s)) * (at_s % 0.3 < 0.2) * stress * 10 ** (level_db / 20)
    return (voice + rng.standard_normal(len(at_s)) * 10 ** (noise_db / 20)).astype(np.float32)


def louder(pcm: np.ndarray, db: float) -> np.ndarray:
    return np.asarray(pcm * 10 ** (db / 20), np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 24_000), st.lists(st.integers(0, 4000), min_size=1, max_size=30))
def test_chunks_do_not_change_a_bit(n_samples: int, lengths: list[int]) -> None:
    pcm = np.concatenate([talk(0.9), louder(talk(0.6), 12)])[:n_samples]
    stream, at = VocalEffort(SPEC), 0
    found: list[float] = []
    while at < n_samples:
        length = lengths.pop() if lengths else 777
        stream.hear(pcm[at : at + length])
        at += length
        while len(found) < SPEC.frame_count(n_samples) and SPEC.ready_at(len(found)) <= min(at, n_samples):
            found.append(stream.at(len(found)))
    found += [stream.at(frame) for frame in range(len(found), SPEC.frame_count(n_samples))]
    np.testing.assert_array_equal(np.array(found, np.float32), efforts(pcm, SPEC))


def test_what_a_frame_does_not_hear_changes_nothing_of_it() -> None:
    pcm, frame = np.concatenate([talk(3.0), louder(talk(1.0), 10)]), 70
    cut = pcm.copy()
    cut[SPEC.ready_at(frame) :] = 0.9
    np.testing.assert_array_equal(efforts(cut, SPEC)[: frame + 1], efforts(pcm, SPEC)[: frame + 1])
    assert (efforts(cut, SPEC)[frame + 1 :] != efforts(pcm, SPEC)[frame + 1 :]).any()


@pytest.mark.parametrize("level_db", [-55.0, -35.0, -20.0])
def test_ordinary_talk_is_as_usual_however_loudly_it_was_recorded(level_db: float) -> None:
    found = efforts(talk(8.0, level_db), SPEC)
    assert np.abs(found - 1).max() < 0.05


@pytest.mark.parametrize("level_db", [-50.0, -35.0])
def test_a_raised_voice_goes_further_and_comes_back(level_db: float) -> None:
    pcm = np.concatenate([talk(4.0, level_db), talk(2.0, level_db + 10), talk(2.0, level_db)])
    found = efforts(pcm, SPEC)
    assert np.median(found[110:150]) > 1.15 and found.max() <= MOST
    assert np.abs(found[170:] - 1).max() < 0.1


def test_whoever_goes_on_loudly_has_made_it_his_own_level_after_a_while() -> None:
    found = efforts(np.concatenate([talk(4.0), talk(90.0, -20.0)]), SPEC)
    assert found[150] > 1.2 > 1.05 > found[-1]
    assert (np.abs(np.diff(found)) < 0.1).all()  # glides


def test_a_shout_is_one_from_its_first_word_on() -> None:
    shouted = efforts(talk(3.0, LOUDEST_TALK_DB + 7), SPEC)
    assert np.median(shouted[10:]) > 1.1


def test_a_murmur_after_talk_goes_less_far() -> None:
    found = efforts(np.concatenate([talk(4.0), talk(2.0, -48.0)]), SPEC)
    assert LEAST <= np.median(found[115:]) < 0.95


def test_silence_noise_and_clicks_are_no_effort() -> None:
    assert (efforts(np.zeros(32_000, np.float32), SPEC) == 1).all()
    noise = np.random.default_rng(0).standard_normal(64_000).astype(np.float32) * 0.03
    assert (efforts(noise, SPEC) == 1).all()
    clicks = np.zeros(64_000, np.float32)
    clicks[::8000] = 0.9
    assert (efforts(clicks, SPEC) == 1).all()


def test_in_a_pause_the_effort_stays() -> None:
    pcm = np.concatenate([talk(4.0), talk(1.0, -20.0), np.zeros(32_000, np.float32)])
    found = efforts(pcm, SPEC)
    assert found[130] > 1.1 and (found[130:] == found[130]).all()


def test_how_much_louder_is_how_much_further() -> None:
    assert effort_of(0.0) == effort_of(2.9) == effort_of(-2.9) == 1.0
    steps = [effort_of(db) for db in (-40.0, -6.0, 0.0, 4.0, 6.0, 30.0)]
    assert steps == sorted(steps) and steps[0] == LEAST and steps[-1] == MOST
    assert effort_of(10.0) == MOST
