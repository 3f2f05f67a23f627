from __future__ import annotations

from itertools import pairwise

import numpy as np
from talk import moments

from s2v.engine.behaviour.head_motion import OMEGAS
from s2v.engine.behaviour.hearing.conversation import Role
from s2v.engine.behaviour.hearing.phrases import ENDS_AFTER_S, Phrase
from s2v.engine.behaviour.listening import AFTER_LOW_S, APART_S, AT_LOW_SHARE, AT_PAUSE_SHARE, Backchannel
from s2v.engine.behaviour.pulses import Pulse
from s2v.engine.behaviour.springs import Springs

PAUSE = Phrase(ends=True, spoken_s=2.0, pause_s=ENDS_AFTER_S)
LOW = Phrase(speaking=True, low=True, spoken_s=2.0)


def answers(
    other: dict[int, Phrase], role: Role = "listening", seed: int = 0, length_s: float = 3.0
) -> list[tuple[float, list[Pulse], list[Pulse]]]:
    backchannel = Backchannel(np.random.default_rng(seed))
    found = [(now.time_s, *backchannel.step(now)) for now in moments(length_s, role, other=other)]
    return [one for one in found if one[1] or one[2]]


def test_it_nods_a_third_to_four_fifths_of_a_second_after_the_other_has_paused() -> None:
    found = [one for seed in range(200) for one in answers({200: PAUSE}, seed=seed)]
    assert AT_PAUSE_SHARE - 0.12 < len(found) / 200 < AT_PAUSE_SHARE + 0.12
    after_s = np.array([nods[0].begins_s for _, nods, _ in found]) - (2.0 - ENDS_AFTER_S)
    assert 0.29 < after_s.min() < 0.36 and 0.74 < after_s.max() < 0.82


def test_it_nods_at_low_pitch_less_often() -> None:
    found = [one for seed in range(200) for one in answers({200: LOW}, seed=seed)]
    assert AT_LOW_SHARE - 0.12 < len(found) / 200 < AT_LOW_SHARE + 0.12
    assert all(AFTER_LOW_S[0] <= t - 2.0 <= AFTER_LOW_S[1] + 0.011 for t, _, _ in found)


def test_it_does_not_nod_at_every_pause() -> None:
    pauses = dict.fromkeys(range(100, 6000, 60), PAUSE)
    times_s = [t for t, _, _ in answers(pauses, length_s=60.0)]
    assert 10 < len(times_s) < 60 / APART_S
    assert np.diff(times_s).min() > APART_S - 0.6


def test_a_word_is_not_enough_and_who_talks_does_not_answer() -> None:
    word = Phrase(ends=True, spoken_s=0.4, pause_s=ENDS_AFTER_S)
    for seed in range(30):
        assert not answers({200: word}, seed=seed)
        assert not answers({200: PAUSE}, "talking", seed)
        assert not answers({200: PAUSE}, "idle", seed)


def test_nods_come_in_ones_twos_and_threes_each_smaller_and_some_with_brows() -> None:
    found = [one for seed in range(300) for one in answers({200: PAUSE}, seed=seed)]
    counts = np.bincount([len(nods) for _, nods, _ in found], minlength=4)
    assert counts[0] == 0 and counts[2] > counts[1] > counts[3] > 0 and len(counts) == 4
    for _, nods, _ in found:
        assert all(later.height < 0.8 * earlier.height for earlier, later in pairwise(nods))
        assert all(later.begins_s > earlier.ends_s for earlier, later in pairwise(nods))
    assert 0.15 < np.mean([bool(brows) for _, _, brows in found]) < 0.35


def test_a_listeners_first_nod_goes_far_enough_to_be_seen() -> None:
    for seed in range(20):
        for _, nods, _ in answers({200: PAUSE}, seed=seed):
            springs, targets = Springs(OMEGAS, 0.01), np.zeros(len(OMEGAS))
            way = []
            for tick in range(60):
                targets[6] = nods[0].height if tick / 100 < nods[0].ends_s - nods[0].begins_s else 0.0
                way.append(springs.step(targets)[6])
            assert 1.8 < max(way) < 5.0  # degrees; talkers' nods go to 6
