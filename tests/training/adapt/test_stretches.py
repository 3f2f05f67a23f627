"""What of one person's films is learned from, and what is held back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.adapt.stretches import stretches
from s2v.training.extract.feature_file import ClipFeatures

SPEC = LipSyncSpec.of("s2v")


def joined(films: list[ClipFeatures]) -> ClipFeatures:
    """One film of all of them, in a row."""
    ends = np.cumsum([0] + [film.jpeg_ends[-1] for film in films[:-1]])
    length_s = len(films[0].landmarks) / SPEC.fps
    n_samples = round(length_s * SPEC.sample_rate_hz)
    return replace(
        films[0],
        landmarks=np.concatenate([film.landmarks for film in films]),
        pcm=np.concatenate([np.resize(film.pcm, n_samples) for film in films]),
        jpeg=np.concatenate([film.jpeg for film in films]),
        jpeg_ends=np.concatenate([film.jpeg_ends + end for film, end in zip(films, ends, strict=True)]),
        times_s=np.concatenate([film.times_s + n * length_s for n, film in enumerate(films)]),
        corners=np.concatenate([film.corners for film in films]),
    )


def test_a_long_film_is_cut_in_two_with_a_gap_that_a_window_hears(films: list[ClipFeatures]) -> None:
    film = joined(films)
    found = stretches([film], SPEC)
    (learned,), (held,) = found.learned, found.held
    assert learned.frames.start == 0 and held.frames.stop == len(held.clip.motion) + held.frames.start
    heard_frames = SPEC.n_columns * SPEC.mfcc_step_samples / SPEC.samples_per_frame
    assert held.frames.start - learned.frames.stop >= heard_frames - 0.25
    assert held.n_frames == pytest.approx(0.2 * len(film.landmarks), abs=2)
    for part in (learned, held):
        assert len(part.clip.pcm) == part.n_frames * SPEC.samples_per_frame
        first = round(part.frames.start * SPEC.samples_per_frame)
        np.testing.assert_allclose(part.clip.pcm[:100] * 32768, film.pcm[first : first + 100], atol=0.01)


def test_of_many_clips_the_last_are_held_back_whole(films: list[ClipFeatures]) -> None:
    found = stretches(films, SPEC)
    assert [part.clip.name for part in found.held] == ["s1/clip09", "s1/clip10", "s1/clip11"][-len(found.held) :]
    learned = {part.clip.name for part in found.learned}
    assert {f"s1/clip{number:02}" for number in range(9)} <= learned
    assert sum(part.n_frames for part in found.held) == pytest.approx(0.2 * 12 * 75, abs=20)


def test_lips_that_meet_are_labelled_closed(films: list[ClipFeatures]) -> None:
    opening = np.concatenate([part.clip.aperture for part in stretches(films, SPEC).learned])
    assert 0.05 < (opening < 0.005).mean() < 0.6
    assert opening.max() > 0.06


def test_too_little_speech_is_refused_with_how_much_there_is(films: list[ClipFeatures]) -> None:
    with pytest.raises(DataError, match=r"\d s of speech were found, wanted 15 or more: film a minute"):
        stretches(films[:3], SPEC)


def test_films_that_cannot_be_read_are_refused_with_the_reason(films: list[ClipFeatures]) -> None:
    empty = replace(films[0], landmarks=films[0].landmarks[:0], times_s=films[0].times_s[:0])
    with pytest.raises(DataError):
        stretches([empty], SPEC)


def test_films_of_the_same_name_keep_their_own_faces(films: list[ClipFeatures]) -> None:
    half = replace(films[0], landmarks=films[0].landmarks * np.float32(0.5))
    odd = [
        replace(film, clip_id="me", landmarks=film.landmarks + np.float32(number)) for number, film in enumerate(films)
    ]
    assert stretches(odd, SPEC).speech_s == pytest.approx(stretches(films, SPEC).speech_s, abs=0.2)
    short = replace(half, clip_id="me", landmarks=half.landmarks[:40], times_s=half.times_s[:40])
    parts = stretches([short, *odd], SPEC).learned
    assert parts[0].n_frames <= 40 < parts[1].n_frames


def test_a_silent_end_can_judge_nothing(films: list[ClipFeatures]) -> None:
    quiet = [replace(film, pcm=np.zeros_like(film.pcm)) for film in films[:4]]
    with pytest.raises(DataError, match="too quiet at the end"):
        stretches([*films, *quiet], SPEC)
