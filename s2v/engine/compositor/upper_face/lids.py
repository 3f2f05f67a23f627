"""The upper lid of one eye on a photo: its curve, its lashes, the skin that a blink brings out.

Coordinates (s, t) are in eye widths: the corners of the eye at (0, 0) and (1, 0), t towards the mouth.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import Points
from s2v.engine.face.maps import Box, Map, remap, smoothstep
from s2v.engine.face.photo import Image

Curve = tuple[float, ...]

FOLD_SOFT = 0.05  # eye widths: where the lid comes out from behind the fold
# Eye widths: so much of the photo above the upper lid's edge, with its lashes, rides with it; behind glasses the least.
SHORTEST_STRIP, _LONGEST_STRIP = 0.08, 0.22
_RIM = 0.05  # eye widths of the upper lid's edge that stay when lashes point down
_LONGEST_LASHES = 0.16  # eye widths
# Where the lid's colour is taken from: beside the fold, under the brow, on the cheek.
_COLOUR_SHARES = (0.4, 0.35, 0.25)
_LIGHTEST = 1.1  # of the cheek's light: what is lighter above an eye is no skin but the shine of glasses

_GRAIN_BELOW = 0.35  # eye widths under the lower lid: where the lid's fine detail comes from


class EyeLines(NamedTuple):
    """Where things are around one eye, in (s, t)."""

    upper: Curve  # edges of the lids, for `curve_at`
    lower: Curve
    fold: Points  # (n, 2) mesh points about the fold of the upper lid
    brow: Points  # under the eyebrow
    cheek: Points


def lid_curve(points: Points) -> Curve:
    """A smooth curve from (0, 0) to (1, 0) along a lid's points, (n, 2), corners included.

    Returns: coefficients of the cubic p, highest power first, for which s (1 - s) p(s) is nearest to them.
    """
    s, t = points[1:-1].T
    powers = np.stack([s**3, s**2, s, np.ones_like(s)], -1)
    solved = np.linalg.lstsq(powers * (s * (1 - s))[:, None], t, rcond=None)[0]
    return tuple(float(c) for c in solved)


def curve_at(curve: Curve, s: NDArray[np.floating]) -> NDArray[np.floating]:
    """The curve's t at s, 0 beyond the corners."""
    inside = np.minimum(np.maximum(s, 0.0), 1.0)  # half of what clip takes
    value = curve[0] * inside
    for coefficient in curve[1:-1]:
        value = (value + coefficient) * inside
    bowed: NDArray[np.floating] = (value + curve[-1]) * inside * (1 - inside)
    return bowed


def lash_strip(photo: Image, lines: EyeLines, to_photo: Points) -> float:
    """Eye widths from the upper lid's edge to the fold it comes out from: above the lashes, below the brow.

    Args:
        to_photo: (2, 3) map from (s, t) to photo pixels.
    """
    s = np.linspace(0.1, 0.9, 17)
    upper, brow = curve_at(lines.upper, s), _parabola(lines.brow, s)
    up = np.arange(-0.04, 0.5, 0.01)
    t = upper - up[:, None]
    at = np.asarray(cv2.transform(np.stack(np.broadcast_arrays(s, t), -1), to_photo), np.float32)
    light = remap(photo, at, cv2.INTER_LINEAR).astype(np.float32).sum(-1)
    skin = np.median(np.sort(np.where(t > brow, light, 0), axis=0)[-10:], axis=0)
    near = np.where(up[:, None] < 0.13, light, np.inf)
    beyond = np.arange(len(up))[:, None] > near.argmin(0)
    lit = (light > near.min(0) + 0.6 * (skin - near.min(0))) & beyond
    lashes = float(np.median(up[np.where(lit.any(0), lit.argmax(0), len(up) - 1)]))
    room = 0.8 * float((upper - brow)[len(s) // 2])
    return float(np.clip(min(lashes + FOLD_SOFT, room), SHORTEST_STRIP, _LONGEST_STRIP))


class LidPlates(NamedTuple):
    """What comes down with an upper lid: pictures (h, w, ...) of a box of the photo."""

    half_open: Image  # BGR: the photo, above the fold smooth skin
    shut: Image  # BGR: smooth skin from the lid's rim on, for lashes that point down no longer cover the lid
    lashes: NDArray[np.uint8]  # (h, w) 0 to 255: how much darker than skin the photo is above the edge of the lid


def lid_plates(photo: Image, lines: EyeLines, strip: float, box: Box, to_photo: Points) -> LidPlates:
    """Those of one eye.

    Args:
        strip: of `lash_strip`. to_photo: (2, 3) map from (s, t) to photo pixels.
    """
    left, top, right, bottom = box
    pixels = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), -1).astype(np.float32)
    at = np.asarray(cv2.transform(pixels, cv2.invertAffineTransform(to_photo)), np.float32)
    part = photo[top:bottom, left:right].astype(np.float32)
    middle = np.array([0.5])
    opening = float((curve_at(lines.lower, middle) - curve_at(lines.upper, middle))[0])
    below_px = (_GRAIN_BELOW + strip + opening) * to_photo[:, 1]
    skin = _skin_colour(part, at, lines, strip) + _grain(photo, pixels + below_px.astype(np.float32), to_photo)
    above_edge = curve_at(lines.upper, at[..., 0]) - at[..., 1]
    half_open, shut = (_skin_above(part, skin, (above_edge - start) / FOLD_SOFT) for start in (strip, _RIM))
    darker = 1 - part.sum(-1) / np.maximum(skin.sum(-1), 1)
    darker *= smoothstep((min(strip, _LONGEST_LASHES) - above_edge) / FOLD_SOFT)
    return LidPlates(half_open, shut, np.asarray(255 * np.clip(darker, 0, 1) + 0.5, np.uint8))


