"""What lies between one person's lips, from the open mouths of his film.

By drawing: a photo of the film is opened as the film's frames are, and what is drawn between the lips is held against
what the film shows there: how dark it is, how light, red and yellow its brightest quarter (teeth, as far as they are
seen). What of a `MouthLook` brings them together is found by Gauss-Newton steps with a weak pull towards no difference,
and kept if it also fits frames that it was not found on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from s2v.engine.compositor.cpu import MotionCompositor
from s2v.engine.compositor.mouth.interior import MouthInterior
from s2v.engine.compositor.mouth.interior_tables import interior_tables
from s2v.engine.face.enrolment import EnrolledFace, face_from_landmarks
from s2v.engine.face.geometry import head_pose
from s2v.engine.face.mouth_look import LIMITS, MouthLook
from s2v.engine.face.photo import Image
from s2v.errors import S2vError
from s2v.spec import TRACT_AT_REST, LipSyncSpec
from s2v.training.adapt.stretches import Part
from s2v.training.evaluation.measures.interior import INNER_LIPS, OPEN_MOUTH, cut_around, enclosed, lab_of
from s2v.training.evenly import evenly
from s2v.training.extract.face_landmarks import detect_landmarks

MOUTH_FRAMES, LEAST_FRAMES = 24, 8  # with an open mouth; every second one judges
_ROUNDS = 3
_CHEEKS, _CHEEK_RADIUS = (50, 280), 0.07  # mesh points, face units
_DARK = 0.35  # of the cheek's L
_MIN_PIXELS = 24
# What is compared of an open mouth, and how much of each is much: dark share, L of all and L, a*, b* of the brightest
# quarter, lightness in hundredths of the cheek's.
_SCALES = np.array([0.12, 8.0, 8.0, 5.0, 5.0])
# How far each field of a look is tried, and how far it may easily go. Teeth rather than a cavity that is light.
_STEPS = {
    "teeth_l": 5.0,
    "teeth_a": 2.0,
    "teeth_b": 3.0,
    "flesh_l": 5.0,
    "cavity_l": 5.0,
    "shade": 0.2,
    "show_mm": 0.6,
    "lower_mm": 0.6,
}
_EASY = {
    "teeth_l": 16.0,
    "teeth_a": 6.0,
    "teeth_b": 8.0,
    "flesh_l": 8.0,
    "cavity_l": 5.0,
    "shade": 0.4,
    "show_mm": 1.5,
    "lower_mm": 1.2,
}
_PULL = 0.15


@dataclass(frozen=True)
class MouthFit:
    """A look, and how far mouths drawn with it, and without, are off the film's where nothing was learned."""

    look: MouthLook | None  # None: the guess is as good
    n_frames: int  # with an open mouth, that it was found on and judged on
    before: float  # root mean square of `_SCALES`
    after: float


@dataclass(frozen=True)
class _Open:
    """A frame of the film whose mouth is open."""

    part: Part
    frame: int
    film: NDArray[np.float64]  # (5,) of `_seen`


def fit_mouth(parts: Sequence[Part], spec: LipSyncSpec, most_frames: int = MOUTH_FRAMES) -> MouthFit:
    """Find it. Where the film shows too few open mouths, or too small ones, there is none to be found."""
    opened = _open_frames(parts, most_frames)
    if len(opened) < LEAST_FRAMES:
        return MouthFit(None, len(opened), float("nan"), float("nan"))
    try:
        face = _closed_photo(parts, spec)
        drawn = _Drawn(face, spec, opened)
    except S2vError:
        return MouthFit(None, len(opened), float("nan"), float("nan"))
    learn, judge = slice(0, None, 2), slice(1, None, 2)
    if not np.isfinite(drawn.seen(MouthLook())[learn]).all(1).any():
        return MouthFit(None, len(opened), float("nan"), float("nan"))
    film = np.stack([one.film for one in opened])
    names = [field.name for field in fields(MouthLook)]
    values = np.zeros(len(names))
    best, least = values, _cost(drawn.seen(_look(names, values))[learn], film[learn], values, names)
    for _ in range(_ROUNDS):
        here = drawn.seen(_look(names, values))
        slopes = [
            (drawn.seen(_look(names, values + step * (np.arange(len(names)) == k))) - here) / step
            for k, step in enumerate(_STEPS[name] for name in names)
        ]
        values = _stepped(here[learn], film[learn], [slope[learn] for slope in slopes], values, names)
        cost = _cost(drawn.seen(_look(names, values))[learn], film[learn], values, names)
        if cost >= least:
            break
        best, least = values, cost
    look = _look(names, best)
    before, after = (_off(drawn.seen(one)[judge], film[judge]) for one in (MouthLook(), look))
    return MouthFit(look if after < before else None, len(opened), before, min(before, after))


def _look(names: Sequence[str], values: NDArray[np.float64]) -> MouthLook:
    bounded = {name: float(np.clip(value, *LIMITS[name])) for name, value in zip(names, values, strict=True)}
    return MouthLook(**bounded)


