"""Where on a photo a head may go: how far each place follows it, and how much room there is around it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import FACE_OVAL, N_MESH, FacePlane, Points
from s2v.engine.face.maps import smoothstep

_RIGID_UNITS = 0.10  # so far around the outline of the face everything moves as the face does
_FADE_UNITS = 0.85  # beyond it, down the neck, until nothing moves
_NECK_FROM_V = 0.70  # face units below the eyes: above, all that is in the head's layer is head; below the chin, neck
_BORDER_UNITS = 0.5  # from the photo's border inwards, until the motion is whole, where the head reaches it
_ROOM_UNITS = 0.25  # a face with less room than that between its features and the border moves less
_BREATH_BELOW_LIPS, _BREATH_BELOW_CHIN = 0.10, 0.35  # face units: from nothing here to all there
_LOWER_LIP, _CHIN = 17, 152
_BOTTOM = 3  # of left, top, right, bottom
# Brows, eyes, nose, mouth, chin: what must stay rigid even if hair and forehead reach the border.
_FEATURES = (70, 105, 336, 300, 33, 263, 1, 61, 291, 17, 152, 148, 377, 50, 280)


class Extent:
    """One photo's.

    Args:
        landmarks: (>=468, 3) pixels. plane: of the face.
        matte: (h, w) in [0, 1], 1 on the head and the body.
    """

    def __init__(self, landmarks: Points, plane: FacePlane, matte: NDArray[np.float32], unit_px: float) -> None:
        self._size = (matte.shape[1], matte.shape[0])
        self._at, self._plane, self._unit_px = landmarks[:N_MESH, :2], plane, unit_px
        v_at = plane.to_plane(self._at)[:, 1]
        self._chin_v, self._lip_v = float(v_at[_CHIN]), float(v_at[_LOWER_LIP])
        features = self._at[list(_FEATURES)]
        ends = np.array(self._size) - 1
        free = np.concatenate([features.min(0), (ends - features).min(0)])  # left, top, right, bottom
        self._fades_px = np.clip(free, 1.0, _BORDER_UNITS * unit_px)
        self.room = float(np.clip(self._fades_px.min() / (_ROOM_UNITS * unit_px), 0.0, 1.0))  # 0 to 1
        # Between the head and the photo's border, on the narrower side and on top.
        left, above, right = self._gaps(matte >= 1, _NECK_FROM_V) / unit_px
        self.beside_units, self.above_units = float(min(left, right)), float(above)
        # Where nothing of the head's layer lies at a side of the photo, it may go there as far as it likes.
        self._fades_px[:3] = np.where(self._gaps(matte > 0, self._chin_v) > 0, 0.0, self._fades_px[:3])

    def follows(self, places: Points) -> tuple[Points, Points]:
        """How far photo pixels (rows, columns, 2), a regular grid, go along, 0 to 1.

        Returns: with the head to the sides and up and down, (rows, columns, 2); with the breath, (rows, columns).
        Places by the photo's border may slide along it, not across; at the bottom, where the body is, they stay.
        Only places of the head's layer are meant: above the neck all of it goes along, hair and hat too; down the
        neck it fades with the distance from the face; shoulders stay.
        """
        v = self._plane.to_plane(places)[..., 1]
        border = self._border(places)
        neck = smoothstep((v - _NECK_FROM_V) / (self._chin_v - _NECK_FROM_V))
        head = 1 - neck * smoothstep((self._outside_units(places) - _RIGID_UNITS) / _FADE_UNITS)
        begin = self._lip_v + _BREATH_BELOW_LIPS
        breath = smoothstep((v - begin) / (self._chin_v + _BREATH_BELOW_CHIN - begin))
        return border * head[..., None], self._border(places, all_sides=True).prod(-1) * breath

    def _border(self, places: Points, all_sides: bool = False) -> Points:
        """(..., 2) shares of motion to the sides and up and down."""
        shares = np.ones(places.shape)
        ends = np.array(self._size) - 1
        for side, fade_px in enumerate(self._fades_px):
            axis = side % 2
            away = places[..., axis] if side < 2 else ends[axis] - places[..., axis]
            if fade_px > 0 or all_sides:
                share = smoothstep(away / max(fade_px, _BORDER_UNITS * self._unit_px * all_sides))
                held = np.s_[:] if side == _BOTTOM else axis
                shares[..., held] *= share[..., None] if side == _BOTTOM else share
        return shares

    def _gaps(self, head: NDArray[np.bool_], above_v: float) -> Points:
        """Pixels between what of the head lies above that height of the face's plane and the photo's left, top, right.

        Below the mouth shoulders come in, of tilted heads before the chin does.
        """
        rows, columns = np.nonzero(head)
        above = self._plane.to_plane(np.stack([columns, rows], -1).astype(np.float64))[:, 1] < above_v
        if not above.any():
            return np.zeros(3)
        x, y = columns[above], rows[above]
        return np.array([x.min(), y.min(), self._size[0] - 1 - x.max()], np.float64)

    def _outside_units(self, places: Points) -> Points:
        """From each place to the outline of the face, 0 inside: face units."""
        inside = np.zeros((self._size[1], self._size[0]), np.uint8)
        cv2.fillPoly(inside, [self._at[list(FACE_OVAL)].round().astype(np.int32)], 1)
        distance = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
        column, row = places[..., 0].round().astype(int), places[..., 1].round().astype(int)
        away: Points = distance[row.clip(0, self._size[1] - 1), column.clip(0, self._size[0] - 1)].astype(np.float64)
        return away / self._unit_px
