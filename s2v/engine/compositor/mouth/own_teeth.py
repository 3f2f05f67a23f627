"""A photo's own upper teeth: where an open mouth shows them, they are better than any paint.

They are on the skull: what hides them is the lip. What is shown of them ends in a parabola along their lower edge, for
single columns of pixels find that edge only roughly.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.mouth.inside_edges import InsideEdges, inside_edges
from s2v.engine.compositor.mouth.opening import light_between
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import LOWER_INNER_LIP, UPPER_INNER_LIP, Points
from s2v.engine.face.maps import smoothstep
from s2v.engine.face.motion_basis import aperture

MIN_APERTURE = 0.05  # face units; a narrower gap shows a line of something, no teeth to speak of
_UNDER_THE_LIPS = 0.006  # face units: that close to a lip its blurred edge begins
_SOFT = 0.006
_LONGEST = 0.12  # face units: an upper tooth is hardly longer; below is tongue, or what moves with the jaw
_GAP = 0.010  # face units down a column that are no tooth: there it ends
_SHORTEST = 0.035  # face units of the median column: less would be a line across the teeth that are painted
_NECK = 0.012  # face units above their upper edge, where they are shaded or scalloped, that go with teeth
_BETWEEN = 0.03  # face units: gaps between teeth, or a stain, are no wider
_SIDES = 0.02  # face units over which the outermost teeth fade
_MIN_SHARE = 0.35  # of the mouth's width must show teeth
_MIN_L = 33.0  # CIE Lab: what is darker is no tooth
_SHADED = 0.6  # of the teeth's own lightness: darker is a gap
_DISTINCT = 18.0  # CIE Lab: teeth differ that much from lips, or they are lips in the sun
_DISTINCT_ALONE = 27.0  # from the upper lip, where the lower one shines as they do
_COLOURED = 4.0  # CIE Lab: how much redder lips are than teeth, or the photo is grey
_LEAST_TOOTH = 0.012  # face units down a column: less is a highlight
_DARKEST = 0.55  # of full light; what lies darker on the photo is not brightened further
_FIT_STEPS = 12
_FIT_SCALE = 0.006  # face units: an edge that far off the parabola counts half

Mask = NDArray[np.bool_]
Lab = NDArray[np.float32]


def own_teeth(face: EnrolledFace, left: int, top: int, size: tuple[int, int]) -> NDArray[np.float32] | None:
    """A window of the photo where it shows teeth: (h, w, 4) BGR in [0, 255] and cover in [0, 1]; None if it shows none.

    The teeth are as they would be in full light, for all that lies between the lips is shaded when it is drawn.

    Args:
        face: enrolled. left, top, size: the window in pixels of the photo, size is (width, height).
    """
    edges = inside_edges(face) if aperture(face.canonical) >= MIN_APERTURE and all(size) else None
    level = None if edges is None else _level_cover(edges)
    if edges is None or level is None:
        return None
    corner = np.array([left, top])
    step = float(edges.patch.v[1] - edges.patch.v[0])
    matrix = face.plane.matrix
    origin = matrix[:, :2] @ [edges.patch.u[0], edges.patch.v[0]] + matrix[:, 2]
    cover = cv2.warpAffine(level, np.c_[matrix[:, :2] * step, origin - corner], size, flags=cv2.INTER_LINEAR)
    pixels = face.photo[top : top + size[1], left : left + size[0]].astype(np.float32)
    pixels /= np.maximum(_light(face, corner, size), _DARKEST)[..., None]
    return np.ascontiguousarray(np.concatenate([pixels, cover[..., None]], axis=2), np.float32)


def _light(face: EnrolledFace, corner: NDArray[np.int_], size: tuple[int, int]) -> NDArray[np.float32]:
    """How much light falls between the photo's lips, (h, w), a share of what falls on teeth in a wide mouth."""
    lips = [*UPPER_INNER_LIP, *LOWER_INNER_LIP[-2:0:-1]]
    return light_between(face.landmarks[lips, :2] - corner, size, face.pose.unit_px)


def _level_cover(edges: InsideEdges) -> NDArray[np.float32] | None:
    """Where the patch shows upper teeth, (h, w) in [0, 1], or None."""
    patch = edges.patch
    step, v = float(patch.v[1] - patch.v[0]), patch.v[:, None]
    tooth, flesh = _kinds(edges)
    begins, ends = _ends(edges, tooth)
    seen = np.isfinite(ends)
    if seen.mean() < _MIN_SHARE or np.median((ends - edges.top)[seen]) < _SHORTEST:
        return None
    upper = np.maximum(_soft_top(patch.u, begins, step) - _NECK, edges.top + _UNDER_THE_LIPS)
    lower = np.minimum(_parabola(patch.u, ends), edges.bottom - _UNDER_THE_LIPS)
    inside = np.minimum(v - upper, lower + _SOFT - v)
    first, last = patch.u[np.flatnonzero(seen)[[0, -1]]]
    sides = smoothstep(np.minimum(patch.u - first, last - patch.u) / _SIDES)
    # Gums, lips and tongue are kept out wherever they are wider than a gap between teeth.
    radius = max(1, round(0.5 * _BETWEEN / step))
    gap = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    own = 1 - cv2.morphologyEx(flesh.astype(np.float32), cv2.MORPH_OPEN, gap)
    cover = smoothstep(inside / _SOFT) * sides * cv2.GaussianBlur(own, (0, 0), max(0.5, _SOFT / step))
    return np.asarray(cover, np.float32)


