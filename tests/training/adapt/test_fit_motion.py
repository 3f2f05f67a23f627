"""A person's way of moving, learned by the last layer alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from s2v.bundled import BUNDLED_WEIGHTS, PHONES_VOICE
from s2v.engine.audio.windows import mfcc_windows
from s2v.media.audio_file import read_audio
from s2v.training.adapt.fit_motion import MotionFit, adapt_motion
from s2v.training.adapt.stretches import Part
from s2v.training.evaluation.measures.motion_level import gap_weights
from s2v.training.extract.feature_file import ClipFeatures
from s2v.training.networks.model import MotionTract
from s2v.training.networks.weights_file import network_of_weights
from s2v.training.stored_clips import Clip
from s2v.training.train.batches import unknown_tract

QUICK = MotionFit(steps=60, rows=8, learning_rate=4e-3, near=0.1)


def shipped() -> MotionTract:
    return network_of_weights(BUNDLED_WEIGHTS)


def said(network: MotionTract, pcm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    windows = torch.from_numpy(mfcc_windows(pcm, network.spec)[:, None])
    with torch.no_grad():
        motion, tract = network.frame_decoder(windows)
    return motion.numpy(), tract.numpy()


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return read_audio(PHONES_VOICE).pcm_16k[: 12 * 16_000]


def parts(film: ClipFeatures, voice: np.ndarray, scale: float) -> tuple[list[Part], list[Part]]:
    """Somebody who moves `scale` times as far as the shipped network says: 8 s to learn from, the rest to judge by."""
    network = shipped()
    motion = np.asarray(scale * said(network, voice)[0], np.float32)
    made = []
    for first, end in ((0, 200), (200, 300)):
        own = motion[first:end]
        opening = (own @ gap_weights(network.spec)).astype(np.float32)
        clip = Clip("film", voice[first * 640 : end * 640], own, opening, unknown_tract(len(own)))
        made.append([Part(film, slice(first, end), clip)])
    return made[0], made[1]


def test_a_person_who_moves_less_is_learned_to_move_less(films: list[ClipFeatures], voice: np.ndarray) -> None:
    learned, held = parts(films[0], voice, 0.6)
    network = shipped()
    before, after = adapt_motion(network, learned, held, QUICK)
    assert before.share == 0 and after.share > 0
    assert after.figures.score > before.figures.score
    assert abs(np.log(after.figures.aperture_sd)) < 0.5 * abs(np.log(before.figures.aperture_sd))


def test_the_tongue_and_the_silent_mouth_stay_as_they_were(films: list[ClipFeatures], voice: np.ndarray) -> None:
    learned, held = parts(films[0], voice, 0.6)
    network = shipped()
    adapt_motion(network, learned, held, QUICK)
    assert np.array_equal(said(network, voice[:32_000])[1], said(shipped(), voice[:32_000])[1])
    silence = np.zeros(32_000, np.float32)
    gap = gap_weights(network.spec)
    opened, opened_before = (float(np.abs(said(one, silence)[0] @ gap).max()) for one in (network, shipped()))
    assert opened <= opened_before + 0.004


def test_what_is_no_better_is_not_taken(films: list[ClipFeatures], voice: np.ndarray) -> None:
    learned, held = parts(films[0], voice, 1.0)
    other = replace(learned[0], clip=replace(learned[0].clip, motion=-learned[0].clip.motion))
    network = shipped()
    before, after = adapt_motion(network, [other], held, QUICK)
    assert after == before and after.share == 0
    assert np.array_equal(said(network, voice[:32_000])[0], said(shipped(), voice[:32_000])[0])


def test_the_same_film_gives_the_same_weights(films: list[ClipFeatures], voice: np.ndarray) -> None:
    learned, held = parts(films[0], voice, 0.6)
    once, again = shipped(), shipped()
    steps = []
    adapt_motion(once, learned, held, replace(QUICK, steps=5), lambda: steps.append(1))
    adapt_motion(again, learned, held, replace(QUICK, steps=5))
    assert len(steps) == 5
    for a, b in zip(once.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
