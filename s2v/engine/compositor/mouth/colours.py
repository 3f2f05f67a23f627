"""The colours of one face's mouth, guessed from what its photo does show: cheeks, lips, the whites of the eyes.

All in CIE Lab. A photo without colours gets a mouth without: everything that reddens or yellows is scaled by how
colourful the skin is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.enrolment import EnrolledFace
from s2v.engine.face.geometry import EYES, Points
from s2v.engine.face.maps import smoothstep

_CHEEKS = (50, 280, 101, 330, 36, 266, 205, 425)  # mesh points
_CHEEK_RADIUS, _LIP_RADIUS = 0.04, 0.012  # face units around a point
_ON_LIPS = ((13, 0), (14, 17), (82, 37), (312, 267), (87, 84), (317, 314))  # mesh points, inner and outer edge
_IRISES = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))  # middle and rim; eyes as in `EYES`
_IRIS_GROWN = 1.15  # times its radius is left out: its rim is soft
_WHITEST = 70  # percentile of an eye's lightness: lashes and the shadow of the lid are darker
_WHITE_OVER_CHEEK = (-12.0, 32.0)  # L; what is further off is no white of an eye
_FULL_CHROMA = 18.0  # of skin on a photo with colours
_CHROMA_PERCENTILE = 75
_OVEREXPOSED, _OVEREXPOSED_OVER = 86.0, 9.0  # L of a cheek from which on a photo is burnt out; and how fast
_LIGHTEST_FLESH, _OVEREXPOSED_DARKER = 60.0, 8.0  # L of a tongue, however bright the skin; less, for its shade is less
_OVEREXPOSED_SHADE = 0.5  # exponent of the usual shade there: what is over white stays white in it
_LIGHTEST_CAVITY = 19.0  # L
_TEETH_OFF = (-8.0, 20.0)  # L that a photo's own teeth may be off the guess: shade on them is not in every frame


@dataclass(frozen=True)
class InteriorColours:
    """What lies between the lips, each (3,) BGR in [0, 255], in full light."""

    teeth: NDArray[np.float32]
    flesh: NDArray[np.float32]  # tongue and gums
    cavity: NDArray[np.float32]
    lip: NDArray[np.float32]  # the lower lip, tucked
    inner_lip: NDArray[np.float32]  # its wet inner side
    shade_exponents: NDArray[np.float32]  # (3,) BGR: light to that power; flesh reflects red into its shadows

    @property
    def layers(self) -> NDArray[np.float32]:
        """(3, 4): BGR by teeth, flesh, cavity, lip."""
        return np.stack([self.teeth, self.flesh, self.cavity, self.lip], axis=1)

    def with_teeth(self, seen: NDArray[np.float32]) -> InteriorColours:
        """The same mouth with teeth of a colour (3,) that the photo shows, about as light as those guessed."""
        guessed, found = (_lab(colour[None])[0] for colour in (self.teeth, seen))
        found[0] = np.clip(found[0], guessed[0] + _TEETH_OFF[0], guessed[0] + _TEETH_OFF[1])
        return replace(self, teeth=_bgr(found))


def interior_colours(face: EnrolledFace) -> InteriorColours:
    """Those of one face, and what is known of the person's own.

    Constants were set beside film: teeth are 0.79 to 0.85 as light as the cheek when shaded, whatever the skin.
    """
    cheeks = _around(face, face.landmarks[list(_CHEEKS), :2], _CHEEK_RADIUS)
    lips = _around(face, face.landmarks[np.array(_ON_LIPS), :2].mean(1), _LIP_RADIUS)
    cheek, lip = np.median(cheeks, axis=0), np.median(lips, axis=0)
    low, high = _WHITE_OVER_CHEEK
    white = _eye_white(face, fallback=cheek + np.array([10.0, 0, 0]))
    white_l = np.clip(white[0], cheek[0] + low, cheek[0] + high)
    chroma = float(np.percentile(np.hypot(*np.concatenate([cheeks, lips])[:, 1:].T), _CHROMA_PERCENTILE))
    over = float(smoothstep((cheek[0] - _OVEREXPOSED) / _OVEREXPOSED_OVER))
    chroma = max(chroma, over * float(np.hypot(*lip[1:])))  # skin that is burnt out has lost its colour, lips have not
    s = float(np.clip(chroma / _FULL_CHROMA, 0, 1))
    cast = max(0.0, cheek[2] - 21)  # yellow that no skin has in white light
    yellow = min(0.35 * white[2] + 7.0 * s + 0.75 * cast, 0.6 * chroma)
    teeth = [0.45 * cheek[0] + 0.55 * white_l + 10, np.clip(0.35 * white[1], -0.5 * s, 4 * s), max(yellow, 0.0)]
    shaded = 1 - (1 - _OVEREXPOSED_SHADE) * over
    unlit = min(0.36 * cheek[0] + 0.30 * lip[0] + 14, _LIGHTEST_FLESH - _OVEREXPOSED_DARKER * over)
    flesh = [unlit, 0.45 * lip[1] + 21 * s, 0.45 * lip[2] + 10.5 * s + 0.5 * cast]
    cavity = [min(0.24 * cheek[0], _LIGHTEST_CAVITY) - _OVEREXPOSED_DARKER * over, 0.78 * flesh[1], 0.95 * flesh[2]]
    if (own := face.mouth) is not None:
        # Without colour there is no red or yellow to be off by.
        teeth = [teeth[0] + own.teeth_l, teeth[1] + own.teeth_a * s, teeth[2] + own.teeth_b * s]
        flesh[0], cavity[0] = flesh[0] + own.flesh_l, max(0.0, cavity[0] + own.cavity_l)
        shaded *= 1 + own.shade
    tucked = [0.92 * lip[0], lip[1] + 4 * s, lip[2]]
    wet = [0.74 * lip[0], 0.9 * lip[1] + 9 * s, 0.9 * lip[2] + 4 * s]
    return InteriorColours(
        teeth=_bgr(np.array(teeth)),
        flesh=_bgr(np.array(flesh)),
        cavity=_bgr(np.array(cavity)),
        lip=_bgr(np.array(tucked)),
        inner_lip=_bgr(np.array(wet)),
        shade_exponents=np.array([1 + 0.26 * s, 1 + 0.26 * s, 1 - 0.36 * s], np.float32) * np.float32(shaded),
    )


def _bgr(lab: NDArray[np.float64]) -> NDArray[np.float32]:
    lab[0] = np.clip(lab[0], 0, 100)
    pixel = cv2.cvtColor(lab.astype(np.float32).reshape(1, 1, 3), cv2.COLOR_Lab2BGR)
    return np.asarray(255 * np.clip(pixel[0, 0], 0, 1), np.float32)


def _lab(bgr: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float64]:
    """Pixels (n, 3) as L in [0, 100], a*, b*."""
    scaled = bgr.reshape(-1, 1, 3).astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_BGR2Lab).reshape(-1, 3), np.float64)


def _around(face: EnrolledFace, points: Points, radius: float) -> NDArray[np.float64]:
    """Lab of the photo's pixels within `radius` face units of points (n, 2), (k, 3)."""
    mask = np.zeros(face.photo.shape[:2], np.uint8)
    for x, y in points:
        cv2.circle(mask, (round(x), round(y)), max(1, round(radius * face.pose.unit_px)), 255, -1)
    found = face.photo[mask > 0]
    return _lab(found) if len(found) else np.array([[60.0, 0, 0]])


def _eye_white(face: EnrolledFace, fallback: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lab of the white of the eyes, (3,); `fallback` if the photo shows none, as behind sunglasses or shut lids."""
    mask = np.zeros(face.photo.shape[:2], np.uint8)
    for eye, iris in zip(EYES, _IRISES, strict=True):
        outline = face.landmarks[[*eye.upper, *eye.lower[-2:0:-1]], :2]
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
        middle, rim = face.landmarks[iris[0], :2], face.landmarks[list(iris[1:]), :2]
        radius_px = _IRIS_GROWN * float(np.linalg.norm(rim - middle, axis=1).mean())
        cv2.circle(mask, (round(middle[0]), round(middle[1])), round(radius_px), 0, -1)
    pixels = _lab(face.photo[mask > 0])
    if len(pixels) < 4:
        return fallback
    return np.asarray(np.median(pixels[pixels[:, 0] >= np.percentile(pixels[:, 0], _WHITEST)], axis=0))
