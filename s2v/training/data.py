"""Shards -> batches: speech with its motion, and pictures of mouths."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.windows import mfcc_windows
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.augment import no_speech, spoil

VTL_WARP = (0.82, 1.22)  # vocal-tract length: one voice stands for many
_CLIPS_IN_A_ROW = 2  # so that the running mean also meets a stream that has been going on
_NO_SPEECH_SHARE = 0.08


@dataclass(frozen=True)
class Clip:
    """Sound and true motion of one clip."""

    name: str
    pcm: NDArray[np.float32]  # 16 kHz mono
    motion: NDArray[np.float32]  # (n_frames, n_motion)
    aperture: NDArray[np.float32]  # (n_frames,) face units above the talker's closed lips


@dataclass(frozen=True)
class Pictures:
    """Pictures of one split; uint8 (n, ...) as `prepare.picture` makes them."""

    arrays: dict[str, NDArray[np.uint8]]
    motion: NDArray[np.float32]
    where: list[tuple[str, int]]  # clip name and frame; "" for a still

    def __len__(self) -> int:
        return len(self.motion)


def spec_of_shards(shards: Path, spec: LipSyncSpec) -> LipSyncSpec:
    """The spec with the shards' own MFCC mean and deviation. Raises: DataError, not a shard folder."""
    try:
        meta = json.loads((shards / "meta.json").read_text())
        return replace(spec, mfcc_mean=tuple(meta["mfcc_mean"]), mfcc_std=tuple(meta["mfcc_std"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{shards} holds no meta.json: -i takes the folder that s2v prepare-data wrote") from None


def load_split(shards: Path, split: str, pictures: bool = True) -> tuple[list[Clip], Pictures]:
    """Read all shards of a split ("train", "held", "val") into memory."""
    clips: list[Clip] = []
    parts: dict[str, list[NDArray[np.uint8]]] = {}
    motions: list[NDArray[np.float32]] = []
    where: list[tuple[str, int]] = []
    for path in sorted(shards.glob(f"{split}-*.npz")):
        with _open_shard(path) as stored:
            names = [str(name) for name in stored["clips"]]
            clips += _clips(names, stored["pcm"], stored["pcm_ends"], stored["motion"], stored["aperture"],
                            stored["motion_ends"])  # fmt: skip
            if not pictures or "picture_where" not in stored:
                continue
            where += [(names[clip] if clip >= 0 else "", int(frame)) for clip, frame in stored["picture_where"]]
            motions.append(stored["picture_motion"])
            for key in ("target", "reference", "mouth_target", "mouth_warped", "opening", "gate"):
                parts.setdefault(key, []).append(stored[f"picture_{key}"])
    motion = np.concatenate(motions) if motions else np.zeros((0, 0), np.float32)
    return clips, Pictures({key: np.concatenate(part) for key, part in parts.items()}, motion, where)


@contextmanager
def _open_shard(path: Path) -> Iterator[Any]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            yield stored
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} is not a shard of s2v prepare-data ({error}): prepare again") from None


def _clips(
    names: list[str],
    pcm: NDArray[np.int16],
    pcm_ends: NDArray[np.int64],
    motion: NDArray[np.float32],
    aperture: NDArray[np.float32],
    motion_ends: NDArray[np.int64],
) -> list[Clip]:
    sounds = np.split(pcm, pcm_ends[:-1]) if names else []
    motions = np.split(motion, motion_ends[:-1]) if names else []
    apertures = np.split(aperture, motion_ends[:-1]) if names else []
    return [
        Clip(name, (sound / 32768).astype(np.float32), moved, opened)
        for name, sound, moved, opened in zip(names, sounds, motions, apertures, strict=True)
    ]


def by_voice(seen: list[Clip], labelled: list[Clip], seen_share: float = 0.4) -> list[list[Clip]]:
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


def motion_batch(
    voices: Sequence[list[Clip]], n_rows: int, spec: LipSyncSpec, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of clips spoken one after the other, each row in one voice and spoiled in its own way.

    Args:
        voices: the clips of each voice; every voice is as likely as the next, however much it said.
    Returns: windows (n, 1, n_cepstra, n_columns), motion (n, n_motion) and whether a frame follows
        the one before it in the same clip (n,).
    """
    windows, motions, follows = [], [], []
    for _ in range(n_rows):
        clips = voices[int(rng.integers(len(voices)))]
        sounds, targets, starts = [], [], []
        for index in rng.integers(len(clips), size=_CLIPS_IN_A_ROW):
            clip = clips[index]
            # Whole frames only: the next clip's first frame must begin where this one's last ends.
            n_frames = min(len(clip.motion), int(len(clip.pcm) / spec.samples_per_frame))
            n_samples = round(n_frames * spec.samples_per_frame)
            silent = rng.random() < _NO_SPEECH_SHARE
            sounds.append(no_speech(n_samples, rng) if silent else clip.pcm[:n_samples])
            targets.append(np.zeros_like(clip.motion[:n_frames]) if silent else clip.motion[:n_frames])
            starts.append(np.arange(n_frames) > 0)
        pcm = spoil(np.concatenate(sounds), rng)
        target = np.concatenate(targets)
        windows.append(mfcc_windows(pcm, spec, vtl_warp=rng.uniform(*VTL_WARP))[: len(target), None])
        motions.append(target)
        follows.append(np.concatenate(starts))
    return (
        torch.from_numpy(np.concatenate(windows)),
        torch.from_numpy(np.concatenate(motions)),
        torch.from_numpy(np.concatenate(follows)),
    )


def picture_batches(
    pictures: Pictures, batch: int, rng: np.random.Generator, still_share: float = 0.4
) -> Iterator[dict[str, Tensor]]:
    """Endless batches of mirrored and recoloured pictures, float in [0, 1], (b, c, h, w).

    Args:
        still_share: of every batch from photos (many people), the rest from talkers (many mouths).
    """
    still = np.array([not name for name, _ in pictures.where])
    n_photos = round(batch * still_share)
    # Where one kind is missing, the other fills the batch.
    photos, talkers = (np.flatnonzero(kind) if kind.any() else np.arange(len(still)) for kind in (still, ~still))
    while True:
        chosen = [rng.choice(photos, n_photos), rng.choice(talkers, batch - n_photos)]
        yield picture_batch(pictures, np.concatenate(chosen).astype(np.int64), rng)


def picture_batch(pictures: Pictures, chosen: NDArray[np.int64], rng: np.random.Generator | None) -> dict[str, Tensor]:
    """The chosen pictures as tensors; with `rng`, mirrored and recoloured at random."""
    batch: dict[str, Tensor] = {"motion": torch.from_numpy(pictures.motion[chosen])}
    for key, array in pictures.arrays.items():
        part = torch.from_numpy(array[chosen]).float() / 255
        batch[key] = part.permute(0, 3, 1, 2) if part.ndim == 4 else part[:, None]
    if rng is None:
        return batch
    n = len(chosen)
    # Motion is symmetric, so a mirrored face moves the same.
    mirror = torch.from_numpy(rng.random(n) < 0.5)[:, None, None, None]
    gain = torch.from_numpy(rng.normal(1, 0.12, (n, 3, 1, 1)).astype(np.float32))
    gamma = torch.from_numpy(np.exp(rng.normal(0, 0.25, (n, 1, 1, 1))).astype(np.float32))
    for key, part in batch.items():
        if part.ndim == 4:
            batch[key] = torch.where(mirror, part.flip(-1), part)
    for key in ("target", "reference", "mouth_target", "mouth_warped"):
        batch[key] = (batch[key].clamp(1e-4, 1) ** gamma * gain).clamp(0, 1)
    return batch
