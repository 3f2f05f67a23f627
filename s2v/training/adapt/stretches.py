"""From the features of one person's films to what is learned from and what is held back: split by time.

Films are few and long, so they are not dealt out to one side or the other: the last part of what was said is held back,
and one film is cut in two where that begins. Between the two sides lies as much as a window hears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from s2v.engine.face.motion_basis import MotionBasis, neutral_face
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.metrics import pauses
from s2v.training.extract.feature_file import ClipFeatures
from s2v.training.prepare.basis_fit import BasisFit, basis_fit, basis_warning
from s2v.training.prepare.canonical import CanonicalClip, canonical_clip
from s2v.training.prepare.labels import clip_labels, facing
from s2v.training.prepare.neutral import TalkerNeutral, clip_rest, talker_neutral
from s2v.training.stored_clips import Clip
from s2v.training.train.batches import unknown_tract

LEAST_SPEECH_S = 15.0  # of one person: with less, what is learned is that day's words
HELD_SHARE, LEAST_HELD_S, MOST_HELD_S = 0.2, 5.0, 30.0
_APART_FRAMES = 9  # that a window hears, and lie between what is learned and what is judged
_SHORTEST_FRAMES = 20  # of a part that a side gets
_LEAST_SPOKEN_S = 2.0  # in what is learned from, and in what is held back


@dataclass(frozen=True)
class Part:
    """Some frames of a film, and what one person says and does in them."""

    film: ClipFeatures
    frames: slice
    clip: Clip

    @property
    def n_frames(self) -> int:
        return len(self.clip.motion)


@dataclass(frozen=True)
class Stretches:
    """One person's films, cut in two by time."""

    learned: tuple[Part, ...]
    held: tuple[Part, ...]
    speech_s: float  # in all of it
    warning: str | None  # what is to be told of how the motion basis fits this face


def stretches(films: Sequence[ClipFeatures], spec: LipSyncSpec) -> Stretches:
    """Cut films (in the order in which they were given) in two.

    Raises: DataError, none can be read, or less than LEAST_SPEECH_S of speech; with how much was found.
    """
    faces, why = _faces(films)
    neutral = _closed_neutral(faces)
    parts: list[Part] = []
    fit, basis = BasisFit(), MotionBasis.load(spec.motion_basis)
    for number, film in enumerate(films):
        if number not in faces:
            continue
        try:
            labels = clip_labels(faces[number], neutral, spec)
        except DataError as error:
            why[film.clip_id] = str(error)
            continue
        fit += basis_fit(neutral.straight(faces[number])[facing(faces[number])], basis)
        pcm = (film.pcm / 32768).astype(np.float32)
        n = min(len(labels.motion), int(len(pcm) / spec.samples_per_frame))
        clip = Clip(film.clip_id, pcm, labels.motion[:n], labels.aperture[:n], unknown_tract(n))
        parts.append(Part(film, slice(0, n), _cut(clip, slice(0, n), spec)))
    if not parts:
        raise DataError(f"none of {len(films)} films can be learned from: {next(iter(why.values()), 'there is none')}")
    speech_s = sum(spoken_s(part.clip, spec) for part in parts)
    if speech_s < LEAST_SPEECH_S:
        raise DataError(
            f"{speech_s:.0f} s of speech were found, wanted {LEAST_SPEECH_S:.0f} or more: film a minute or two of talk"
        )
    learned, held = _split(parts, spec)
    if min(sum(spoken_s(part.clip, spec) for part in parts) for parts in (learned, held)) < _LEAST_SPOKEN_S:
        raise DataError(
            "too short, or too quiet at the end, to hold back a part: film a minute or two of talk in one go"
        )
    return Stretches(learned, held, speech_s, basis_warning(fit))


def spoken_s(clip: Clip, spec: LipSyncSpec) -> float:
    """Seconds in which somebody speaks and the mouth could be read."""
    spoken = ~pauses(clip.pcm, len(clip.motion), spec)
    return float((spoken & np.isfinite(clip.aperture)).sum()) / spec.fps


def _faces(films: Sequence[ClipFeatures]) -> tuple[dict[int, CanonicalClip], dict[str, str]]:
    """By the films' places: films of several folders may be called the same."""
    faces: dict[int, CanonicalClip] = {}
    why: dict[str, str] = {}
    for number, film in enumerate(films):
        try:
            faces[number] = canonical_clip(film)
        except DataError as error:
            why[film.clip_id] = str(error)
    return faces, why


def _closed_neutral(faces: Mapping[int, CanonicalClip]) -> TalkerNeutral:
    """The person at rest, lips as closed as he closes them.

    `talker_neutral` calls closed lips open by what most of them look, so that half of the closures are labelled open
    by a little; here closures count more than how open vowels look, and all lips that meet are to be labelled so.
    Raises: DataError, no frame can be read.
    """
    rests = []
    for clip in faces.values():
        if facing(clip).any():
            rests.append(clip_rest(clip, facing(clip)))
    neutral = talker_neutral(rests)
    seen = np.concatenate([neutral.straight(clip)[facing(clip)] for clip in faces.values()])
    return replace(neutral, face=neutral_face(seen))


def _split(parts: Sequence[Part], spec: LipSyncSpec) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    n_frames = sum(part.n_frames for part in parts)
    wanted = np.clip(HELD_SHARE * n_frames, LEAST_HELD_S * spec.fps, MOST_HELD_S * spec.fps)
    missing = int(min(wanted, n_frames // 2))
    held: list[Part] = []
    learned: list[Part] = []
    for part in reversed(parts):
        start = max(0, part.n_frames - missing)
        missing -= part.n_frames - start
        if part.n_frames - start >= _SHORTEST_FRAMES:
            end_of_film = _part(part, slice(start, part.n_frames), spec)
            if np.isfinite(end_of_film.clip.aperture).sum() >= _SHORTEST_FRAMES:  # else nothing could be judged by it
                held.insert(0, end_of_film)
        end = start if start in (0, part.n_frames) else start - _APART_FRAMES
        if end >= _SHORTEST_FRAMES:
            learned.insert(0, _part(part, slice(0, end), spec))
    return tuple(learned), tuple(held)


def _part(part: Part, frames: slice, spec: LipSyncSpec) -> Part:
    return Part(part.film, frames, _cut(part.clip, frames, spec))


def _cut(clip: Clip, frames: slice, spec: LipSyncSpec) -> Clip:
    start, end = (round(frame * spec.samples_per_frame) for frame in (frames.start, frames.stop))
    return replace(
        clip,
        pcm=clip.pcm[start:end],
        motion=clip.motion[frames],
        aperture=clip.aperture[frames],
        tract=clip.tract[frames],
    )
