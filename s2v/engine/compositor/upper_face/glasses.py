"""Whether a photo's face wears glasses, by their lower rims: one dark thin line under each eye, all along it."""

from __future__ import annotations

import cv2
import numpy as np

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import EYES, EyeMesh, Points
from s2v.engine.face.maps import Map, remap, smoothstep

_COLUMNS = 25  # along an eye
_BELOW = (0.08, 0.50)  # face units under the line between an eye's corners: there rims are
_ROW = 0.01  # face units
_HALF_WIDTHS = (3, 5, 7)  # rows from the middle of a rim to the skin on both sides of it
_STEP_ROWS = 3  # a rim goes up or down by no more from column to column
_SEEN = 20  # percent of a rim's columns may be fainter than what counts: reflections
# Share of the skin's light by which a line is darker. On 385 portraits, of which five have rims: these have 0.22 to
# 0.43, the bags under the eyes of three old people up to 0.28, everybody else less than 0.20.
_NONE, _SURE = 0.14, 0.27


def glasses_share(face: EnrolledFace) -> float:
    """How surely glasses are worn through which eyes are seen, 0 to 1; others: `dark_lenses`."""
    light = cv2.cvtColor(face.photo.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)[..., 0]
    soft = np.asarray(cv2.GaussianBlur(light, (0, 0), max(0.006 * face.pose.unit_px, 0.5)), np.float32)
    at = face.plane.to_plane(face.landmarks[:, :2])
    return float(smoothstep((min(_rim(face, soft, at, eye) for eye in EYES) - _NONE) / (_SURE - _NONE)))


def _rim(face: EnrolledFace, light: Map, at: Points, eye: EyeMesh) -> float:
    """How much darker than the skin the darkest thin line under an eye is, from end to end."""
    (left, first), (right, last) = at[eye.upper[0]], at[eye.upper[-1]]
    down = np.arange(*_BELOW, _ROW)[:, None]
    v = np.linspace(first, last, _COLUMNS) + down
    uv = np.stack([np.broadcast_to(np.linspace(left, right, _COLUMNS), v.shape), v], -1)
    seen = remap(light, face.plane.to_photo(uv).astype(np.float32), cv2.INTER_LINEAR)
    skin = max(float(np.median(seen)), 1.0)
    faint = []
    for half in _HALF_WIDTHS:
        padded = np.pad(seen, ((half, half), (0, 0)), mode="edge")
        darker = (np.minimum(padded[: -2 * half], padded[2 * half :]) - seen) / skin
        faint.append(np.percentile(_along_best_path(darker), _SEEN))
    return float(max(faint))


def _along_best_path(value: Map) -> Map:
    """The values (columns,) of the path from left to right through (rows, columns) whose sum is largest.

    Source: Bellman, "Dynamic Programming" (1957).
    """
    rows, columns = value.shape
    total, came = value[:, 0], []
    for column in range(1, columns):
        padded = np.pad(total, _STEP_ROWS, constant_values=-np.inf)
        steps = np.stack([padded[step : step + rows] for step in range(2 * _STEP_ROWS + 1)])
        came.append(steps.argmax(0) - _STEP_ROWS)
        total = steps.max(0) + value[:, column]
    row = int(total.argmax())
    path = [row]
    for step in reversed(came):
        row += int(step[row])
        path.append(row)
    return value[path[::-1], np.arange(columns)]
