"""Whole clips through all gates: what is kept, what is mended, what is refused, and for which reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from landmark_films import FPS, landmark_film, looks_of, pictures_of
from numpy.typing import NDArray
from spoken import noise

from s2v.training.quality.inspect_clip import inspect_clip, listen_first, shifted
from s2v.training.quality.lip_sync import Curves
from s2v.training.quality.thresholds import Thresholds

LIMITS = Thresholds()
N = 100


def murmur(seed: int) -> NDArray[np.int16]:
    """N frames of noise that comes and goes as syllables do, never twice alike."""
    random = np.random.default_rng(seed)
    knots = np.cumsum(random.uniform(0.06, 0.2, 80))
    heights = random.uniform(0, 1, 80) ** 2 * 0.3
    samples = np.arange(N * 640)
    return np.asarray(
        np.interp(samples / 16_000, knots, heights) * random.uniform(-1, 1, len(samples)) * 32767, np.int16
    )


PCM = murmur(1)


def loud(pcm: NDArray[np.int16]) -> Curves:
    """A mouth that opens and widens as the voice gets louder."""
    blocks = (pcm[: len(pcm) // 640 * 640].reshape(-1, 640) / 32768).astype(np.float64)
    opening = np.sqrt((blocks**2).mean(1))
    return np.stack([opening, 0.3 * opening])


def opening_for(pcm: NDArray[np.int16]) -> NDArray[np.float64]:
    return np.asarray(loud(pcm)[0], np.float64)[:N]


FILM = landmark_film(N, opening=opening_for(PCM))


def late(pcm: NDArray[np.int16], offset_s: float) -> NDArray[np.int16]:
    samples = round(offset_s * 16_000)
    return np.roll(pcm, samples)


def test_a_good_clip_is_kept_whole() -> None:
    found = inspect_clip(pictures_of(FILM), PCM, LIMITS, loud)
    assert found.refusal is None
    assert found.kept is not None
    assert (found.kept.frames, found.kept.samples) == (slice(0, N), slice(0, N * 640))
    assert found.notes == ()
    assert found.figures["offset_ms"] == pytest.approx(0, abs=15)
    assert found.figures["length_s"] == N / FPS
    assert found.figures["eye_distance_px"] == pytest.approx(60, abs=1)
    assert found.figures["picture_height_px"] == 288
    assert found.prints is not None


@pytest.mark.parametrize("offset_s", [-0.32, -0.12, 0.12, 0.2, 0.4])
def test_sound_out_of_step_is_shifted_back(offset_s: float) -> None:
    found = inspect_clip(pictures_of(FILM), late(PCM, offset_s), LIMITS, loud)
    assert found.kept is not None
    assert found.figures["offset_ms"] == pytest.approx(1000 * offset_s, abs=20)
    word = "after" if offset_s > 0 else "before"
    assert found.notes == (f"sound shifted: it came {abs(found.figures['offset_ms']):.0f} ms {word} the lips",)
    frames, samples = found.kept.frames, found.kept.samples
    assert samples.start - frames.start * 640 == pytest.approx(offset_s * 16_000, abs=320)
    assert samples.stop - samples.start == 640 * (frames.stop - frames.start)
    assert 0 <= samples.start < samples.stop <= len(PCM)
    assert 0 <= frames.start < frames.stop <= N


def test_a_little_out_of_step_is_left() -> None:
    found = inspect_clip(pictures_of(FILM), late(PCM, 0.03), LIMITS, loud)
    assert found.notes == ()
    assert found.kept is not None
    assert found.kept.first_sample == 0


def test_sound_that_is_far_out_of_step_is_refused() -> None:
    found = inspect_clip(pictures_of(FILM), late(PCM, 0.7), LIMITS, loud)
    assert found.kept is None
    assert found.refusal is not None
    assert found.refusal.gate == "out-of-step"
    assert found.refusal.figure == pytest.approx(0.7, abs=0.02)
    assert "0.70 s after the lips" in found.refusal.reason


def test_an_offset_that_is_not_clear_shifts_nothing() -> None:
    other = landmark_film(N, opening=opening_for(murmur(99)))
    found = inspect_clip(pictures_of(other), PCM, replace(LIMITS, min_sync_margin=0.5), loud)
    assert found.refusal is None
    assert "offset_ms" not in found.figures
    assert "sync_margin" in found.figures
    assert found.kept is not None
    assert found.kept.first_sample == 0


def test_of_a_cut_between_two_people_the_longer_part_is_kept_with_its_sound() -> None:
    film = FILM.copy()
    film[:30] = landmark_film(30, width=1.2, opening=opening_for(PCM)[:30], centre_px=(240, 144))
    found = inspect_clip(pictures_of(film), PCM, LIMITS, loud)
    assert found.kept is not None
    assert (found.kept.frames, found.kept.samples) == (slice(30, N), slice(30 * 640, N * 640))
    assert found.notes == ("cut to another face: kept 2.8 of 4.0 s",)


def test_a_clip_that_only_cuts_is_refused() -> None:
    parts = [landmark_film(12, width=1 + 0.15 * (i % 2), centre_px=(180 + 40 * (i % 2), 144)) for i in range(8)]
    found = inspect_clip(pictures_of(np.concatenate(parts)), PCM, LIMITS, loud)
    assert found.refusal is not None
    assert (found.refusal.gate, found.refusal.figure) == ("cut", 12 / FPS)


def test_frames_without_a_face_do_not_shift_what_is_kept() -> None:
    film = FILM.copy()
    film[[0, 1, 50, N - 1]] = np.nan
    found = inspect_clip(pictures_of(film), PCM, LIMITS, loud)
    assert found.kept is not None
    assert found.kept.frames == slice(0, N)
    assert found.figures["offset_ms"] == pytest.approx(0, abs=20)


@pytest.mark.parametrize(
    ("gate", "landmarks", "changed"),
    [
        ("too-short", FILM[:10], {}),
        ("no-face", np.full((N, 478, 3), np.nan, np.float32), {}),
        ("small-face", landmark_film(N, eye_distance_px=15), {}),
        ("turned-away", landmark_film(N, yaw_degrees=39), {}),
        ("several-faces", FILM, {"other_faces": np.full(8, 0.8)}),
        ("frozen", np.repeat(FILM[:1], N, axis=0), {}),
    ],
)
def test_poison_is_refused_with_a_figure_and_its_threshold(
    gate: str, landmarks: NDArray[np.float32], changed: dict[str, object]
) -> None:
    found = inspect_clip(pictures_of(landmarks, **changed), PCM, LIMITS, loud)
    assert found.refusal is not None
    assert found.kept is None
    assert found.refusal.gate == gate
    assert found.refusal.figure is not None
    assert found.refusal.threshold is not None


def test_what_can_be_heard_is_known_before_a_picture_is_decoded() -> None:
    assert listen_first(PCM, LIMITS).refusal is None
    hiss = np.round(noise(3.0, 0.1) * 32767).astype(np.int16)
    heard = [listen_first(pcm, LIMITS).refusal for pcm in (np.zeros(48_000, np.int16), PCM[:6000], hiss)]
    assert [one.gate if one else None for one in heard] == ["no-speech", "too-short", "no-speech"]


def test_what_is_kept_has_picture_and_sound() -> None:
    assert shifted(slice(0, 100), 0.0, 64_000).samples == slice(0, 64_000)
    early = shifted(slice(0, 100), -0.1, 64_000)
    assert (early.frames, early.first_sample) == (slice(3, 100), 3 * 640 - 1600)
    short = shifted(slice(10, 100), 0.0, 32_000)
    assert (short.frames, short.first_sample) == (slice(10, 50), 6400)


def test_looks_are_of_the_frames_that_show_a_face() -> None:
    looks = looks_of(N)
    looks[10:14] = 0  # as where there is no face
    film = FILM.copy()
    film[10:14] = np.nan
    found = inspect_clip(pictures_of(film, looks=looks), PCM, LIMITS, loud)
    assert found.notes == ()
