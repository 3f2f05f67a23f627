"""Pictures of shards -> batches of faces, mirrored and in another light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Pictures:
    """Pictures of one split; uint8 (n, h, w, 3) as `picture` of prepare_data makes them."""

    arrays: dict[str, NDArray[np.uint8]]
    where: list[tuple[str, int]]  # clip name and frame

    def __len__(self) -> int:
        return len(self.where)


def face_input(target: Tensor, reference: Tensor) -> Tensor:
    """As `network_input` of enrolment: the target without its lower half, then the reference."""
    masked = target.clone()
    masked[:, :, masked.shape[2] // 2 :] = 0
    return torch.cat([masked, reference], 1)


def picture_batch(pictures: Pictures, chosen: NDArray[np.int64], rng: np.random.Generator | None) -> dict[str, Tensor]:
    """The chosen pictures by name, float (b, 3, h, w) in [0, 1]; with `rng`, mirrored and recoloured at random."""
    batch = {
        key: (torch.from_numpy(array[chosen]).float() / 255).permute(0, 3, 1, 2)
        for key, array in pictures.arrays.items()
    }
    if rng is None:
        return batch
    mirrored = torch.from_numpy(rng.random(len(chosen)) < 0.5)[:, None, None, None]
    return _in_another_light({key: torch.where(mirrored, part.flip(-1), part) for key, part in batch.items()}, rng)


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
        across = torch.linspace(-1, 1, part.shape[-1])
        lit[key] = (part.clamp(1e-4, 1) ** gamma * gain * (1 + slope * across)).clamp(0, 1)
    return lit
