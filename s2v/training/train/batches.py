"""Shards -> batches: speech with its motion and tract variables, and pictures of faces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.audio.mfcc import counts, mfcc_and_mean
from s2v.engine.audio.windows import mfcc_windows, normalised_columns
from s2v.errors import DataError
from s2v.spec import TRACT_AT_REST, TRACT_VARIABLES, LipSyncSpec
from s2v.training.shard_file import PICTURE_ARRAYS, read_shard
from s2v.training.shard_spec import differences
from s2v.training.train.augment import mixed, no_speech, spoil
from s2v.training.train.picture_batches import Pictures

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
class Clip:
    """Sound and true motion of one clip, and its tract variables."""

    name: str
    pcm: NDArray[np.float32]  # 16 kHz mono
    motion: NDArray[np.float32]  # (n_frames, n_motion)
    aperture: NDArray[np.float32]  # (n_frames,) face units above the talker's closed lips
    tract: NDArray[np.float32]  # (n_frames, 5) `spec.TRACT_VARIABLES` in [0, 1]; NaN where nobody knows


class MotionBatch(NamedTuple):
    """Rows of speech, ROW_FRAMES long, as tensors."""

    columns: Tensor  # (n_rows, n, n_cepstra) as `MotionNet.over` takes them
    motion: Tensor  # (n_rows, ROW_FRAMES, n_motion)
    tract: Tensor  # (n_rows, ROW_FRAMES, 5); NaN where it is unknown
    follows: Tensor  # (n_rows, ROW_FRAMES) bool, whether a frame follows the one before it in the same clip


def check_shards(shards: Path, spec: LipSyncSpec) -> None:
    """Raises: DataError, not a folder of prepare-data, or one made for another spec."""
    try:
        stored = json.loads((shards / "meta.json").read_text(encoding="utf-8"))["spec"]
        differ = differences(stored, spec)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{shards} holds no meta.json that tells how it was made: -i takes the folder that s2v prepare-data wrote"
        ) from None
    if differ:
        raise DataError(f"the shards in {shards} were made for another network: {differ}: run s2v prepare-data again")


def measured(spec: LipSyncSpec, clips: Sequence[Clip]) -> LipSyncSpec:
    """The spec with the mean and deviation that these clips' MFCC columns have.

    Raises: DataError, nothing can be heard in them.
    """
    raw = replace(spec, mfcc_mean=(0.0,) * spec.n_mfcc, mfcc_std=(1.0,) * spec.n_mfcc)
    columns = [mfcc_and_mean(clip.pcm, raw)[0] for clip in clips[:_CLIPS_MEASURED]]
    heard = np.concatenate([part[counts(part)] for part in columns] or [np.zeros((0, spec.n_mfcc), np.float32)])
    if not len(heard):
        raise DataError("the training clips are silent: give talking videos whose sound can be heard")
    mean, deviation = heard.mean(0).round(4).tolist(), heard.std(0).round(4).tolist()
    return replace(spec, mfcc_mean=tuple(mean), mfcc_std=tuple(deviation))


def load_split(shards: Path, split: str, pictures: bool = True) -> tuple[list[Clip], Pictures]:
    """Read all shards of a split ("train", "held", "val") into memory."""
    clips: list[Clip] = []
    parts: dict[str, list[NDArray[np.uint8]]] = {}
    where: list[tuple[str, int]] = []
    for path in sorted(shards.glob(f"{split}-*.npz")):
        stored = read_shard(path, pictures)
        clips += _clips(stored)
        if "picture_where" not in stored:
            continue
        where += [(str(stored["clips"][clip]), int(frame)) for clip, frame in stored["picture_where"]]
        for key in PICTURE_ARRAYS:
            parts.setdefault(key, []).append(stored[f"picture_{key}"])
    sizes = {array.shape[1:] for part in parts.values() for array in part}
    if len({clip.motion.shape[1] for clip in clips}) > 1 or len(sizes) > 1:
        raise DataError(f"the {split} shards in {shards} do not fit together: prepare them again")
    return clips, Pictures({key: np.concatenate(part) for key, part in parts.items()}, where)


def _clips(stored: dict[str, NDArray[Any]]) -> list[Clip]:
    """Those that are long enough to be put into a row at any speed."""
    names = [str(name) for name in stored["clips"]]
    if not names:
        return []
    sounds = np.split(stored["pcm"], stored["pcm_ends"][:-1])
    of_frames = [np.split(stored[key], stored["motion_ends"][:-1]) for key in ("motion", "aperture", "tract")]
    return [
        Clip(name, (sound / 32768).astype(np.float32), *frames)
        for name, sound, *frames in zip(names, sounds, *of_frames, strict=True)
        if len(frames[0]) >= 2 and len(sound) >= 2 * LipSyncSpec().samples_per_frame
    ]


def by_voice(seen: list[Clip], labelled: list[Clip], seen_share: float = 0.3) -> list[list[Clip]]:
    """Voices for `motion_batch`: those whose lips were seen make up `seen_share`, each labelled voice the same rest."""
    voices: dict[str, list[Clip]] = {}
    for clip in labelled:
        voices.setdefault(clip.name.split("/")[0], []).append(clip)
    if not voices:
        return [seen]
    times = max(1, round(seen_share / (1 - seen_share) * len(voices)))
    return [seen] * times + list(voices.values())


def windows_of(clip: Clip, spec: LipSyncSpec) -> NDArray[np.float32]:
    """All windows of a clip as the network takes them, one for each frame whose motion is known."""
    return mfcc_windows(clip.pcm, spec)[: len(clip.motion), None]


def motion_batch(voices: Sequence[list[Clip]], n_rows: int, spec: LipSyncSpec, rng: np.random.Generator) -> MotionBatch:
    """Rows of speech, each in one voice and spoiled in its own way, clips following each other.

    Args:
        voices: the clips of each voice; every voice is as likely as the next, however much it said.
    """
    n_columns = spec.n_columns + round((ROW_FRAMES - 1) * spec.samples_per_frame / spec.mfcc_step_samples)
    rows: list[tuple[NDArray[Any], ...]] = []
    for _ in range(n_rows):
        pcm, *targets = _row(voices[int(rng.integers(len(voices)))], spec, rng)
        if rng.random() < _BABBLE_SHARE:
            others, *_ = _row(voices[int(rng.integers(len(voices)))], spec, rng)
            pcm = mixed(pcm, others, float(rng.uniform(10, 25)))
        columns = normalised_columns(spoil(pcm, rng), spec, vtl_warp=rng.uniform(*VTL_WARP))[:n_columns]
        rows.append((columns, *targets))
    return MotionBatch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*rows, strict=True)))


def _row(
    clips: list[Clip], spec: LipSyncSpec, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """ROW_FRAMES of one voice: sound, motion, tract, and whether a frame follows the one before it."""
    if rng.random() < _QUIET_ROW_SHARE:
        sound = no_speech(round(ROW_FRAMES * spec.samples_per_frame), rng)
        return sound, *_at_rest(ROW_FRAMES, spec), np.arange(ROW_FRAMES) > 0
    speed = float(rng.uniform(*SPEED)) if rng.random() < 0.5 else 1.0
    sounds, motions, tracts, follows = [], [], [], []
    missing = ROW_FRAMES
    while missing > 0:
        pcm, motion, tract = at_speed(clips[int(rng.integers(len(clips)))], speed, spec)
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
