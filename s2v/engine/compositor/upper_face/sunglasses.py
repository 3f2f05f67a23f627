"""Whether a photo's eyes are behind dark or mirrored lenses: there neither lids nor irises may be drawn.

Two things are asked where the eyes must be, and both eyes answer together: whether light is spread there as on an eye,
and whether what is below looks like the skin of the face. Shade leaves eyes their contrast, shut eyes their skin.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import EYES, EyeMesh, Points
from s2v.engine.face.maps import Map, remap

# Light on the eyes of 381 bare faces, in the mean: standard deviations over their own mean, rows from above the lids
# to below, columns from the outer corner to the inner.
_EYE: NDArray[np.float32] = np.array(
    [
        [0.8, 0.7, 0.4, 0.2, 0.0, -0.2, -0.4, -0.5, -0.5, -0.4, -0.3, 0.0, 0.1, 0.2],
        [0.3, -0.3, -0.7, -1.2, -1.7, -1.9, -1.7, -1.8, -1.3, -0.9, -0.6, -0.2, 0.0, 0.1],
        [-0.5, -1.3, -1.9, -1.0, -1.6, -2.0, -2.0, -1.7, -0.2, 0.5, -0.7, -0.4, 0.4, 0.4],
        [-1.2, -2.0, -1.2, 0.4, -0.3, -1.5, -1.7, -1.1, 0.8, 1.2, 0.4, -0.1, 0.6, 0.9],
        [-0.6, -0.6, -0.1, 0.4, 0.7, 0.2, 0.1, 0.5, 0.9, 0.9, 0.9, 1.2, 1.2, 1.1],
        [0.7, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.8, 0.8, 0.8, 1.0, 1.2, 1.2, 1.2],
        [1.3, 1.2, 1.1, 1.0, 0.9, 0.9, 0.9, 0.9, 1.1, 1.3, 1.5, 1.5, 1.5, 1.5],
    ],
    np.float32,
)
_ALONG, _ACROSS = (-0.15, 1.15), (-0.3, 0.3)  # eye widths: where it was taken
_SOFT_EYE, _SOFT_SKIN = 0.03, 0.015  # eye widths, face units: fine detail does not count
_SKIN_POINTS = (50, 280, 205, 425, 36, 266, 101, 330, 4, 5)  # of the mesh: cheeks, nose
_BELOW = (0.04, 0.06, 0.08, 0.10, 0.12, 0.14)  # face units under the lower lid: bare faces show skin there
_COLUMNS = 21
_ONE_SKIN = 20.0  # a and b of Lab: a face of many colours tells nothing either; 12 is the most of 383 photos
_DARKEST_SKIN = 8.0  # L of Lab: a photo without light tells nothing
# Thresholds were set on 383 photos, two of which show sunglasses, and on lenses and shade drawn on 64 of them.
_DARK, _CERTAIN = 0.57, 0.37  # of the skin's light
_FAINT_EYE = 0.20  # contrast of an eye: so much, and more, is one, however dark it is around it
_NO_EYE, _STRANGE, _STRANGE_AT_LEAST, _PER_CONTRAST = 0.05, 14.0, 7.0, 40.0


def dark_lenses(face: EnrolledFace) -> bool:
    """Whether the eyes are hidden by what they are worn behind. Lenses that show the eyes do not count.

    False where the photo shows no two eyes to agree.
    """
    corners = face.landmarks[[point for mesh in EYES for point in (mesh.upper[0], mesh.upper[-1])], :2]
    if (corners < 0).any() or (corners >= [face.photo.shape[1], face.photo.shape[0]]).any():
        return False
    lab = np.asarray(cv2.cvtColor(face.photo.astype(np.float32) / 255, cv2.COLOR_BGR2Lab), np.float32)
    contrast = float(np.mean([_contrast(lab[..., 0], face.landmarks[:, :2], mesh) for mesh in EYES]))
    light, strange = _below(lab, face)
    dark = contrast < _FAINT_EYE * min((_DARK - light) / (_DARK - _CERTAIN), 1)
    # Mirrors turn things upside down: bright above, dark below.
    mirrored = contrast < _NO_EYE and strange > max(_STRANGE + _PER_CONTRAST * contrast, _STRANGE_AT_LEAST)
    return dark or mirrored


def _contrast(light: Map, at: Points, mesh: EyeMesh) -> float:
    """How much a place looks like an eye: 0.2 to 0.5 most eyes, 0 nothing, below 0 the opposite of one."""
    outer, inner = at[mesh.upper[0]], at[mesh.upper[-1]]
    along = inner - outer
    down = np.array([-along[1], along[0]])
    if mesh is EYES[1]:
        outer, along = inner, -along
    s, t = np.linspace(*_ALONG, _EYE.shape[1]), np.linspace(*_ACROSS, _EYE.shape[0])
    places = outer + s[None, :, None] * along + t[:, None, None] * down
    seen = _softly(light, places, _SOFT_EYE * float(np.hypot(*along)))
    return float((seen - seen.mean()).ravel() @ _EYE.ravel() / _EYE.std() / _EYE.size / max(float(seen.mean()), 1.0))


def _below(lab: Map, face: EnrolledFace) -> tuple[float, float]:
    """Light under the lower lids as a share of the skin's, and how far its colour is from skin in that light (Lab)."""
    plane, at = face.plane, face.plane.to_plane(face.landmarks[:, :2])
    soft_px = _SOFT_SKIN * face.pose.unit_px
    points = _softly(lab, plane.to_photo(at[list(_SKIN_POINTS)])[None], soft_px)[0]
    skin = np.median(points, axis=0)
    if skin[0] < _DARKEST_SKIN or np.median(np.hypot(*(points - skin)[:, 1:].T)) > _ONE_SKIN:
        return 1.0, 0.0
    found = []
    for mesh in EYES:
        lid = at[list(mesh.lower)]
        u = np.linspace(lid[0, 0], lid[-1, 0], _COLUMNS + 2)[1:-1]
        v = np.interp(u, lid[:, 0], lid[:, 1]) + np.array(_BELOW)[:, None]
        places = plane.to_photo(np.stack([np.broadcast_to(u, v.shape), v], -1))
        seen = _softly(lab, places, soft_px).reshape(-1, 3)
        share = np.clip(seen[:, 0] / skin[0], 0, 1.3)
        strange = np.hypot(*(seen[:, 1:] - share[:, None] * skin[1:]).T)
        found.append((np.median(share), np.median(strange)))
    light, strangeness = np.mean(found, axis=0)
    return float(light), float(strangeness)


def _softly(picture: Map, places: Points, soft_px: float) -> Map:
    """A picture (h, w, ...) at places (rows, columns, 2), without detail finer than `soft_px`."""
    margin = int(3 * soft_px) + 2
    size = np.array([picture.shape[1], picture.shape[0]])
    left, top = np.clip(np.floor(places.reshape(-1, 2).min(0)).astype(int) - margin, 0, size - 1)
    right, bottom = np.clip(np.ceil(places.reshape(-1, 2).max(0)).astype(int) + margin, [left + 1, top + 1], size)
    part = cv2.GaussianBlur(np.ascontiguousarray(picture[top:bottom, left:right]), (0, 0), max(soft_px, 0.5))
    return remap(np.asarray(part, np.float32), (places - [left, top]).astype(np.float32), cv2.INTER_LINEAR)
