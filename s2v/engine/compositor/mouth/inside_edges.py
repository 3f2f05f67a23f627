"""Where the inside of the mouth begins on a photo: landmarks run a little beside the true edges of open lips.

Pixels next to the landmarks count as inside if they are dark, or on the teeth's side of the way from the colour of a
lip to that of the teeth. Everything happens on a patch that is level with the face, column by column.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP, Points
from s2v.engine.face.motion_basis import lip_gaps

PARTED = 0.02  # face units: lips that are nowhere further apart touch
_N_UPPER = len(OUTER_LIPS) // 2 + 1  # points of the outer upper lip, with both corners
_SEARCH = (0.045, 0.022)  # face units beyond the landmarks of upper and lower lip in which its edge is looked for
_MOST_OF_LIP = (0.7, 0.4)  # and no further into it: the lower one shines as teeth do
_HIGHLIGHT = 0.010  # face units of lip colour that end the inside: less is a line on a tooth
_SPIKE = 0.06  # face units along the lips: what is narrower is no edge of a lip
_TYPICAL = 70  # percentile of the edges found along those
_SMOOTH = 0.025  # face units along the lips over which an edge is smoothed
_NEAR = 0.006  # face units beyond the landmarks where teeth may be seen, too
_BRIGHTEST = 70  # percentile of the inside's pixels from which on they are taken for teeth
_LEAST_AXIS = 10.0  # CIE Lab: teeth are at least that much lighter and less red than lips, or there are none
_REDNESS = 1.2  # a* against L in that
_AROUND = 0.03  # face units of the patch above and below the lips
_DARK = 0.5  # of a lip's lightness


@dataclass(frozen=True)
class LevelPatch:
    """A window of the photo around the mouth, level with the face plane."""

    lab: NDArray[np.float32]  # (h, w, 3) CIE Lab
    u: Points  # (w,) face plane, ascending
    v: Points  # (h,) downwards
    upper: Points  # (w,) v of the inner upper lip's landmarks over `u`
    lower: Points
    upper_outer: Points  # (w,) and of the outer lips'
    lower_outer: Points


@dataclass(frozen=True)
class MouthColours:
    """CIE Lab, (3,) each."""

    upper_lip: NDArray[np.float32]
    lower_lip: NDArray[np.float32]
    teeth: NDArray[np.float32] | None  # None: nothing between the lips looks like teeth

    def toothness(self, lab: NDArray[np.float32], lip: NDArray[np.float32]) -> NDArray[np.float32]:
        """0 for a lip's colour, 1 for that of the teeth, along the straight way between them; (...)."""
        if self.teeth is None:
            return np.zeros(lab.shape[:-1], np.float32)
        way = self.teeth - lip
        return np.asarray((lab - lip) @ way / max(float(way @ way), 1.0), np.float32)


@dataclass(frozen=True)
class InsideEdges:
    """Between `top` and `bottom` lies what is no lip; they meet in the corners of the mouth."""

    u: Points  # (n,) face plane, ascending
    top: Points  # (n,) v
    bottom: Points
    upper_lip: Points  # (n,) how thick the lip beside it is, face units
    lower_lip: Points
    patch: LevelPatch
    colours: MouthColours


def parted(canonical: Points) -> bool:
    """Whether lips are apart on a photo. Args: canonical: (468, 3) its landmarks in face units."""
    return bool(lip_gaps(canonical).max() > PARTED)


def inside_edges(face: EnrolledFace) -> InsideEdges | None:
    """Those of a photo; None for lips that touch, or a mouth beyond the photo's border."""
    patch = _level_patch(face) if parted(face.canonical) else None
    if patch is None:
        return None
    colours = _colours(patch)
    if colours is None:
        return None
    top = patch.upper - _beyond(patch, patch.upper, patch.upper_outer, colours, colours.upper_lip)
    bottom = patch.lower + _beyond(patch, patch.lower, patch.lower_outer, colours, colours.lower_lip)
    return InsideEdges(patch.u, top, bottom, top - patch.upper_outer, patch.lower_outer - bottom, patch, colours)


