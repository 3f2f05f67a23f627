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
_BORDER_UNITS = 0.5  # from the photo's border inwards, until the motion is whole, where the body reaches it
_ROOM_UNITS = 0.25  # a face with less room than that between its features and the border moves less
_BREATH_BELOW_LIPS, _BREATH_BELOW_CHIN = 0.10, 0.35  # face units: from nothing here to all there
_LOWER_LIP, _CHIN = 17, 152
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
        self._below_px = float(np.clip(free[3], 1.0, _BORDER_UNITS * unit_px))
        self.room = float(np.clip(max(free.min(), 1.0) / (_ROOM_UNITS * unit_px), 0.0, 1.0))  # 0 to 1
        # Between the head and the photo's border, on the narrower side and on top.
        left, above, right = self._gaps(matte >= 1) / unit_px
        self.beside_units, self.above_units = float(min(left, right)), float(above)

    def follows(self, places: Points) -> tuple[Points, Points]:
        """How far photo pixels (rows, columns, 2), a regular grid, go along, 0 to 1.

        Returns: with the head, (rows, columns); with the breath, (rows, columns).
        A head that the photo cuts off at the top or a side moves whole; at the bottom, where the body is, it stays.
        Only places of the head's layer are meant: above the neck all of it goes along, hair and hat too; down the
        neck it fades with the distance from the face; shoulders stay.
        """
        v = self._plane.to_plane(places)[..., 1]
        ends = np.array(self._size) - 1
        away = np.concatenate([places, ends - places], -1)  # left, top, right, bottom
        neck = smoothstep((v - _NECK_FROM_V) / (self._chin_v - _NECK_FROM_V))
        head = 1 - neck * smoothstep((self._outside_units(places) - _RIGID_UNITS) / _FADE_UNITS)
        begin = self._lip_v + _BREATH_BELOW_LIPS
        breath = smoothstep((v - begin) / (self._chin_v + _BREATH_BELOW_CHIN - begin))
        held = smoothstep(away / (_BORDER_UNITS * self._unit_px)).prod(-1)
        return smoothstep(away[..., 3] / self._below_px) * head, held * breath

    def _gaps(self, head: NDArray[np.bool_]) -> Points:
        """Pixels between what of the head lies above the mouth and the photo's left, top, right.

        Further down shoulders come in, of tilted heads before the chin does.
        """
        rows, columns = np.nonzero(head)
        above = self._plane.to_plane(np.stack([columns, rows], -1).astype(np.float64))[:, 1] < _NECK_FROM_V
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
