"""A talker's own face at rest, the mouth closed and relaxed, from all of his clips together.

All zeros of a motion mean this face, so an error in it is an error in every label. One short clip seldom shows it: its
most closed frames are those of a p or an m, or of no closure at all. So every clip gives a small summary (`clip_rest`),
and the summaries of one talker give the face (`talker_neutral`): the middle one of the frames in which the lips are
closed and still. Where there is little of that, the face goes towards the talker's mean face with its jaw closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import MOUTH_CORNERS, N_MESH, Points
from s2v.engine.face.motion_basis import MotionBasis, aperture, lip_gap
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.evenly import evenly
from s2v.training.prepare.canonical import CanonicalClip

MOST_CLIPS = 200  # of one talker, spread evenly: more change nothing, and take memory
_STRETCH_FRAMES, _MOST_KEPT = 12, 400  # the frame of every half second whose lips are most closed and most still
_LEVEL_QUANTILE = 0.2  # of those frames' openings: about where the talker's lips are closed
_CLOSED_SPAN = 0.010  # face units above that level; the detector's noise on closed lips
_OPEN = 0.03  # face units: a level above it is of a mouth that never closes
_PRIOR_CLOSURES = 4.0  # that count as much as the prior


@dataclass(frozen=True)
class ClipRest:
    """What one clip tells about its talker's face at rest; about 35 KB for three seconds."""

    n_frames: int  # that could be used
    mean: Points  # (468, 3) of all of those
    faces: NDArray[np.float32]  # (m, 468, 3) of every half second the one whose lips are most closed and most still
    gaps: NDArray[np.float64]  # (m,) their openings, face units
    speeds: NDArray[np.float64]  # (m,) how much opening and width change to the frame before or after, face units


@dataclass(frozen=True)
class TalkerNeutral:
    """A talker's face at rest, and what it was seen in."""

    face: Points  # (468, 3) face units
    n_clips: int
    n_closures: int  # half seconds in which the lips were seen closed
    seen_share: float  # in [0, 1], how much of it was seen; the rest is the mean face with its jaw closed

    def line(self) -> str:
        """For a report."""
        return f"neutral of {self.n_clips} clips, {self.n_closures} closures, {self.seen_share:.0%} seen"


def clip_rest(clip: CanonicalClip, usable: NDArray[np.bool_] | None = None) -> ClipRest:
    """Summarise a clip for `talker_neutral`. Args: usable: (n,) frames whose landmarks can be read; None is all.

    Raises: DataError, no such frame.
    """
    at = np.arange(len(clip)) if usable is None else np.flatnonzero(usable)
    if not len(at):
        raise DataError("no frame shows the face from the front")
    left, right = MOUTH_CORNERS
    gap = aperture(clip.points.astype(np.float64))
    step = np.abs(np.diff(gap)) + np.abs(np.diff(clip.points[:, right, 0] - clip.points[:, left, 0]))
    padded = np.concatenate([step[:1], step, step[-1:]]) if len(step) else np.zeros(2)
    speed = np.maximum(padded[:-1], padded[1:])
    cost = np.full(len(clip), np.inf)
    cost[at] = gap[at] + speed[at]
    firsts = range(0, len(clip), _STRETCH_FRAMES)
    best = [first + int(np.argmin(cost[first : first + _STRETCH_FRAMES])) for first in firsts]
    kept = np.array(evenly([frame for frame in best if np.isfinite(cost[frame])], _MOST_KEPT))
    mean = clip.points[at].mean(axis=0, dtype=np.float64)
    return ClipRest(len(at), mean, clip.points[kept], gap[kept], speed[kept])


def talker_neutral(rests: Sequence[ClipRest]) -> TalkerNeutral:
    """The face at rest of the talker of these clips.

    Args: rests: of all of his clips; the more, the better. Raises: DataError, none.
    """
    if not rests:
        raise DataError("no clip of this talker can be used")
    used = evenly(rests, MOST_CLIPS)
    weights = np.array([rest.n_frames for rest in used], np.float64)
    mean = np.average([rest.mean for rest in used], axis=0, weights=weights)
    prior = _jaw_closed(mean)
    gaps, speeds = (np.concatenate([getattr(rest, name) for rest in used]) for name in ("gaps", "speeds"))
    level = float(np.quantile(gaps, _LEVEL_QUANTILE))
    closed = gaps <= level + _CLOSED_SPAN
    still = closed & (speeds <= np.median(speeds[closed]))
    face = np.median(np.concatenate([rest.faces for rest in used])[still], axis=0).astype(np.float64)
    seen = float(closed.sum() / (closed.sum() + _PRIOR_CLOSURES)) if level <= _OPEN else 0.0
    return TalkerNeutral(seen * face + (1 - seen) * prior, len(rests), int(closed.sum()), seen)


def _jaw_closed(face: Points) -> Points:
    """A face (468, 3) whose jaw is moved as in speech until its lips meet."""
    basis = MotionBasis.load(LipSyncSpec.motion_basis)
    jaw = basis.displacement(np.arange(N_MESH))[0]
    closed: Points = face - aperture(face) / lip_gap(basis)[0] * jaw
    return closed
