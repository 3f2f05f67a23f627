"""Faces with open mouths drawn on the canonical mesh: what is lip, tooth, gum or dark is known for each pixel."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.geometry import LOWER_INNER_LIP, N_MESH, OUTER_LIPS, UPPER_INNER_LIP, canonical_face
from s2v.engine.face.motion_basis import MotionBasis
from s2v.spec import LipSyncSpec

SKIN, LIP, TOOTH, DARK, GUM, TONGUE = (
    (120, 130, 190),
    (95, 80, 180),
    (200, 215, 225),
    (20, 18, 30),
    (110, 100, 200),
    (100, 90, 190),
)
SIZE_PX, UNIT_PX = 360, 150.0


class DrawnMouth(NamedTuple):
    """One face, and which of its pixels are what, (h, w) bool."""

    face: EnrolledFace
    teeth: np.ndarray
    opening: np.ndarray  # as drawn; landmarks may lie beside it
    lips: np.ndarray  # outer edge and all within


def drawn_mouth(
    jaw: float = 3.0,
    tooth: tuple[int, int, int] = TOOTH,
    lip: tuple[int, int, int] = LIP,
    length: float = 0.06,
    gum: float = 0.0,
    gap: float = 0.0,
    landmarks_inside: float = 0.0,
) -> DrawnMouth:
    """A face that shows upper teeth above its tongue.

    Args:
        jaw: how wide it is open, in standard deviations of the basis. tooth, lip: BGR.
        length: of the teeth, face units, measured down from the lip; 0 draws none. gum: how much of that is gum.
        gap: width of a dark gap beside the middle. landmarks_inside: how far the inner lips' landmarks miss the edge.
    """
    spec = LipSyncSpec()
    opened = canonical_face() + jaw * MotionBasis.load(spec.motion_basis).displacement(np.arange(N_MESH))[0]
    mesh = opened * UNIT_PX + np.array([0.5 * SIZE_PX, 0.3 * SIZE_PX, 0])
    upper, lower = mesh[list(UPPER_INNER_LIP), :2], mesh[list(LOWER_INNER_LIP), :2]
    photo = np.full((SIZE_PX, SIZE_PX, 3), SKIN, np.uint8)
    lips, opening = (
        _filled(outline) for outline in (mesh[list(OUTER_LIPS), :2], np.concatenate([upper, lower[-2:0:-1]]))
    )
    photo[lips], photo[opening] = lip, DARK
    x, y = np.meshgrid(np.arange(SIZE_PX), np.arange(SIZE_PX))
    below_lip = (y - np.interp(x, *upper.T)) / UNIT_PX
    above_lip = (np.interp(x, *lower.T) - y) / UNIT_PX
    aside = (x - 0.5 * SIZE_PX) / UNIT_PX
    photo[opening & (above_lip < 0.03)] = TONGUE
    row = opening & (below_lip < length) & (np.abs(aside) < 0.16)
    photo[row] = tooth
    photo[row & (below_lip < gum)] = GUM
    missing = row & (np.abs(aside - 0.05) < gap / 2)
    photo[missing] = DARK
    soft = np.asarray(cv2.GaussianBlur(photo, (0, 0), 0.8), np.uint8)
    moved = mesh.copy()
    moved[list(UPPER_INNER_LIP[1:-1]), 1] += landmarks_inside * UNIT_PX
    landmarks = np.concatenate([moved, np.repeat(moved[[33, 263]], 5, axis=0)])
    face = face_from_landmarks(soft, landmarks, spec)
    return DrawnMouth(face, row & (below_lip >= gum) & ~missing, opening, lips)


def _filled(outline: np.ndarray) -> np.ndarray:
    mask = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return mask > 0
