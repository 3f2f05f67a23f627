"""Pictures of shards -> batches of faces, mirrored and in another light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.audio.windows import mfcc_windows
from s2v.spec import LipSyncSpec
from s2v.training.shard_file import Sample
from s2v.training.stored_clips import PICTURE_ARRAYS, Pictures, StoredClips, picture_of

__all__ = ["PICTURE_ARRAYS", "Pictures", "Row", "face_input", "picture_batch", "spoken_pictures"]
Row = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def face_input(target: Tensor, reference: Tensor) -> Tensor:
    """As `network_input` of enrolment: the target without its lower half, then the reference."""
    masked = target.clone()
    masked[:, :, masked.shape[2] // 2 :] = 0
    return torch.cat([masked, reference], 1)


def picture_batch(pictures: Pictures, chosen: NDArray[np.int64], rng: np.random.Generator | None) -> dict[str, Tensor]:
    """The chosen pictures by name, float (b, 3, h, w) in [0, 1]; with `rng`, mirrored and recoloured at random."""
    lights = [_Light.plain() if rng is None else _Light.by_chance(rng) for _ in chosen]
    return {
        key: torch.from_numpy(np.stack([light.on(array[i]) for light, i in zip(lights, chosen, strict=True)]))
        for key, array in pictures.arrays.items()
    }


def spoken_pictures(
    clips: StoredClips, at: int, n: int, spec: LipSyncSpec, rng: np.random.Generator, per_face: int = 1
) -> list[Row]:
    """`n` pictures of one clip to be drawn: window, target and reference. A target comes once, if the clip has enough.

    Args: per_face: so many in a row share a reference and a light; for the next ones both are chosen anew.
    Returns: (1, n_cepstra, n_columns), and (3, face_px, face_px) in [0, 1] twice, for each of them; nothing where the
    clip has no target with its sound and a reference.
    Raises: DataError, damaged.
    """
    sample = clips.sample(at, pictures=True)
    n_frames = min(len(sample.motion), spec.frame_count(len(sample.pcm)))
    usable = [frame for frame in sample.targets if frame < n_frames and sample.references_of(frame)]
    if not usable:
        return []
    targets = [usable[i] for i in np.resize(rng.permutation(len(usable)), n)]
    windows = _windows_at(sample, targets, spec)
    rows = []
    for number, (target, window) in enumerate(zip(targets, windows, strict=True)):
        if number % per_face == 0:
            beside = sample.references_of(target)
            reference, light = beside[int(rng.integers(len(beside)))], _Light.by_chance(rng)
        drawn = [light.on(picture_of(sample, frame, clips.store)) for frame in (target, reference)]
        rows.append((window, drawn[0], drawn[1]))
    return rows


def _windows_at(sample: Sample, frames: list[int], spec: LipSyncSpec) -> NDArray[np.float32]:
    """(n, 1, n_cepstra, n_columns). What is said after the last of the frames is not computed."""
    heard = sample.pcm[: max(spec.ready_at(max(frames)), round((max(frames) + 1) * spec.samples_per_frame))]
    return mfcc_windows((heard / 32768).astype(np.float32), spec)[frames][:, None]


@dataclass(frozen=True)
class _Light:
    """White balance, exposure and contrast of a sample, a brighter side, and whether it is mirrored."""

    gain: NDArray[np.float32]  # (3,)
    gamma: float = 1.0
    slope: float = 0.0
    mirrored: bool = False

    @classmethod
    def plain(cls) -> _Light:
        return cls(np.ones(3, np.float32))

    @classmethod
    def by_chance(cls, rng: np.random.Generator) -> _Light:
        # Lamps make a photo as orange as that; what would be clipped is made darker instead.
        cast = np.exp(rng.normal(-0.1, 0.3) + rng.normal(0, 0.25, 3))
        gain = (cast / max(1.0, float(cast.max()) / 1.2)).astype(np.float32)
        return cls(gain, float(np.exp(rng.normal(0, 0.25))), float(rng.normal(0, 0.2)), bool(rng.random() < 0.5))

    def on(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(h, w, 3) uint8 -> (3, h, w) in [0, 1]."""
        levels = np.arange(256, dtype=np.float32) / 255
        across = 1 + np.float32(self.slope) * np.linspace(-1, 1, picture.shape[1], dtype=np.float32)
        if self.gamma != 1.0:
            levels = np.maximum(levels, np.float32(1e-4)) ** np.float32(self.gamma)
        seen = picture[:, ::-1] if self.mirrored else picture
        lit = np.empty((3, *picture.shape[:2]), np.float32)
        for channel in range(3):  # a table of 256 levels instead of a power for every pixel
            np.multiply((levels * self.gain[channel])[seen[..., channel]], across, out=lit[channel])
        return np.clip(lit, 0, 1, out=lit)
