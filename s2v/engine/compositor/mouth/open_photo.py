"""A photo with lips where the inside of the mouth was: what the warp moves, so that closed lips close.

Each lip is mirrored at its own edge into its half of the opening, squeezed so that no more than the lip itself is seen
again, and darkens inwards, as lips do that turn away from the light.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.mouth.inside_edges import InsideEdges, inside_edges
from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import remap, smoothstep
from s2v.engine.face.photo import Image

_MARGIN = 0.012  # face units of lip beside the inside that go with it: its edge is blurred with teeth
_CORNER = 0.05  # face units from the corners of the mouth over which all that grows to its full size
_CORNER_SHADE = 0.45  # of the lips' light that a photo's shade in the corner may take
_SEEN_AGAIN = 0.6  # of a lip's thickness at most is mirrored
_LEAST_SEEN = 0.006  # face units
_DEEP_FROM, _DEEP_OVER = -0.010, 0.028  # face units from the lips' landmarks inwards: there a lip turns dark, ...
_DEEP_LIGHT = 0.68  # ... to that share of its own light, ...
_REDDENS = 0.5  # ... less so in red, as light between lips is
_FULL_CHROMA = 18.0  # CIE Lab: of lips on a photo with colours


def without_inside(face: EnrolledFace) -> Image:
    """The photo with lips in place of what an open mouth shows; the photo itself if its lips touch.

    Returns: (h, w, 3) BGR. The same array as `face.photo`, or a new one that differs from it between the lips only.
    """
    edges = inside_edges(face)
    if edges is None:
        return face.photo
    top, bottom = _widened(edges)
    height, width = face.photo.shape[:2]
    corners = face.plane.to_photo(np.array([[u, v] for u in edges.u[[0, -1]] for v in (top.min(), bottom.max())]))
    left, above = np.clip(np.floor(corners.min(0)), 0, [width, height]).astype(int)
    right, below = np.clip(np.ceil(corners.max(0)) + 1, [left, above], [width, height]).astype(int)
    if right <= left or below <= above:
        return face.photo
    pixels = np.stack(np.meshgrid(np.arange(left, right), np.arange(above, below)), -1).astype(np.float64)
    uv = face.plane.to_plane(pixels)
    source_v, deep, is_upper = _mirrored(edges, top, bottom, uv)
    source = face.plane.to_photo(np.stack([uv[..., 0], source_v], -1)).astype(np.float32)
    inside = source_v != uv[..., 1]
    lips = remap(face.photo, source, cv2.INTER_LINEAR).astype(np.float32)
    dark = np.stack([_dark(colour) for colour in (edges.colours.lower_lip, edges.colours.upper_lip)])
    lips += deep[..., None] * (dark[is_upper.astype(int)] - lips)
    seen = face.photo[above:below, left:right].astype(np.float32)
    shade = np.clip(seen - lips, -_CORNER_SHADE * lips, 0)  # the cavity itself would be a hole beside closed lips
    lips += _at_corner(edges, uv[..., 0])[..., None] * shade
    photo = face.photo.copy()
    photo[above:below, left:right][inside] = np.clip(lips[inside] + 0.5, 0, 255).astype(np.uint8)
    return photo


def _widened(edges: InsideEdges) -> tuple[Points, Points]:
    """Upper and lower edge of what is replaced, v over `edges.u`: a margin of lip goes with it, but for the corners."""
    away = 1 - _at_corner(edges, edges.u)
    upper, lower = edges.patch.upper, edges.patch.lower
    return upper + away * (edges.top - upper - _MARGIN), lower + away * (edges.bottom - lower + _MARGIN)


def _at_corner(edges: InsideEdges, u: Points) -> Points:
    """1 in the corners of the mouth, whose shade stays as it is, 0 away from them; (...)."""
    away: Points = smoothstep(np.minimum(u - edges.u[0], edges.u[-1] - u) / _CORNER)
    return 1 - away


def _mirrored(
    edges: InsideEdges, top: Points, bottom: Points, uv: Points
) -> tuple[Points, NDArray[np.float32], NDArray[np.bool_]]:
    """For points of the face plane (..., 2): the v that each shows, its own if not inside; how deep it lies, [0, 1];
    and whether it becomes upper lip, (...) each."""
    u, v = uv[..., 0], uv[..., 1]
    curves = (top, bottom, edges.patch.upper, edges.patch.lower, edges.upper_lip, edges.lower_lip)
    first, last, upper, lower, upper_lip, lower_lip = (np.interp(u, edges.u, curve) for curve in curves)
    is_upper = v < (first + last) / 2
    depth = np.where(is_upper, v - first, last - v)
    depth = np.where((u < edges.u[0]) | (u > edges.u[-1]), 0, np.maximum(depth, 0))
    reach = np.maximum(_SEEN_AGAIN * np.where(is_upper, upper_lip, lower_lip), _LEAST_SEEN)
    back = reach * -np.expm1(-depth / reach)  # as a mirror at the edge, then slower and slower
    source = np.where(depth == 0, v, np.where(is_upper, first - back, last + back))
    deep = smoothstep((np.where(is_upper, v - upper, lower - v) - _DEEP_FROM) / _DEEP_OVER)
    return source, deep.astype(np.float32), is_upper


def _dark(lip: NDArray[np.float32]) -> NDArray[np.float32]:
    """BGR of a lip, (3,), where it turns away from the light. Args: lip: CIE Lab."""
    colour = cv2.cvtColor(lip.reshape(1, 1, 3).astype(np.float32), cv2.COLOR_LAB2BGR).reshape(3)
    s = min(float(np.hypot(*lip[1:])) / _FULL_CHROMA, 1.0)
    light = _DEEP_LIGHT ** (1 + _REDDENS * s * np.array([1, 1, -1]))
    return np.asarray(255 * light * np.clip(colour, 0, 1), np.float32)
