from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import voice
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
import torch
from torch import Tensor, nn

from s2v.spec import TRACT_VARIABLES, LipSyncSpec
from s2v.training.networks.model import MotionTract, Speech2Vid
from s2v.training.train.batches import Clip, load_split, unknown_tract, windows_of
from s2v.training.train.picture_batches import Pictures
from s2v.training.train.validation import (
    best_offset,
    correlation,
    gap_weights,
    predicted_motion,
    run_probes,
    sync_report,
    without_gaps,
)

SPEC = LipSyncSpec()
SEEDS = st.integers(0, 2**32 - 1)


def speech_like(n: int, seed: int) -> np.ndarray:
    """A smooth random curve, (n,)."""
    rough = np.random.default_rng(seed).standard_normal(n + 8)
    return np.convolve(rough, np.hanning(9), "valid")


# --- figures -------------------------------------------------------------------------------------------


@given(SEEDS, st.floats(0.01, 100), st.floats(-50, 50))
def test_correlation_does_not_care_for_scale_and_shift(seed: int, scale: float, shift: float) -> None:
    curve = speech_like(60, seed)
    assert correlation(curve, scale * curve + shift) == pytest.approx(1, abs=1e-6)
    assert correlation(curve, -scale * curve + shift) == pytest.approx(-1, abs=1e-6)
    assert correlation(curve, np.cos(curve)) == pytest.approx(np.corrcoef(curve, np.cos(curve))[0, 1])


def test_what_does_not_move_correlates_with_nothing() -> None:
    assert correlation(np.full(50, 3.0), speech_like(50, 0)) == 0.0


@given(SEEDS, st.integers(-8, 8))
def test_a_shift_is_found_exactly(seed: int, frames: int) -> None:
    curve = speech_like(120, seed)
    late = curve[8 - frames : 108 - frames]  # what was true `frames` ago
    assert best_offset(late, curve[8:108]) == frames


# --- the report ------------------------------------------------------------------------------------------


