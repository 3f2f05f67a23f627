"""Lays lips from one picture on the face of another as if they had been seen in its light.

The skin around the lips is on both pictures: how much brighter it is on one, colour by colour, says how to light what
is between. That ratio is carried across the mouth, smoothly, so that it is right at the edge of what is laid on.
Source: after Farbman et al., "Coordinates for instant image cloning", ACM TOG 28 (2009): a smooth membrane from edge to
edge; ours is a normalised convolution and a factor, not a difference.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import smoothstep
from s2v.engine.face.photo import Image

Plane = NDArray[np.float32]

# Face units from the outer edge of the lips.
_GROWN, _FEATHER = 0.045, 0.075  # what is laid on for sure; and over how much it fades
_SKIN_FROM, _SKIN_TO, _SKIN_SOFT = 0.02, 0.16, 0.05  # what is compared
_SMOOTH = 0.10  # standard deviation
_LEAST, _MOST = 0.55, 1.8
_COARSE = 0.015
_DARK = 4.0  # levels that are added to both: black has no ratio


class Light:
    """Around one mouth on one picture."""

    def __init__(self, lips: Points, size: tuple[int, int], unit_px: float) -> None:
        """Args: lips: (n, 2) their outer edge in pixels of a window of `size` (width, height). unit_px: of a face."""
        self._size = size
        self._scale = max(1.0, _COARSE * unit_px)
        self._small = tuple(max(4, round(n / self._scale)) for n in size)
        fixed = (lips + 0.5) * np.array(self._small) / np.array(size) - 0.5
        outside = np.full(self._small[::-1], 255, np.uint8)
        cv2.fillPoly(outside, [np.round(fixed * 16).astype(np.int32)], 0, cv2.LINE_8, 4)
        far = np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 5), np.float32)
        far *= np.float32(size[0] / self._small[0] / unit_px)
        self._cover = 1 - smoothstep((far - _GROWN) / _FEATHER)
        skin = smoothstep((far - _SKIN_FROM) / _SKIN_SOFT) * (1 - smoothstep((far - _SKIN_TO) / _SKIN_SOFT))
        self._skin = np.asarray(skin, np.float32)[..., None]
        self._sigma = _SMOOTH * unit_px * self._small[0] / size[0]

    def lay_over(self, own: Image, mouth: Image) -> Image:
        """`mouth` over `own`, (h, w, 3) BGR both, a new array."""
        gain = self.gain(own, mouth)
        cover = cv2.resize(self._cover, self._size, interpolation=cv2.INTER_LINEAR)[..., None]
        lit = mouth * cv2.resize(gain, self._size, interpolation=cv2.INTER_LINEAR)
        mixed = own + cover * (lit - own)
        return np.asarray(np.clip(mixed + np.float32(0.5), 0, 255), np.uint8)

    def gain(self, own: Image, mouth: Image) -> NDArray[np.float32]:
        """(h, w, 3) of the coarse grid: how much brighter `own` is."""
        sums = []
        for picture in (own, mouth):
            small = cv2.resize(picture, self._small, interpolation=cv2.INTER_AREA).astype(np.float32) + _DARK
            sums.append(cv2.GaussianBlur(small * self._skin, (0, 0), self._sigma))
        tiny = np.float32(1e-3)
        gain = (sums[0] + tiny) / (sums[1] + tiny)
        return np.asarray(np.clip(gain, _LEAST, _MOST), np.float32)
