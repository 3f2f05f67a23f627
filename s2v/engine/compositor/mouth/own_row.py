"""A photo's own upper teeth, laid over the drawn row: their shapes and their colour are the person's.

Only their light is taken: a bit of lip or gum at their edge would else be a stain on a tooth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2v.engine.compositor.mouth.teeth_texture import Texture
from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import smoothstep

_LUMA = np.array([0.114, 0.587, 0.299], np.float32)  # of B, G, R
_FRONT = 0.06  # face units beside the middle: the edge of the front teeth is looked for there
_MOST_MOVED = 0.07  # face units
_BRIGHT_PERCENTILE = 60  # of the luma: gaps and shaded teeth do not say what colour teeth are
_LIGHT = (0.45, 1.08)  # of the drawn teeth's; darker is a gap, brighter a reflection
_DARK_FROM, _DARK_OVER = 0.45, 0.20  # of that: what is so dark is no tooth of the photo's, and the drawn one is seen
_GAP = 0.022  # face units: what is narrower and darker than ...
_GAP_LIGHT = 0.80  # ... that share of the teeth beside it is a gap
_LEAST_COVER = 0.5
_LONGER = 0.012  # face units that a photo's tooth may reach below their edge: what goes further is a lip that shines
_SOFT = 0.008  # face units over which teeth end there
_BESIDE = 0.20  # face units from the middle to which their edge is followed
_MOST_BENT = 0.05  # face units that drawn teeth are moved to that edge


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
    lower_side = v + 0.5 * np.hypot(*back[:, 1])  # of each pixel
    own_edge = _edge(solid, u, lower_side, edge[0])
    drawn_edge = _edge(upper[..., 0] > _LEAST_COVER, u, lower_side, edge[0])
    down = float(np.clip(edge[1] - own_edge(edge[0]), -_MOST_MOVED, _MOST_MOVED))
    shift = np.c_[np.eye(2), plane_to_row[:, 1] * down]
    layer = np.asarray(cv2.warpAffine(cv2.merge([light * cover, cover]), shift, (width, height)), np.float32)
    # Where the photo's teeth end, the row ends: drawn teeth are bent to that edge, and none peeps out below it.
    bottom = own_edge(u) + down
    layer *= smoothstep((bottom + _LONGER - v) / _SOFT).astype(np.float32)[..., None]
    upper = _moved_down(upper, plane_to_row, np.clip(bottom - drawn_edge(u), -_MOST_BENT, _MOST_BENT))
    owned = cv2.GaussianBlur(layer[..., 1].max(0), (0, 0), 1.0).reshape(1, -1)
    below = smoothstep((v - bottom) / _SOFT)
    upper[..., 2] += (1 - upper[..., 2]) * owned * below
    upper[..., :2] *= (1 - owned * below)[..., None]
    row = upper * (1 - layer[..., 1:])
    row[..., 0] += layer[..., 0]
    return OwnRow(row, np.asarray(np.median(own[bright][:, :3], axis=0), np.float32))


def _edge(teeth: NDArray[np.bool_], u: Points, v: Points, midline: float) -> Callable[[ArrayLike], Points]:
    """The lower edge of teeth, a parabola over u that goes on level beyond them: v of u.

    Args: teeth: (h, w), some of them within _FRONT of `midline`. u, v: (h, w) of the pixels, face plane.
    """
    seen = teeth.any(0)
    last = len(teeth) - 1 - teeth[::-1].argmax(0)[seen]
    at_u, at_v = u[last, np.flatnonzero(seen)], v[last, np.flatnonzero(seen)]
    near = np.abs(at_u - midline) < _BESIDE
    at_u, at_v = at_u[near], at_v[near]
    off = np.abs(at_v - np.median(at_v))
    kept = off <= max(3 * float(np.median(off)), _LONGER)
    degree = 2 if np.ptp(at_u[kept]) > 2 * _FRONT else 0
    curve = np.polynomial.Polynomial.fit(at_u[kept], at_v[kept], degree)
    low, high = at_u[kept].min(), at_u[kept].max()
    return lambda where: np.asarray(curve(np.clip(where, low, high)), np.float64)


def _moved_down(row: Texture, plane_to_row: Points, by: Points) -> Texture:
    """A row of teeth moved down the face plane, (h, w, 3). Args: by: (h, w) face units."""
    y, x = np.indices(row.shape[:2], np.float32)
    source_x, source_y = (at - plane_to_row[k, 1] * by for k, at in enumerate((x, y)))
    moved = cv2.remap(
        row, source_x.astype(np.float32), source_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.float32)


def _closed(light: NDArray[np.float32], solid: NDArray[np.bool_], width_px: float) -> NDArray[np.float32]:
    """Light of teeth as if there were no gaps between them, (h, w). Args: solid: what is teeth."""
    radius = max(1, round(width_px / 2))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.morphologyEx(np.where(solid, light, 0).astype(np.float32), cv2.MORPH_CLOSE, kernel))
