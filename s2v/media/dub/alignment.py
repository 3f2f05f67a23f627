"""Brings a placement from what the landmarks say to what the pixels say: nose and cheeks of a picture are laid over
those of the reference, and what is left of a shift is taken off.

Landmarks of single pictures are off by a few thousandths of a face, otherwise for each pose; pixels of one and the same
nose are not.
Source: Lucas and Kanade, "An iterative image registration technique" (1981); Baker and Matthews, "Lucas-Kanade 20 years
on", IJCV 56 (2004), section 3.2 (gradients of the template).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.enrolment import sample
from s2v.engine.face.geometry import FacePlane, Points, head_pose
from s2v.engine.face.maps import remap
from s2v.engine.face.photo import Image
from s2v.media.dub.placement import DepthMap, Placement, to_film

_LEFT, _TOP, _PX = -0.44, 0.10, 0.02  # face units; of the patch and its pixels
_SIZE = (44, 28)  # pixels: no eyes above, no lips below
_DEPTH = -0.3  # face units
_LARGE_PX = 5.0  # standard deviation: what is larger is light, not nose
_ROUNDS = 4
_ROOM_PX = 3  # at the patch's border
_MOST_PX = 3.0  # off by more: that was no nose
_LEAST_LIKE = 0.6  # correlation of the two after alignment


@dataclass(frozen=True)
class Patch:
    """Nose and cheeks on one picture."""

    luma: NDArray[np.uint8]
    to_picture: Points  # (2, 3) from the patch's pixels

    @property
    def detail(self) -> NDArray[np.float32]:
        """(h, w) luma without light."""
        luma = cv2.GaussianBlur(self.luma.astype(np.float32), (0, 0), 0.8)
        return np.asarray(luma - cv2.GaussianBlur(luma, (0, 0), _LARGE_PX), np.float32)


def patch_of(picture: Image, landmarks: Points) -> Patch:
    """The patch of a face, (478, 3) in pixels of a picture (h, w, 3) BGR."""
    plane = FacePlane.at_depth(head_pose(landmarks), _DEPTH)
    to_plane = np.array([[_PX, 0, _LEFT + _PX / 2], [0, _PX, _TOP + _PX / 2], [0, 0, 1]])
    grid: Points = plane.matrix @ to_plane
    cut = sample(picture, grid, _SIZE)
    return Patch(np.asarray(cv2.cvtColor(cut, cv2.COLOR_BGR2GRAY), np.uint8), grid)


class Aligner:
    """Of one reference."""

    def __init__(self, reference: Patch, depth: DepthMap) -> None:
        """Args: reference: its patch. depth: of its picture."""
        self._depth = depth
        x, y = np.meshgrid(np.arange(_SIZE[0]), np.arange(_SIZE[1]))
        pixels = np.stack([x, y], -1).astype(np.float64)
        self._places = (pixels @ reference.to_picture[:, :2].T + reference.to_picture[:, 2]).astype(np.float32)
        self._detail = reference.detail
        gradients = np.stack(
            [cv2.Sobel(self._detail, cv2.CV_32F, *way, ksize=3, scale=1 / 8) for way in ((1, 0), (0, 1))]
        )
        inside = np.zeros(self._detail.shape, np.float32)
        inside[_ROOM_PX:-_ROOM_PX, _ROOM_PX:-_ROOM_PX] = 1
        self._weight = cv2.GaussianBlur(inside, (0, 0), 2.0)
        self._ways = gradients.reshape(2, -1).astype(np.float64)

    def shift(self, patch: Patch, placement: Placement) -> Points | None:
        """How many film pixels a placement is off, (2,), to be added to it; None, the two do not look alike."""
        film = to_film(placement, self._depth, self._places)
        back = cv2.invertAffineTransform(patch.to_picture)
        at = np.asarray(cv2.transform(film, back), np.float32)
        detail, weight = patch.detail, self._weight.ravel().astype(np.float64)
        off = np.zeros(2)
        like = 0.0
        for _ in range(_ROUNDS):
            seen = remap(detail, at + off.astype(np.float32), cv2.INTER_LINEAR).ravel().astype(np.float64)
            wanted = self._detail.ravel().astype(np.float64)
            norm = (weight * seen**2).sum()
            gain = (weight * seen * wanted).sum() / max(norm, 1e-6)
            like = gain * np.sqrt(norm / max((weight * wanted**2).sum(), 1e-6))
            error = wanted - gain * seen
            robust = weight / (1 + (error / (2 * np.median(np.abs(error)) + 1e-6)) ** 2)
            system = (robust * self._ways) @ self._ways.T
            off = off + np.linalg.solve(system + 1e-3 * np.eye(2), self._ways @ (robust * error))
        if like < _LEAST_LIKE or np.abs(off).max() > _MOST_PX:
            return None
        moved: Points = patch.to_picture[:, :2] @ off
        return moved