def _means(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """(5,) of many frames: how single ones differ is the motion's business."""
    mean: NDArray[np.float64] = np.nanmean(seen, axis=0)
    return mean


def _stepped(
    here: NDArray[np.float64],
    film: NDArray[np.float64],
    slopes: Sequence[NDArray[np.float64]],
    values: NDArray[np.float64],
    names: Sequence[str],
) -> NDArray[np.float64]:
    """One Gauss-Newton step of the means, each value pulled towards 0."""
    easy = np.array([_EASY[name] for name in names])
    jacobian = np.stack([_means(slope) / _SCALES for slope in slopes], axis=1)
    off = (_means(film) - _means(here)) / _SCALES
    pull = np.diag(np.sqrt(_PULL) / easy)
    stacked = np.concatenate([jacobian, pull])
    wanted = np.concatenate([off, -pull @ values])
    step = np.linalg.lstsq(stacked, wanted, rcond=None)[0]
    low, high = np.array([LIMITS[name] for name in names]).T
    return np.asarray(np.clip(values + np.clip(step, -easy, easy), low, high), np.float64)


def _cost(
    drawn: NDArray[np.float64], film: NDArray[np.float64], values: NDArray[np.float64], names: Sequence[str]
) -> float:
    easy = np.array([_EASY[name] for name in names])
    return float((((_means(drawn) - _means(film)) / _SCALES) ** 2).sum() + _PULL * ((values / easy) ** 2).sum())


def _off(drawn: NDArray[np.float64], film: NDArray[np.float64]) -> float:
    return float(np.sqrt((((_means(drawn) - _means(film)) / _SCALES) ** 2).mean()))


class _Drawn:
    """Draws the photo with the film's motion, whatever the look; lips are where they are with any look."""

    def __init__(self, face: EnrolledFace, spec: LipSyncSpec, opened: Sequence[_Open]) -> None:
        self._face, self._spec = face, spec
        self._compositor = MotionCompositor(face, spec)
        self._motions = [one.part.clip.motion[one.frame] for one in opened]
        self._landmarks = detect_landmarks(self._frames(MouthLook()))

    def seen(self, look: MouthLook) -> NDArray[np.float64]:
        """(n, 5) of `_seen`; NaN where a mouth is too small to be seen."""
        pairs = zip(self._frames(look), self._landmarks, strict=True)
        return np.stack([_seen(frame, landmarks) for frame, landmarks in pairs])

    def _frames(self, look: MouthLook) -> list[Image]:
        compositor, face = self._compositor, replace(self._face, mouth=look)
        compositor.interior = MouthInterior(interior_tables(face, self._spec, compositor.tables.box, reach_px=0))
        tract = np.array([TRACT_AT_REST], np.float32)
        return [compositor.draw({"motion": motion[None], "tract": tract}) for motion in self._motions]


def _open_frames(parts: Sequence[Part], most: int) -> list[_Open]:
    found = [(part, int(i)) for part in parts for i in np.flatnonzero(part.clip.aperture > OPEN_MOUTH)]
    opened = []
    for part, i in evenly(found, most):
        frame = part.frames.start + i
        film = _seen(part.film.frame(frame), part.film.landmarks[frame])
        if np.isfinite(film).all():
            opened.append(_Open(part, i, film))
    return opened


def _closed_photo(parts: Sequence[Part], spec: LipSyncSpec) -> EnrolledFace:
    """The film's frame whose lips are closed and whose head is held straightest."""
    best: tuple[float, Part, int] | None = None
    for part in parts:
        opening = np.where(np.isfinite(part.clip.aperture), part.clip.aperture, np.inf)
        closed = np.flatnonzero((opening <= np.quantile(opening, 0.15)) & np.isfinite(opening))
        for i in evenly(closed.tolist(), 40):
            pose = head_pose(part.film.landmarks[part.frames.start + i].astype(np.float64))
            turned = abs(pose.yaw_degrees) + abs(pose.pitch_degrees)
            if best is None or turned < best[0]:
                best = (turned, part, i)
    assert best is not None
    _, part, i = best
    frame = part.frames.start + i
    picture = part.film.frame(frame)
    even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
    return face_from_landmarks(np.ascontiguousarray(even), part.film.landmarks[frame].astype(np.float64), spec)


def _seen(picture: Image, landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """(5,) of what lies between the lips, as `_SCALES` has them; NaN where too little of it is seen."""
    box, points, unit_px = cut_around(picture, landmarks, (*INNER_LIPS, *_CHEEKS), 0.1)
    lab = lab_of(box)
    inside = lab[enclosed(box.shape[:2], points[list(INNER_LIPS)])].astype(np.float64)
    cheeks = np.concatenate([_disc(lab, points[point], _CHEEK_RADIUS * unit_px) for point in _CHEEKS])
    if len(inside) < _MIN_PIXELS or not len(cheeks):
        return np.full(len(_SCALES), np.nan)
    cheek = max(1.0, float(np.median(cheeks[:, 0])))
    brightest = inside[inside[:, 0] >= np.quantile(inside[:, 0], 0.75)]
    light, red, yellow = brightest.mean(0)
    dark = float((inside[:, 0] < _DARK * cheek).mean())
    return np.array([dark, 100 * inside[:, 0].mean() / cheek, 100 * light / cheek, red, yellow])


def _disc(lab: NDArray[np.float32], middle: NDArray[np.float64], radius_px: float) -> NDArray[np.float32]:
    y, x = np.indices(lab.shape[:2])
    return np.asarray(lab[(x - middle[0]) ** 2 + (y - middle[1]) ** 2 <= max(1.0, radius_px) ** 2], np.float32)