class Oracle(nn.Module):
    """Says for every window it has been shown what it was given, and for others what it has for the nearest."""

    def __init__(self, shown: list[np.ndarray], answers: list[np.ndarray]) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))  # tells on which device it is
        self.shown = torch.from_numpy(np.concatenate(shown)).flatten(1)
        self.answers = torch.from_numpy(np.concatenate(answers)).float()

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        motion = self.answers[torch.cdist(windows.flatten(1), self.shown).argmin(1)]
        return motion, torch.zeros(len(windows), len(TRACT_VARIABLES))


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Three clips whose first two components and aperture are known curves."""
    made = []
    for seed in range(3):
        motion = np.zeros((50, SPEC.n_motion), np.float32)
        motion[:, 0], motion[:, 1] = speech_like(50, seed), speech_like(50, 50 + seed)
        pcm = voice(2.0, seed=seed) + np.random.default_rng(seed).normal(0, 0.05, 32_000).astype(np.float32)
        made.append(
            Clip(f"clip{seed}", pcm, motion, (motion @ gap_weights(SPEC)).astype(np.float32), unknown_tract(50))
        )
    return made


def network_predicting(clips: list[Clip], answers: list[np.ndarray]) -> MotionTract:
    network = MotionTract(SPEC)
    network.add_module("frame_decoder", Oracle([windows_of(clip, SPEC) for clip in clips], answers))
    return network


def test_a_perfect_network_gets_full_marks(clips: list[Clip]) -> None:
    report = sync_report(network_predicting(clips, [clip.motion for clip in clips]), clips)
    assert report.clips == 3
    assert report.first_component == report.second_component == pytest.approx(1, abs=1e-5)
    assert report.aperture == pytest.approx(1, abs=1e-5)
    assert abs(report.shuffled) < 0.5
    assert report.offset_frames == 0
    assert report.silence_motion == 0
    assert report.width == pytest.approx(1, abs=1e-5)
    assert [report.aperture_sd, report.width_sd, report.speed] == pytest.approx([1, 1, 1], abs=1e-4)
    assert report.closed == 1
    assert 0 <= report.shut < 0.2  # ours count as closed a little earlier than the film's
    assert report.score == pytest.approx(2 - 0.5 * report.shut, abs=1e-3)
    assert set(report.as_dict()) == {
        "clips", "first_component", "second_component", "aperture", "aperture_best", "width", "shuffled",
        "offset_frames", "silence_motion", "aperture_sd", "width_sd", "speed", "closed", "shut",
    }  # fmt: skip


def test_a_mouth_that_moves_half_as_far_is_told_and_scores_less(clips: list[Clip]) -> None:
    report = sync_report(network_predicting(clips, [clip.motion / 2 for clip in clips]), clips)
    assert [report.aperture, report.width] == pytest.approx([1, 1], abs=1e-5)
    assert [report.aperture_sd, report.width_sd, report.speed] == pytest.approx([0.5, 0.5, 0.5], abs=1e-4)
    assert report.score < 2 - 0.75 * np.log(2) + 0.01


def test_a_mouth_that_never_shuts_and_one_that_always_does_score_less(clips: list[Clip]) -> None:
    reports = {}
    for shift in (-0.5, 0.0, 0.5):
        opened = shift * np.linalg.pinv(gap_weights(SPEC)[None])[:, 0]
        reports[shift] = sync_report(network_predicting(clips, [clip.motion + opened for clip in clips]), clips)
    assert reports[0.5].closed < 0.1 < 0.9 < reports[0.0].closed
    assert reports[-0.5].shut > reports[0.0].shut + 0.1 > reports[0.5].shut + 0.2
    assert reports[0.0].score > max(reports[-0.5].score, reports[0.5].score)


@pytest.mark.parametrize("lag", [-2, 3])
def test_a_network_that_lags_is_found_out(clips: list[Clip], lag: int) -> None:
    report = sync_report(network_predicting(clips, [np.roll(clip.motion, lag, axis=0) for clip in clips]), clips)
    assert report.offset_frames == lag
    assert report.first_component < 0.8


def test_a_network_that_does_not_listen_is_found_out(clips: list[Clip]) -> None:
    # It always says the first clip's motion: as good with another clip's voice as with the right one.
    report = sync_report(network_predicting(clips, [clips[0].motion] * 3), clips)
    assert report.first_component < 0.5
    assert report.shuffled == pytest.approx(report.first_component, abs=0.3)
    still = sync_report(network_predicting(clips, [np.zeros_like(clip.motion) for clip in clips]), clips)
    assert still.first_component == still.aperture == still.shuffled == 0


def test_the_middle_clip_decides_not_one_that_failed(clips: list[Clip]) -> None:
    answers = [clips[0].motion, clips[1].motion, -clips[2].motion]
    assert sync_report(network_predicting(clips, answers), clips).first_component == pytest.approx(1, abs=1e-5)


def test_a_mouth_that_trembles_in_silence_is_found() -> None:
    class Trembling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place = nn.Parameter(torch.zeros(()))

        def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
            motion = torch.zeros(len(windows), SPEC.n_motion)
            motion[::2, 0] = 0.2
            return motion, torch.zeros(len(windows), len(TRACT_VARIABLES))

    network = MotionTract(SPEC)
    network.add_module("frame_decoder", Trembling())
    clip = Clip("a", voice(1.0), np.zeros((25, SPEC.n_motion), np.float32), np.zeros(25, np.float32), unknown_tract(25))
    assert sync_report(network, [clip]).silence_motion == pytest.approx(0.2)


def test_prediction_is_repeatable_and_leaves_no_gradient(clips: list[Clip]) -> None:
    network = MotionTract(SPEC).eval()
    windows = windows_of(clips[0], SPEC)
    prediction = predicted_motion(network, windows)
    assert prediction.shape == (50, SPEC.n_motion)
    assert prediction.dtype == np.float32
    np.testing.assert_array_equal(predicted_motion(network, windows), prediction)
    assert all(weight.grad is None for weight in network.parameters())


def test_gap_weights_tell_how_far_the_lips_part() -> None:
    gap = gap_weights(SPEC)
    assert gap.shape == (SPEC.n_motion,)
    assert gap.argmax() == 0
    assert gap[0] == pytest.approx(0.045, abs=0.005)


# --- the probes after training ---------------------------------------------------------------------------

NO_PICTURES = Pictures({}, [])


def test_a_motion_net_that_hears_nothing_fails_its_probes(clips: list[Clip]) -> None:
    deaf = network_predicting(clips, [np.zeros_like(clip.motion) for clip in clips])
    passed = {probe.name.split(",")[0]: probe.passed for probe in run_probes(deaf, {"val": clips}, NO_PICTURES)}
    assert passed == {
        "own voice against another": False,
        "offset at the peak": False,  # what is flat has no peak
        "unseen talker: better than loudness": False,
        "opening moves as far as the film's": False,
        "closed without speech": True,
        "still without speech": True,
    }


def test_a_motion_net_that_knows_the_clips_passes_what_is_asked_of_clips(clips: list[Clip]) -> None:
    probes = run_probes(network_predicting(clips, [clip.motion for clip in clips]), {"val": clips}, NO_PICTURES)
    assert [probe.passed for probe in probes[:4]] == [True] * 4


def test_with_nothing_kept_back_nothing_is_asked(clips: list[Clip]) -> None:
    assert run_probes(network_predicting(clips, [clip.motion for clip in clips]), {"val": []}, NO_PICTURES) == []
    assert run_probes(PaintingNet(1.0), {"val": []}, NO_PICTURES) == []


class PaintingNet(Speech2Vid):
    """Paints the reference, brighter the louder it is."""

    def __init__(self, hears: float) -> None:
        nn.Module.__init__(self)  # none of the weights of the one it stands in for
        self.spec = LipSyncSpec(network="speech2vid")
        self.hears = nn.Parameter(torch.tensor(hears))

    def forward(self, mfcc: Tensor, face: Tensor) -> Tensor:
        assert not face[:, :3, face.shape[2] // 2 :].any()  # what is to be painted is hidden
        return face[:, 3:] + self.hears * mfcc.mean((1, 2, 3))[:, None, None, None]


def test_a_network_of_pixels_is_asked_whether_the_mouth_changes_with_the_voice(shards: Path) -> None:
    held, pictures = load_split(shards, "val")
    deaf = run_probes(PaintingNet(0.0), {"val": held}, pictures)
    assert [(probe.found, probe.passed) for probe in deaf] == [(0.0, False), (1.0, False)]
    assert run_probes(PaintingNet(1.0), {"val": held}, pictures)[0].passed


def test_motion_that_nobody_knows_is_drawn_through(shards: Path) -> None:
    (clip, *_) = load_split(shards, "train", pictures=False)[0]
    motion, aperture = clip.motion.copy(), clip.aperture.copy()
    motion[:5], motion[10:12], aperture[:5], aperture[10:12] = np.nan, np.nan, np.nan, np.nan
    whole = without_gaps(replace(clip, motion=motion, aperture=aperture))
    known = np.isfinite(aperture)
    np.testing.assert_array_equal(whole.motion[known], clip.motion[known])
    np.testing.assert_allclose(whole.motion[10], (2 * clip.motion[9] + clip.motion[12]) / 3, rtol=1e-4)
    np.testing.assert_allclose(whole.aperture[:5], clip.aperture[5])
    assert without_gaps(clip) is clip