def _skin_above(part: Map, skin: Map, share: Map) -> Image:
    mixed = part + smoothstep(share)[..., None] * (skin - part)
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)


def _skin_colour(part: Map, at: Map, lines: EyeLines, strip: float) -> Map:
    """Colour of the lid's skin along the eye, (h, w, 3): a mixture of the skin around, smooth in s."""
    s, t = at[..., 0], at[..., 1]
    fold, brow, cheek = (_parabola(points, s) for points in (lines.fold, lines.brow, lines.cheek))
    edge, lower = curve_at(lines.upper, s) - strip, curve_at(lines.lower, s)
    beside_fold = (t < edge) & (t > edge - 0.08)
    under_brow = (t < np.minimum(fold, edge)) & (t > fold + 0.5 * (brow - fold))
    on_cheek = (t > lower + 0.5 * (cheek - lower)) & (t < cheek + 0.05)
    knots = np.linspace(-0.1, 1.1, 25)
    total, shares = np.zeros((len(knots), 3)), 0.0
    for zone, share in zip((beside_fold, under_brow, on_cheek), _COLOUR_SHARES, strict=True):
        rows = [_bright_median(part[zone & (np.abs(s - knot) < 0.15)]) for knot in knots]
        known = [(knot, row) for knot, row in zip(knots, rows, strict=True) if row is not None]
        if known:
            places, colours = np.array([knot for knot, _ in known]), np.stack([row for _, row in known])
            colour = np.stack([np.interp(knots, places, channel) for channel in colours.T], -1)
            total += share * colour
            shares += share
            most = _LIGHTEST * colour.sum(-1)  # in the end the cheek's
    if shares == 0:  # an eye of a few pixels
        return part
    mixed = total / shares
    mixed *= np.minimum(most / np.maximum(mixed.sum(-1), 1), 1)[:, None]
    along = np.asarray(cv2.GaussianBlur(mixed, (1, 9), 0, sigmaY=2.0, borderType=cv2.BORDER_REPLICATE))
    return np.stack([np.interp(s, knots, channel) for channel in along.T], -1).astype(np.float32)


def _bright_median(colours: Map) -> Map | None:
    """Median colour of the brighter half, (3,): lashes, brows and rims of glasses are darker. None for too few."""
    if len(colours) < 6:
        return None
    light = colours.sum(1)
    return np.asarray(np.median(colours[light >= np.median(light)], axis=0), np.float32)


def _grain(photo: Image, at: Map, to_photo: Points) -> Map:
    """Fine detail of the cheek below, laid over the lid so that it does not look painted, (h, w, 3)."""
    detail = photo.astype(np.float32)
    detail -= cv2.GaussianBlur(detail, (0, 0), 0.05 * float(np.hypot(*to_photo[:, 0])))
    seen = remap(detail, at, cv2.INTER_LINEAR)
    limit = 2.5 * np.median(np.abs(seen)) + 1e-3
    return np.asarray(np.clip(seen, -limit, limit), np.float32)


def _parabola(points: Points, s: Points | Map) -> Points:
    """The parabola nearest to (n, 2) points, at s."""
    a, b, c = np.linalg.lstsq(np.vander(points[:, 0], 3), points[:, 1], rcond=None)[0]
    bent: Points = (a * s + b) * s + c
    return bent
