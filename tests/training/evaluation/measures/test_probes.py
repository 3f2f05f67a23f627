from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import voice

from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.motion_level import Spoken, gap_weights
from s2v.training.evaluation.measures.probes import (
    Curves,
    Probe,
    at_least,
    at_most,
    curve_probes,
    idle_probes,
    motion_probes,
    pixel_probes,
)

SPEC = LipSyncSpec()


def curve(seed: int, n: int = 120) -> np.ndarray:
    return np.convolve(np.random.default_rng(seed).standard_normal(n + 8), np.hanning(9), "valid")


def good(seed: int) -> Curves:
    film = curve(seed)
    loud = film + 2 * curve(100 + seed)
    return Curves(film + 0.3 * curve(200 + seed), film, loud, (curve(300 + seed), curve(400 + seed)))


def passed(probes: list[Probe]) -> list[bool]:
    return [probe.passed for probe in probes]


def test_lips_that_follow_their_voice_pass() -> None:
    assert passed(curve_probes({"a": [good(0), good(1)], "b": [good(2)]})) == [True, True, True, True]


def test_lips_that_move_alike_whatever_is_said_fail() -> None:
    deaf = [replace(good(seed), others=(good(seed).prediction,)) for seed in range(3)]
    own, peak, _, _ = curve_probes({"a": deaf})
    assert not own.passed and own.found == pytest.approx(0) and peak.passed


def test_lips_that_come_late_fail_but_not_where_the_footage_is_late() -> None:
    late = [replace(good(seed), prediction=np.roll(good(seed).prediction, 3)) for seed in range(3)]
    own, peak, _, _ = curve_probes({"a": late})
    assert own.passed and not peak.passed and peak.found == 3
    out_of_sync = [replace(clip, loud=np.roll(clip.loud, 3)) for clip in late]
    assert curve_probes({"a": out_of_sync})[1].found == 0


def test_lips_no_better_than_loudness_fail() -> None:
    loud = [replace(good(seed), prediction=good(seed).loud) for seed in range(3)]
    talker = curve_probes({"a": loud})[2]
    assert not talker.passed and talker.found == 0


def test_a_mouth_that_hardly_moves_fails_however_well_it_is_timed() -> None:
    timid = [replace(good(seed), prediction=0.1 * good(seed).prediction) for seed in range(3)]
    assert passed(curve_probes({"a": timid})) == [True, True, True, False]


def test_the_worst_set_decides_and_is_named() -> None:
    bad = replace(good(3), prediction=curve(77))
    probes = curve_probes({"fine": [good(0), good(1), good(2)], "poor": [bad]})
    assert not probes[0].passed and probes[0].where == "poor"
    assert "poor" in probes[0].line() and probes[0].line().startswith("FAIL")


def test_a_mouth_that_opens_or_trembles_without_speech_fails() -> None:
    assert passed(idle_probes({"silence": (0.0, 0.0), "noise": (0.01, 0.02)})) == [True, True]
    opening, speed = idle_probes({"silence": (0.0, 0.0), "clicks": (0.07, 0.12)})
    assert not opening.passed and not speed.passed and opening.where == "clicks"


def test_what_could_not_be_measured_does_not_pass() -> None:
    nan = float("nan")
    assert not at_least("a", nan, 0).passed and not at_most("a", nan, 0).passed


def clip_said_by(motion: np.ndarray, seed: int) -> Spoken:
    return Spoken(f"clip{seed}", voice(4.0, seed=seed), motion, (motion @ gap_weights(SPEC)).astype(np.float32))


def test_a_net_that_knows_its_clips_passes_and_one_that_hears_nothing_fails() -> None:
    clips = []
    for seed in range(2):
        motion = np.zeros((100, SPEC.n_motion), np.float32)
        motion[:, 0] = curve(seed, 100)
        clips.append(clip_said_by(motion, seed))
    known = {clip.pcm.tobytes(): clip.motion for clip in clips}
    strange = np.zeros((400, SPEC.n_motion), np.float32)
    sound = voice(6.0, seed=9)

    def listening(pcm: np.ndarray) -> np.ndarray:
        return known.get(pcm.tobytes(), strange[: SPEC.frame_count(len(pcm))])

    probes = motion_probes(listening, {"val": clips}, SPEC, sound)
    assert all(passed(probes)) and len(probes) == 6
    deaf = motion_probes(lambda pcm: clips[0].motion, {"val": clips}, SPEC, sound)
    assert not deaf[0].passed and passed(deaf[4:]) == [False, False]


def test_a_painted_mouth_must_change_with_the_voice_and_for_the_better() -> None:
    random = np.random.default_rng(0)
    true = random.random((4, 3, 40, 40)).astype(np.float32)
    near, far = true + 0.02, true + 0.2
    assert passed(pixel_probes(near, far, true)) == [True, True]
    assert passed(pixel_probes(far, near, true)) == [True, False]
    assert passed(pixel_probes(near, near, true)) == [False, False]
    eyes = near.copy()
    eyes[:, :, :15] += 0.5  # what changes above the mouth does not count
    assert passed(pixel_probes(near, eyes, true)) == [False, False]