def _kinds(edges: InsideEdges) -> tuple[Mask, Mask]:
    """Pixels of the patch that are teeth, and those that are lip, gum or tongue, (h, w) each."""
    lab, colours = edges.patch.lab, edges.colours
    teeth = colours.teeth
    lips = (colours.upper_lip, colours.lower_lip)
    if teeth is None or teeth[0] < _MIN_L or not (distinct := _distinct(teeth, *lips)):
        return np.zeros(lab.shape[:2], bool), np.zeros(lab.shape[:2], bool)
    likeness = np.min([colours.toothness(lab, lip) for lip in distinct], axis=0)
    bright = lab[..., 0] > max(_MIN_L, _SHADED * float(teeth[0]))
    red = lab[..., 1] > (teeth[1] + min(lip[1] for lip in lips)) / 2
    # A photo without colour has no red; there light alone must tell, and the landmarks of the lips.
    coloured = bool(max(lip[1] for lip in lips) - teeth[1] > _COLOURED)
    return (likeness > 0.5) & bright, (likeness <= 0.5) & red & coloured


def _distinct(teeth: Lab, upper_lip: Lab, lower_lip: Lab) -> list[Lab]:
    """The lips that teeth can be told from by their colour; none if those are no teeth. Args: CIE Lab, (3,) each."""
    upper_off, lower_off = (float(np.linalg.norm(teeth - lip)) for lip in (upper_lip, lower_lip))
    if min(upper_off, lower_off) >= _DISTINCT:
        return [upper_lip, lower_lip]
    # A lower lip that shines is as pale as teeth, if a little redder; the upper lip is in its own shade.
    shines = upper_off >= _DISTINCT_ALONE and lower_lip[1] - teeth[1] > _COLOURED
    return [upper_lip] if shines else []


def _ends(edges: InsideEdges, tooth: Mask) -> tuple[Points, Points]:
    """v where each column's upper tooth begins and ends, (w,) each; NaN where it shows none."""
    patch = edges.patch
    step = float(patch.v[1] - patch.v[0])
    v = patch.v[:, None]
    tooth = tooth & (v > edges.top) & (v < np.minimum(edges.bottom, edges.top + _LONGEST))
    begins = tooth.argmax(0)
    rows = np.arange(len(patch.v))[:, None]
    allowed = max(1, round(_GAP / step))
    padded = np.pad(tooth, [(0, allowed), (0, 0)])
    ended = np.stack([~padded[n : n + len(rows)] for n in range(allowed)]).all(0) & (rows > begins)
    last = np.where(ended.any(0), ended.argmax(0), len(rows) - 1)
    shows = tooth.sum(0) * step >= _LEAST_TOOTH
    return np.where(shows, patch.v[begins], np.nan), np.where(shows, patch.v[last], np.nan)


def _soft_top(u: Points, begins: Points, step: float) -> Points:
    """The upper edge of the teeth without its scallops, (w,). Args: begins: NaN where a column shows none."""
    known = np.isfinite(begins)
    whole = np.interp(u, u[known], begins[known])
    sigma = _BETWEEN / step
    padding = round(2 * sigma)
    kernel = cv2.getGaussianKernel(2 * padding + 1, sigma)[:, 0]
    soft: Points = np.convolve(np.pad(whole, padding, mode="edge"), kernel, "valid")
    return soft


def _parabola(u: Points, edge: Points) -> Points:
    """The parabola through most of an edge, (w,); NaN are no part of it.

    Source: iteratively reweighted least squares with Cauchy's weights: Holland and Welsch, "Robust regression using
    iteratively reweighted least-squares" (Communications in Statistics, 1977).
    """
    known = np.isfinite(edge)
    at = (u - u.mean()) / (u[-1] - u[0])
    powers = np.stack([np.ones_like(at), at, at**2], -1)
    weights = np.ones(int(known.sum()))
    for _ in range(_FIT_STEPS):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(powers[known] * root[:, None], edge[known] * root, rcond=None)[0]
        weights = 1 / (1 + ((powers[known] @ found - edge[known]) / _FIT_SCALE) ** 2)
    curve: Points = powers @ found
    return curve
