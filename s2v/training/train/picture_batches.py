"""Pictures of shards -> batches of mouths, mirrored and in another light."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PICTURE_ARRAYS = ("target", "reference", "mouth_target", "mouth_warped", "opening", "gate")
_SEEN = ("target", "reference", "mouth_target", "mouth_warped")  # what light falls on
_MAX_MAGNIFIED = 4
# Where the lips are on the face crop, as a share of its sides: centre and reach.
_LIPS_AT, _LIPS_REACH = (0.62, 0.5), (0.09, 0.2)


@dataclass(frozen=True)
class Pictures:
    """Pictures of one split; uint8 (n, ...) as `picture` of prepare_data makes them."""

    arrays: dict[str, NDArray[np.uint8]]
    motion: NDArray[np.float32]
    where: list[tuple[str, int]]  # clip name and frame; "" for a still
    magnified: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    people: list[str] = field(default_factory=list)  # whose mouth it is

    def __len__(self) -> int:
        return len(self.motion)

    @cached_property
    def places(self) -> dict[str, int]:
        """Everybody by name, and the number that `person` of a batch is for them."""
        return {name: place for place, name in enumerate(sorted(set(self.people)))}

    @property
    def names(self) -> list[str]:
        """Everybody, in the order of `places`."""
        return list(self.places)


def picture_batches(
    pictures: Pictures, batch: int, rng: np.random.Generator, still_share: float = 0.5
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
    """The chosen pictures as tensors; with `rng`, mirrored and recoloured at random.

    Returns: the arrays by name, (b, c, h, w) in [0, 1]; `motion` (b, n_motion); `person` (b,), the place in
    `Pictures.places`; `mirrored` (b,) bool; `blocks` (b,), patch pixels that one pixel of the source fills, a side.
    """
    batch: dict[str, Tensor] = {"motion": torch.from_numpy(pictures.motion[chosen])}
    for key, array in pictures.arrays.items():
        part = torch.from_numpy(array[chosen]).float() / 255
        batch[key] = part.permute(0, 3, 1, 2) if part.ndim == 4 else part[:, None]
    if pictures.people:
        batch["person"] = torch.tensor([pictures.places[pictures.people[i]] for i in chosen])
        blocks = np.clip(np.round(pictures.magnified[chosen]), 1, _MAX_MAGNIFIED)
        batch["blocks"] = torch.from_numpy(blocks.astype(np.int64))
    n = len(chosen)
    batch["mirrored"] = torch.zeros(n, dtype=torch.bool)
    if rng is None:
        return batch
    # Motion is symmetric, so a mirrored face moves the same.
    batch["mirrored"] = torch.from_numpy(rng.random(n) < 0.5)
    for key in PICTURE_ARRAYS:
        batch[key] = torch.where(batch["mirrored"][:, None, None, None], batch[key].flip(-1), batch[key])
    for key, seen in _in_another_light({key: batch[key] for key in _SEEN}, rng).items():
        batch[key] = seen
    batch["reference"] = _made_up(batch["reference"], rng)
    return batch


def _in_another_light(seen: dict[str, Tensor], rng: np.random.Generator) -> dict[str, Tensor]:
    """All pictures of a sample with the same white balance, exposure and contrast, and brighter on one side."""
    n = len(next(iter(seen.values())))

    def dice(values: NDArray[np.floating], *shape: int) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).reshape(n, *shape)

    # Lamps make a photo as orange as that; what would be clipped is made darker instead.
    cast = np.exp(rng.normal(-0.1, 0.3, (n, 1)) + rng.normal(0, 0.25, (n, 3)))
    gain = dice(cast / np.maximum(1, cast.max(1, keepdims=True) / 1.2), 3, 1, 1)
    gamma = dice(np.exp(rng.normal(0, 0.25, n)), 1, 1, 1)
    slope = dice(rng.normal(0, 0.2, n), 1, 1, 1)
    lit = {}
    for key, part in seen.items():
        # The patch covers half of the face crop's width, around its middle.
        half = 0.5 if part.shape[-1] != part.shape[-2] else 1.0
        across = torch.linspace(-half, half, part.shape[-1])
        lit[key] = (part.clamp(1e-4, 1) ** gamma * gain * (1 + slope * across)).clamp(0, 1)
    return lit


def _made_up(reference: Tensor, rng: np.random.Generator) -> Tensor:
    """Some references with painted lips, some blurred: neither says anything about the light on the teeth."""
    n, _, height, width = reference.shape
    rows = (torch.arange(height) + 0.5) / height - _LIPS_AT[0]
    columns = (torch.arange(width) + 0.5) / width - _LIPS_AT[1]
    blob = torch.exp(-0.5 * ((rows[:, None] / _LIPS_REACH[0]) ** 2 + (columns / _LIPS_REACH[1]) ** 2) * 2)
    strength = torch.from_numpy((rng.uniform(0, 0.8, n) * (rng.random(n) < 0.4)).astype(np.float32))
    # From pink over red to dark brown, BGR.
    shade = torch.from_numpy(rng.uniform([0.2, 0.15, 0.5], [0.8, 0.6, 1.3], (n, 3)).astype(np.float32))
    mix = strength[:, None, None, None] * blob
    painted = (reference * (1 - mix * (1 - shade[:, :, None, None]))).clamp(0, 1)
    coarse = torch.nn.functional.interpolate(
        torch.nn.functional.avg_pool2d(painted, 2), size=(height, width), mode="bilinear", align_corners=False
    )
    blurred = torch.from_numpy(rng.random(n) < 0.3)[:, None, None, None]
    return torch.where(blurred, coarse, painted)
