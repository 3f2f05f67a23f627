"""Where a row of teeth stands in the mouth of a photo, seen as the photo's head is turned.

Teeth stand on an arch: those at the side are further from the camera. A turned head shows more of the near side.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from s2v.engine.compositor.mouth.teeth_texture import BELOW_MM, PX_PER_MM, REACH_MM, Texture
from s2v.engine.face.geometry import FacePlane, Points, Pose

MM = 1 / 92  # of a face unit
_LEAST_SIDE = 0.05  # face units from the midline to a corner of the mouth, however far the head is turned
_SIDES_RISE = 0.5  # per face unit: the edges of the teeth rise by that times the square of the way from the midline
_ASIDE = (0.0, 0.27, 0.62, 0.95)  # shares of the way to the corner of the mouth ...
# ... and light there of the upper row and of the lower one, which is narrower and behind the cheeks.
_FALLOFF = {True: (1.0, 0.98, 0.62, 0.32), False: (1.0, 0.86, 0.40, 0.18)}
RASTER_PX = 500.0  # of a face unit
# A row goes that share of the way to either corner of the mouth, made wider by no more than so much: a turned head's
# arch turns out of sight before the corner, and so would end in a hole.
_REACHED, _MOST_WIDENED = 0.95, 1.5
# A row follows the line from corner to corner by that share, for a head turned so far; no steeper than so much.
_WITH_LIPS, _TURNED_DEGREES, _MOST_TILTED = 0.8, 15.0, 0.15


@dataclass(frozen=True)
class Arch:
    """Where one row of teeth stands."""

    middle: Points  # (3,) of its incisal edge, face units
    bend_per_mm: float  # depth of the arch: that times the square of the way to the side, mm
    roots_up: bool  # of the upper row


@dataclass(frozen=True)
class View:
    """From where teeth are seen, and on what pixels."""

    pose: Pose
    plane: FacePlane
    corners: Points  # (2, 2) of the mouth at rest, left and right, face plane: towards them less light falls on teeth
    plane_to_row: Points  # (2, 3) from the face plane to pixels
    size: tuple[int, int]  # (width, height) in pixels
    blur_px: float  # of the photo, in these pixels

    def row(self, texture: Texture, arch: Arch) -> Texture:
        """A row of teeth on an arch as (h, w, 3), its cover turned into what it leaves bare.

        Args:
            texture: of `teeth_texture`. arch: where it stands.
        """
        to_plane = np.linalg.inv(np.vstack([self.plane_to_row, [0, 0, 1]]))[:2]
        ends = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * self.size - 0.5
        seen = ends @ to_plane[:, :2].T + to_plane[:, 2]
        low, high = seen.min(0), seen.max(0)
        row = _sampled(self._raster(texture, arch, low, high), low, to_plane, self.size)
        row = np.asarray(cv2.GaussianBlur(row, (0, 0), self.blur_px), np.float32)
        row[..., 2] = 1 - row[..., 2]
        return row

    def _raster(self, texture: Texture, arch: Arch, low: Points, high: Points) -> Texture:
        """The row as a picture of the face plane, RASTER_PX to a unit, from `low` to `high` (2,)."""
        columns, rows = np.ceil((high - low) * RASTER_PX).astype(int)
        s_mm, u, v = _seen(arch, self.pose, self.plane)
        midline = float(np.interp(0, s_mm, u))
        u, v = _widened(u, midline, self.corners[:, 0]), v + self._tilt(u, v) * (u - midline)
        at_u = low[0] + (np.arange(columns) + 0.5) / RASTER_PX
        s = np.interp(at_u, u, s_mm, left=-2 * REACH_MM, right=2 * REACH_MM)
        edge_v = np.interp(at_u, u, v)
        at_v = low[1] + (np.arange(rows)[:, None] + 0.5) / RASTER_PX
        t_mm = (edge_v - at_v if arch.roots_up else at_v - edge_v) / MM
        map_x = np.broadcast_to((s + REACH_MM) * PX_PER_MM, t_mm.shape).astype(np.float32)
        map_y = np.minimum((t_mm + BELOW_MM) * PX_PER_MM, len(texture) - 1).astype(np.float32)
        seen = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        left, right = (max(abs(corner - midline), _LEAST_SIDE) for corner in self.corners[:, 0])
        aside = np.abs(at_u - midline) / np.where(at_u < midline, left, right)
        seen[..., :2] *= np.interp(aside, _ASIDE, _FALLOFF[arch.roots_up]).astype(np.float32)[:, None]
        return np.asarray(seen, np.float32)

    def _tilt(self, u: Points, v: Points) -> float:
        """How much steeper a row is to run, v per u, to go with the lips: the pose of a turned head is a guess.

        Args: u, v: (n,) of the row's edge.
        """
        across, down = self.corners[1] - self.corners[0]
        if across < _LEAST_SIDE:
            return 0.0
        steeper = float(down / across - np.polyfit(u, v, 1)[0])
        turned = min(abs(self.pose.yaw_degrees) / _TURNED_DEGREES, 1.0)
        return float(np.clip(_WITH_LIPS * turned * steeper, -_MOST_TILTED, _MOST_TILTED))


def _widened(u: Points, midline: float, corners: Points) -> Points:
    """Places along a row, (n,) ascending, either side made as wide as the mouth there if it is narrower.

    Args: corners: (2,) u of the left one and the right one.
    """
    widened = u.copy()
    for end, corner, side in zip(u[[0, -1]], corners, (u < midline, u > midline), strict=True):
        way = max(abs(float(end) - midline), 1e-6)
        share = np.clip(_REACHED * abs(corner - midline) / way, 1, _MOST_WIDENED)
        widened[side] = midline + share * (u[side] - midline)
    return widened


def _sampled(raster: Texture, low: Points, to_plane: Points, size: tuple[int, int]) -> Texture:
    """A raster that begins at `low` (2,) on pixels of `size`, each the mean of what it covers."""
    grid = to_plane * RASTER_PX
    grid[:, 2] -= low * RASTER_PX + 0.5
    fine = max(1, int(np.ceil(np.sqrt(abs(np.linalg.det(grid[:, :2]))))))
    dense = grid.copy()
    dense[:, :2] /= fine
    dense[:, 2] += (dense[:, :2] - grid[:, :2]) @ [0.5, 0.5]  # pixels' corners stay where they are
    wide = (size[0] * fine, size[1] * fine)
    seen = cv2.warpAffine(raster, dense, wide, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(seen if fine == 1 else cv2.resize(seen, size, interpolation=cv2.INTER_AREA), np.float32)


def _seen(arch: Arch, pose: Pose, plane: FacePlane) -> tuple[Points, Points, Points]:
    """Along the arch: s in mm, and u, v of the incisal edge in the face plane, u ascending."""
    x = np.linspace(-REACH_MM, REACH_MM, 513)
    z = arch.bend_per_mm * x**2
    s = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    s -= np.interp(0, x, s)
    edge = arch.middle + MM * np.c_[x, np.zeros_like(x), z] - np.c_[0 * x, _SIDES_RISE * (MM * x) ** 2, 0 * x]
    u, v = plane.to_plane(pose.to_photo(edge)[:, :2]).T
    # Where the arch turns out of sight, u goes back again.
    middle = len(u) // 2
    right = np.flatnonzero(np.diff(u[middle:]) <= 0)
    left = np.flatnonzero(np.diff(u[: middle + 1]) <= 0)
    part = slice(left[-1] + 1 if len(left) else 0, middle + right[0] + 1 if len(right) else len(u))
    s, u, v = s[part], u[part], v[part]
    drawn = np.abs(s) <= REACH_MM
    return s[drawn], u[drawn], v[drawn]
