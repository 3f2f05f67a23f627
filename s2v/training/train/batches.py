"""Clips -> rows of speech with its motion and tract variables, each in one voice and spoiled in its own way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.audio.mfcc import counts, mfcc_and_mean
from s2v.engine.audio.windows import mfcc_windows, normalised_columns
from s2v.errors import DataError
from s2v.spec import TRACT_AT_REST, TRACT_VARIABLES, LipSyncSpec
from s2v.training.evenly import evenly
from s2v.training.stored_clips import Clip, StoredClips, check_shards, load_split, stored_clips
from s2v.training.train.augment import mixed, no_speech, spoil

__all__ = [
    "Clip",
    "MotionBatch",
    "StoredClips",
    "Voices",
    "at_speed",
    "by_voice",
    "check_shards",
    "clips_with_tract",
    "load_split",
    "measured",
    "motion_batch",
    "motion_row",
    "stored_clips",
    "unknown_tract",
    "windows_of",
    "with_effort",
]
VTL_WARP = (0.82, 1.22)  # vocal-tract length: one voice stands for many
_CLIPS_MEASURED = 200
SPEED = (0.85, 1.2)
ROW_FRAMES = 150  # 6 s: the running mean also meets a stream that has been going on
_NO_SPEECH_SHARE = 0.06
_QUIET_ROW_SHARE = 0.2  # no speech, so long that the running mean takes the noise for the channel
_EFFORT_SHARE = 0.35  # rows in which the voice is raised or lowered
EFFORT_DB = (-9.0, 9.0)
_RAMP_FRAMES = 5
_BABBLE_SHARE = 0.15  # rows in which somebody else talks too


@dataclass(frozen=True)
class Voices:
    """Who may speak a row, and how often."""

    clips: Sequence[Sequence[Clip]]  # of each voice
    chances: NDArray[np.float64]  # (n,), 1 in all

    def draw(self, rng: np.random.Generator) -> Sequence[Clip]:
        """The clips of one of them."""
        at = np.searchsorted(np.cumsum(self.chances), rng.random(), side="right")
        return self.clips[min(int(at), len(self.clips) - 1)]


class MotionBatch(NamedTuple):
    """Rows of speech, ROW_FRAMES long, as tensors."""

    columns: Tensor  # (n_rows, n, n_cepstra) as `MotionNet.over` takes them
    motion: Tensor  # (n_rows, ROW_FRAMES, n_motion)
    tract: Tensor  # (n_rows, ROW_FRAMES, 5); NaN where it is unknown
    follows: Tensor  # (n_rows, ROW_FRAMES) bool, whether a frame follows the one before it in the same clip


def measured(spec: LipSyncSpec, clips: Sequence[Clip]) -> LipSyncSpec:
    """The spec with the mean and deviation that these clips' MFCC columns have.

    Raises: DataError, nothing can be heard in them.
    """
    raw = replace(spec, mfcc_mean=(0.0,) * spec.n_mfcc, mfcc_std=(1.0,) * spec.n_mfcc)
    columns = [mfcc_and_mean(clip.pcm, raw)[0] for clip in evenly(clips, _CLIPS_MEASURED)]
    heard = np.concatenate([part[counts(part)] for part in columns] or [np.zeros((0, spec.n_mfcc), np.float32)])
    if not len(heard):
        raise DataError("the training clips are silent: give talking videos whose sound can be heard")
    mean, deviation = heard.mean(0).round(4).tolist(), heard.std(0).round(4).tolist()
    return replace(spec, mfcc_mean=tuple(mean), mfcc_std=tuple(deviation))


def by_voice(seen: Sequence[Clip], labelled: Sequence[Clip], seen_share: float = 0.3) -> Voices:
    """Voices for `motion_batch`: talkers on film together speak `seen_share` of the rows, more beside few others.

    Each second of film is as likely as the next, or talkers of one clip would be heard as often as those of an hour;
    labelled voices are as likely as each other, however much they said.
    """
    film, others = _of_talkers(seen), list(_of_talkers(labelled).values())
    share = max(seen_share, 1 / (1 + len(others))) if film else 0.0
    frames = np.array([_n_frames(clips) for clips in film.values()], np.float64)
    chances = [*(share * frames / max(1.0, frames.sum())), *np.full(len(others), (1 - share) / max(1, len(others)))]
    return Voices([*film.values(), *others], np.array(chances))


def _of_talkers(clips: Sequence[Clip]) -> dict[str, Sequence[Clip]]:
    if isinstance(clips, StoredClips):
        return dict(clips.by_talker())
    found: dict[str, list[Clip]] = {}
    for clip in clips:
        found.setdefault(clip.talker or clip.name.split("/")[0], []).append(clip)
    return dict(sorted(found.items()))


def _n_frames(clips: Sequence[Clip]) -> int:
    return clips.n_frames if isinstance(clips, StoredClips) else sum(len(clip.motion) for clip in clips)


def clips_with_tract(clips: Sequence[Clip], most: int) -> list[Clip]:
    """At most so many of the clips whose tract is known at least in part, spread evenly over them."""
    if isinstance(clips, StoredClips):
        return evenly(clips.with_tract(), most)
    return evenly([clip for clip in clips if np.isfinite(clip.tract).any()], most)


def windows_of(clip: Clip, spec: LipSyncSpec) -> NDArray[np.float32]:
    """All windows of a clip as the network takes them, one for each frame whose motion is known."""
    return mfcc_windows(clip.pcm, spec)[: len(clip.motion), None]


def motion_batch(voices: Voices, n_rows: int, spec: LipSyncSpec, rng: np.random.Generator) -> MotionBatch:
    """Rows of speech, clips following each other: see `motion_row`."""
    rows = [motion_row(voices, spec, rng) for _ in range(n_rows)]
    return MotionBatch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*rows, strict=True)))


def motion_row(voices: Voices, spec: LipSyncSpec, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """The parts of one row of a `MotionBatch`: one voice, spoiled in its own way."""
    n_columns = spec.n_columns + round((ROW_FRAMES - 1) * spec.samples_per_frame / spec.mfcc_step_samples)
    pcm, *targets = _row(voices.draw(rng), spec, rng)
    if rng.random() < _BABBLE_SHARE:
        others, *_ = _row(voices.draw(rng), spec, rng)
        pcm = mixed(pcm, others, float(rng.uniform(10, 25)))
    columns = normalised_columns(spoil(pcm, rng), spec, vtl_warp=rng.uniform(*VTL_WARP))[:n_columns]
    return columns, *targets


def _row(
    clips: Sequence[Clip], spec: LipSyncSpec, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """ROW_FRAMES of one voice: sound, motion, tract, and whether a frame follows the one before it."""
    if rng.random() < _QUIET_ROW_SHARE:
        sound = no_speech(round(ROW_FRAMES * spec.samples_per_frame), rng)
        return sound, *_at_rest(ROW_FRAMES, spec), np.arange(ROW_FRAMES) > 0
    speed = float(rng.uniform(*SPEED)) if rng.random() < 0.5 else 1.0
    sounds, motions, tracts, follows = [], [], [], []
    missing = ROW_FRAMES
    while missing > 0:
        clip = _excerpt(clips[int(rng.integers(len(clips)))], math.ceil(missing * speed) + 1, spec, rng)
        pcm, motion, tract = at_speed(clip, speed, spec)
        # Whole frames only: the next clip's first frame must begin where this one's last ends.
        n_frames = min(missing, len(motion), int(len(pcm) / spec.samples_per_frame))
        if not n_frames:
            continue
        n_samples = round(n_frames * spec.samples_per_frame)
        silent = rng.random() < _NO_SPEECH_SHARE
        sounds.append(no_speech(n_samples, rng) if silent else pcm[:n_samples])
        moved, shaped = _at_rest(n_frames, spec) if silent else (motion[:n_frames], tract[:n_frames])
        motions.append(moved)
        tracts.append(shaped)
        follows.append(np.arange(n_frames) > 0)
        missing -= n_frames
    sound, motion = np.concatenate(sounds), np.concatenate(motions)
    if rng.random() < _EFFORT_SHARE:
        sound = with_effort(sound, int(rng.integers(ROW_FRAMES)), float(rng.uniform(*EFFORT_DB)), spec)
    return sound, motion, np.concatenate(tracts), np.concatenate(follows)


def _excerpt(clip: Clip, n_frames: int, spec: LipSyncSpec, rng: np.random.Generator) -> Clip:
    """At most so many frames of a clip, from anywhere in it: of a long one every part is heard some day."""
    over = min(len(clip.motion), int(len(clip.pcm) / spec.samples_per_frame)) - n_frames
    if over <= 0:
        return clip
    first = int(rng.integers(over + 1))
    start, end = (round(frame * spec.samples_per_frame) for frame in (first, first + n_frames))
    part = slice(first, first + n_frames)
    return replace(
        clip, pcm=clip.pcm[start:end], motion=clip.motion[part], aperture=clip.aperture[part], tract=clip.tract[part]
    )


def with_effort(sound: NDArray[np.float32], first: int, louder_db: float, spec: LipSyncSpec) -> NDArray[np.float32]:
    """Somebody raises (or lowers) his voice from frame `first` on.

    What he says is to be heard all the same: how much further his lips go is no business of the network's, see
    `engine.audio.effort`.
    """
    ramp_samples = round(_RAMP_FRAMES * spec.samples_per_frame)
    louder = np.clip((np.arange(len(sound)) - first * spec.samples_per_frame) / ramp_samples, 0, 1)
    return np.asarray(sound * 10 ** (louder_db * louder / 20), np.float32)


def _at_rest(n_frames: int, spec: LipSyncSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Motion and tract of somebody who says nothing."""
    return np.zeros((n_frames, spec.n_motion), np.float32), np.tile(np.array(TRACT_AT_REST, np.float32), (n_frames, 1))


def at_speed(
    clip: Clip, speed: float, spec: LipSyncSpec
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """A clip played faster (speed > 1, with a higher voice) or slower: sound, motion and tract."""
    if speed == 1.0:
        return clip.pcm, clip.motion, clip.tract
    sound_at = np.arange(int(len(clip.pcm) / speed)) * speed
    sound = np.interp(sound_at, np.arange(len(clip.pcm)), clip.pcm).astype(np.float32)
    # Frame n stands for its middle, n + 0.5.
    frame_at = (np.arange(int(len(clip.motion) / speed)) + 0.5) * speed - 0.5
    frames = np.arange(len(clip.motion))
    motion, tract = (
        np.stack([np.interp(frame_at, frames, values) for values in of_frames.T], axis=1).astype(np.float32)
        for of_frames in (clip.motion, clip.tract)
    )
    return sound, motion, tract


def unknown_tract(n_frames: int) -> NDArray[np.float32]:
    """(n_frames, 5): that of film, in which nobody sees the tongue."""
    return np.full((n_frames, len(TRACT_VARIABLES)), np.nan, np.float32)