def _level_patch(face: EnrolledFace) -> LevelPatch | None:
    at = face.plane.to_plane(face.landmarks[:, :2])
    upper, lower = (_over_u(at[list(lip)]) for lip in (UPPER_INNER_LIP, LOWER_INNER_LIP))
    outer = at[list(OUTER_LIPS)]
    upper_outer, lower_outer = _over_u(outer[:_N_UPPER]), _over_u(np.r_[outer[_N_UPPER - 1 :], outer[:1]])
    step = 1 / face.pose.unit_px
    u = np.arange(upper[0, 0], upper[-1, 0], step)
    v = np.arange(outer[:, 1].min() - _AROUND, outer[:, 1].max() + _AROUND, step)
    if len(u) < 8:
        return None
    matrix = face.plane.matrix
    grid = np.c_[matrix[:, :2] * step, matrix[:, :2] @ [u[0], v[0]] + matrix[:, 2]]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    level = cv2.warpAffine(face.photo, grid, (len(u), len(v)), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    lab = cv2.cvtColor(level.astype(np.float32) / np.float32(255), cv2.COLOR_BGR2LAB)
    curves = [np.interp(u, *curve.T) for curve in (upper, lower, upper_outer, lower_outer)]
    curves[1] = np.maximum(curves[1], curves[0])
    return LevelPatch(np.asarray(lab, np.float32), u, v, *curves)


def _over_u(points: Points) -> Points:
    """Points of a lip (n, 2) as a curve over u."""
    ordered: Points = points[np.argsort(points[:, 0])]
    return ordered


def _colours(patch: LevelPatch) -> MouthColours | None:
    v = patch.v[:, None]
    gap, middle = patch.lower - patch.upper, (patch.upper + patch.lower) / 2
    lips = []
    for inner, outer in ((patch.upper, patch.upper_outer), (patch.lower, patch.lower_outer)):
        # The middle half of what is lip: its edges are mixed colours.
        share = (v - inner) / np.where(np.abs(outer - inner) < 1e-3, 1e-3, outer - inner)
        found = patch.lab[(share > 0.35) & (share < 0.8)]
        if not len(found):
            return None
        lips.append(np.median(found, axis=0))
    between = patch.lab[np.abs(v - middle) < 0.4 * gap + _NEAR]
    if len(between) < 8:
        return MouthColours(lips[0], lips[1], None)
    pale = between[:, 0] - _REDNESS * between[:, 1]
    teeth = np.median(between[pale >= np.percentile(pale, _BRIGHTEST)], axis=0)
    least = max(float(lip[0] - _REDNESS * lip[1]) for lip in lips) + _LEAST_AXIS
    return MouthColours(lips[0], lips[1], teeth if teeth[0] - _REDNESS * teeth[1] > least else None)


def _beyond(patch: LevelPatch, edge: Points, outer: Points, colours: MouthColours, lip: NDArray[np.float32]) -> Points:
    """How far the inside of the mouth reaches beyond a lip's landmarks, (w,) face units, 0 or more.

    Args:
        edge: (w,) v of the lip's inner landmarks. outer: of its outer ones. lip: its colour.
    """
    step = float(patch.v[1] - patch.v[0])
    up = bool(outer.mean() < edge.mean())
    search, most_of_lip = (of[0 if up else 1] for of in (_SEARCH, _MOST_OF_LIP))
    depth = np.arange(0, search, step)[:, None]
    rows = np.round((edge - patch.v[0] + (-depth if up else depth)) / step).astype(int)
    lab = patch.lab[rows.clip(0, len(patch.v) - 1), np.arange(len(patch.u))]  # (depths, w, 3)
    inside = (colours.toothness(lab, lip) > 0.5) | (lab[..., 0] < _DARK * lip[0])
    # From the landmarks outwards until so much lip has been seen that no tooth can follow.
    allowed = max(1, round(_HIGHLIGHT / step))
    padded = np.pad(inside, [(0, allowed), (0, 0)])
    ended = np.stack([~padded[n : n + len(depth)] for n in range(allowed)]).all(0)
    first_lip = np.where(ended.any(0), ended.argmax(0), len(depth))
    found = inside & (np.arange(len(depth))[:, None] < first_lip)
    last = np.where(found.any(0), len(depth) - found[::-1].argmax(0), 0) * step
    return _smooth(np.minimum(last, most_of_lip * np.abs(edge - outer)), step)


def _smooth(beyond: Points, step: float) -> Points:
    """An edge as smooth as lips are, (w,), however ragged what was found."""
    typical = np.percentile(_windows(beyond, _SPIKE / step), _TYPICAL, axis=1)
    kernel = cv2.getGaussianKernel(2 * round(2 * _SMOOTH / step) + 1, _SMOOTH / step)
    soft: Points = np.convolve(np.pad(typical, len(kernel) // 2, mode="edge"), kernel[:, 0], "valid")
    return soft


def _windows(values: Points, width: float) -> Points:
    """Each value with its neighbours, (n, 2 * (width // 2) + 1)."""
    half = max(1, round(width / 2))
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, half, mode="edge"), 2 * half + 1)
