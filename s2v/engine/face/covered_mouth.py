"""Whether something is before the mouth: a mask, a hand, a microphone. Lips would be drawn on it.

The mesh is whole on a covered face, too: what is covered it guesses. But where it puts the lips there is then nothing
that differs from its surroundings as lips do, or what is there has the colour of nothing in a face.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import FACE_OVAL, N_MESH, OUTER_LIPS, FacePlane, Points, head_pose
from s2v.engine.face.photo import Image

# The part of the face that is looked at: its size in pixels, and its left, top and width in face units.
_SIZE_PX, _LEFT, _TOP, _WIDTH = (64, 72), -0.7, -0.15, 1.4
_NOSE_TIP = 1
_DEPTH = -0.2  # face units
_SURE = 0.5
_LEAST_SKIN = 80.0  # of 255, its strongest colour: what is darker, taken at night, is brightened to that
# Of the logistic regression that was fitted: docs/LOG.md says on what, and how often it is wrong.
_BIAS = 25.675
_WEIGHTS = np.array([-3.103, -4.472, -0.076, -1.163, -0.762, -0.344, 0.14, 0.071, -1.973])


def is_mouth_covered(photo: Image, landmarks: Points) -> bool:
    """Whether a mesh, (478, 3) in pixels of the photo, lies on a mouth that cannot be seen."""
    pose = head_pose(landmarks)
    px = _WIDTH / _SIZE_PX[0]  # face units
    to_plane = np.array([[px, 0, _LEFT + px / 2], [0, px, _TOP + px / 2], [0, 0, 1]])
    to_photo = FacePlane.at_depth(pose, _DEPTH).matrix @ to_plane
    step_px = px * pose.unit_px
    calm = cv2.GaussianBlur(photo, (0, 0), max(0.3, 0.4 * step_px)) if step_px > 1 else photo
    cut = cv2.warpAffine(
        calm, to_photo, _SIZE_PX, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    points = (pose.to_canonical(landmarks)[:N_MESH, :2] - (_LEFT, _TOP)) / px - 0.5
    return float(_lower_face(np.asarray(cut, np.uint8), points) @ _WEIGHTS) + _BIAS > _SURE


def _lower_face(cut: Image, points: Points) -> NDArray[np.float64]:
    """What tells lips from what may be before them, (9,), from the cut and the mesh (468, 2) in its pixels."""
    outline = points[list(OUTER_LIPS)]
    lips, oval = _inside(outline), _inside(points[list(FACE_OVAL)])
    around = _inside(_grown(outline, 1.25, 1.9)) & ~_inside(_grown(outline, 1.08, 1.25)) & oval
    above = oval & (np.arange(len(cut))[:, None] < points[_NOSE_TIP, 1])
    if not (lips.any() and around.any() and above.any()):
        return np.zeros(len(_WEIGHTS))
    gain = max(1.0, _LEAST_SKIN / max(1.0, float(np.median(cut[above].max(axis=1)))))
    bgr = cv2.GaussianBlur(cut, (0, 0), 0.8).astype(np.float32) * np.float32(gain / 255)
    lab = cv2.cvtColor(bgr.clip(0, 1), cv2.COLOR_BGR2LAB)
    skin, lip, ring = (np.median(lab[where], axis=0) for where in (above, lips, around))
    spread = float(np.subtract(*np.percentile(lab[lips][:, 0], [95, 5])))  # of the lips' lightness
    scatter = np.sqrt((lab[lips].var(0) + lab[around].var(0)) / 2 + 1)
    apart = np.abs(lab[lips].mean(0) - lab[around].mean(0)) / scatter
    hue = np.hypot(*(lip - ring)[1:])
    return np.array(
        [
            np.log(spread + 1),
            np.log(spread / max(skin[0], 10) * 60 + 1),
            np.log(hue + 0.5),
            apart[1],
            apart[2],
            (lip - skin)[1],  # how much redder than the skin above
            np.hypot(*(lip - skin)[1:]),
            np.hypot(*(ring - skin)[1:]),
            np.log(np.linalg.norm(lip - ring) + 1),
        ]
    )


def _inside(outline: Points) -> NDArray[np.bool_]:
    filled = np.zeros(_SIZE_PX[::-1], np.uint8)
    cv2.fillPoly(filled, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
    return filled > 0


def _grown(outline: Points, across: float, along: float) -> Points:
    middle = outline.mean(0)
    grown: Points = middle + (outline - middle) * (across, along)
    return grown
