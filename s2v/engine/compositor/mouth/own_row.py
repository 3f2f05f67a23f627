"""A photo's own upper teeth, laid over the drawn row: their shapes and their colour are the person's.

Only their light is taken: a bit of lip or gum at their edge would else be a stain on a tooth.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.mouth.teeth_texture import Texture
from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import smoothstep

_LUMA = np.array([0.114, 0.587, 0.299], np.float32)  # of B, G, R
_FRONT = 0.06  # face units beside the middle: the edge of the front teeth is looked for there
_MOST_MOVED = 0.07  # face units
_BRIGHT_PERCENTILE = 60  # of the luma: gaps and shaded teeth do not say what colour teeth are
_LIGHT = (0.45, 1.08)  # of the drawn teeth's; darker is a gap, brighter a reflection
_DARK_FROM, _DARK_OVER = 0.45, 0.20  # of that: what is so dark is no tooth of the photo's, and the drawn one is seen
_GAP, _GAP_LIGHT = (
    0.022,
    0.80,
)  # face units: what is narrower and darker than that share of the teeth beside it is a gap
_LEAST_COVER = 0.5
_LONGER = 0.012  # face units that a photo's tooth may reach below a drawn one: what goes further is a lip that shines


class OwnRow(NamedTuple):
    """What a photo's teeth change."""

    upper: Texture  # the row with them
    colour: NDArray[np.float32]  # (3,) BGR in [0, 255]


def with_own_teeth(own: NDArray[np.float32], upper: Texture, plane_to_row: Points, edge: Points) -> OwnRow | None:
    """The upper row with a photo's own teeth, moved so that their edge is where the drawn one is; None: too few.

    A laughing lip uncovers teeth that the same lip hides when it talks: left where they are, they would fill every
    opening.

    Args:
        own: of `own_teeth`, on the row's pixels. upper: drawn (`View.row`). plane_to_row: (2, 3).
        edge: (2,) middle of the drawn teeth's edge in the face plane.
    """
    height, width = own.shape[:2]
    back = np.linalg.inv(np.vstack([plane_to_row, [0, 0, 1]]))[:2]
    x, y = np.arange(width), np.arange(height)[:, None]
    u, v = (row[0] * x + row[1] * y + row[2] for row in back)
    solid = own[..., 3] > _LEAST_COVER
    in_front = np.abs(u - edge[0]) < _FRONT
    front, drawn = solid & in_front, in_front & (upper[..., 0] > _LEAST_COVER)
    if not front.any() or not drawn.any():
        return None
    luma = own[..., :3] @ _LUMA
    bright = solid & (luma >= np.percentile(luma[solid], _BRIGHT_PERCENTILE))
    level = np.median(upper[..., 0][drawn]) / np.median(luma[front])
    light = np.clip(luma * level, *_LIGHT).astype(np.float32)
    light = np.maximum(light, _GAP_LIGHT * _closed(light, solid, _GAP / float(np.hypot(*back[:, 0]))))
    cover = np.clip(own[..., 3], 0, 1) * smoothstep((luma * level - _DARK_FROM) / _DARK_OVER).astype(np.float32)
    lowest = np.where(front, v, -np.inf).max(0)
    bottom = np.median(lowest[front.any(0)]) + 0.5 * np.hypot(*back[:, 1])  # the last row's lower side
    down = np.clip(edge[1] - bottom, -_MOST_MOVED, _MOST_MOVED)
    shift = np.c_[np.eye(2), plane_to_row[:, 1] * down]
    layer = np.asarray(cv2.warpAffine(cv2.merge([light * cover, cover]), shift, (width, height)), np.float32)
    lower = np.c_[np.eye(2), plane_to_row[:, 1] * _LONGER]
    layer *= cv2.warpAffine(1 - upper[..., 2], lower, (width, height))[..., None]
    bare = 1 - layer[..., 1]
    row = upper * bare[..., None]
    row[..., 0] += layer[..., 0]
    return OwnRow(row, np.asarray(np.median(own[bright][:, :3], axis=0), np.float32))


def _closed(light: NDArray[np.float32], solid: NDArray[np.bool_], width_px: float) -> NDArray[np.float32]:
    """Light of teeth as if there were no gaps between them, (h, w). Args: solid: what is teeth."""
    radius = max(1, round(width_px / 2))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.morphologyEx(np.where(solid, light, 0).astype(np.float32), cv2.MORPH_CLOSE, kernel))
