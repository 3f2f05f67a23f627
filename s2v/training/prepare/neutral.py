"""A talker's own face at rest, the mouth closed and relaxed, from all of his clips together.

All zeros of a motion mean this face, so an error in it is an error in every label. One short clip seldom shows it: its
most closed frames are those of a p or an m, or of no closure at all. So every clip gives a small summary (`clip_rest`),
and the summaries of one talker give the face (`talker_neutral`): the middle one of the frames in which the lips are
closed and still. Where there is little of that, the face goes towards the talker's mean face with its jaw closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import MOUTH_CORNERS, N_MESH, Points, canonical_face
from s2v.engine.face.motion_basis import MotionBasis, aperture, lip_gap, symmetric
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.evenly import evenly
from s2v.training.prepare.canonical import CanonicalClip
from s2v.training.prepare.pose_leak import EVERYBODYS, PoseMoments, leaked, pose_moments, pose_of

MOST_CLIPS = 200  # of one talker, spread evenly: more change nothing, and take memory
_STRETCH_FRAMES, _MOST_KEPT = 12, 400  # the frame of every half second whose lips are most closed and most still
_FLOOR_QUANTILE, _CLOSED_QUANTILE = 0.05, 0.3  # of those frames' openings; up to the second lips are closed,
_CLOSED_SPAN = 0.03  # but no further above the first than this: face units by which closed lips look open or not
_SHUT_QUANTILE = 0.75  # of closed lips' openings: at rest they look so; or half of the closures would be labelled open
_OPEN = 0.045  # face units: with the first above it no closed lips were seen
_USUALLY_CLOSED = 0.005  # face units, what they see of most people's
_UPPER_FACE_Y = 0.48  # face units: what lies above on the canonical face says who it is, whatever is spoken
_OTHER = 0.018  # face units RMS: one person's clips are 0.002 to 0.016 from his mean, people 0.012 to 0.03 apart
_PRIOR_CLOSURES = 10.0  # that count as much as the prior


@dataclass(frozen=True)
class ClipRest:
    """What one clip tells about its talker's face at rest; about 35 KB for three seconds."""

    n_frames: int  # that could be used
    mean: Points  # (468, 3) of all of those
    mean_pose: NDArray[np.float64]  # (2,) of `pose_of`
    faces: NDArray[np.float32]  # (m, 468, 3) of every half second the one whose lips are most closed and most still
    poses: NDArray[np.float64]  # (m, 2) of `pose_of`
    gaps: NDArray[np.float64]  # (m,) their openings, face units
    speeds: NDArray[np.float64]  # (m,) how much opening and width change to the frame before or after, face units
    moments: PoseMoments


@dataclass(frozen=True)
class TalkerNeutral:
    """A talker's face at rest, and what it was seen in."""

    face: Points  # (468, 3) face units, on a head held straight
    n_clips: int
    n_closures: int  # half seconds in which the lips were seen closed
    seen_share: float  # in [0, 1], how much of it was seen; the rest is the mean face with its jaw closed
    slopes: NDArray[np.float64] = field(default_factory=EVERYBODYS.copy)  # (2, 10) what leaks of his pose

    def straight(self, clip: CanonicalClip) -> Points:
        """(n, 468, 3) this talker's faces as they would be on a head held straight."""
        return clip.points - leaked(pose_of(clip), self.slopes)

    def is_of(self, clip: CanonicalClip, usable: NDArray[np.bool_]) -> bool:
        """Whether a clip shows the same person, by the upper face's shape in usable frames (n,); True if none is."""
        if not usable.any():
            return True
        mean = (clip.points[usable] - leaked(pose_of(clip)[usable], self.slopes)).mean(0)
        return _apart(mean, self.face) <= _OTHER

    def line(self) -> str:
        """For a report."""
        return f"neutral of {self.n_clips} clips, {self.n_closures} closures, {self.seen_share:.0%} seen"


def clip_rest(clip: CanonicalClip, usable: NDArray[np.bool_] | None = None) -> ClipRest:
    """Summarise a clip for `talker_neutral`. Args: usable: (n,) frames whose landmarks can be read; None is all.

    Raises: DataError, no such frame.
    """
    seen = np.ones(len(clip), bool) if usable is None else usable
    if not seen.any():
        raise DataError("no frame shows the face from the front")
    left, right = MOUTH_CORNERS
    gap = aperture(clip.points.astype(np.float64))
    step = np.abs(np.diff(gap)) + np.abs(np.diff(clip.points[:, right, 0] - clip.points[:, left, 0]))
    padded = np.concatenate([step[:1], step, step[-1:]]) if len(step) else np.zeros(2)
    speed = np.maximum(padded[:-1], padded[1:])
    cost = np.where(seen, gap + speed, np.inf)
    firsts = range(0, len(clip), _STRETCH_FRAMES)
    best = [first + int(np.argmin(cost[first : first + _STRETCH_FRAMES])) for first in firsts]
    kept = np.array(evenly([frame for frame in best if np.isfinite(cost[frame])], _MOST_KEPT))
    pose, mean = pose_of(clip), clip.points[seen].mean(axis=0, dtype=np.float64)
    kept_of = (clip.points[kept], pose[kept], gap[kept], speed[kept])
    return ClipRest(int(seen.sum()), mean, pose[seen].mean(0), *kept_of, pose_moments(clip, seen))


def talker_neutral(rests: Sequence[ClipRest]) -> TalkerNeutral:
    """The face at rest of the talker of these clips; those that show somebody else are passed over.

    Args: rests: of all of his clips; the more, the better. Raises: DataError, none.
    """
    if not rests:
        raise DataError("no clip of this talker can be used")
    used = _of_one_person(evenly(rests, MOST_CLIPS))
    slopes = sum((rest.moments for rest in used), PoseMoments()).slopes()
    weights = np.array([rest.n_frames for rest in used], np.float64)
    mean, mean_pose = (np.average([getattr(r, of) for r in used], 0, weights) for of in ("mean", "mean_pose"))
    gaps, speeds = (np.concatenate([getattr(rest, name) for rest in used]) for name in ("gaps", "speeds"))
    floor, level = np.quantile(gaps, [_FLOOR_QUANTILE, _CLOSED_QUANTILE])
    closed = gaps <= min(level, floor + _CLOSED_SPAN)
    still = closed & (speeds <= np.median(speeds[closed]))
    faces, poses = (np.concatenate([getattr(rest, name) for rest in used])[still] for name in ("faces", "poses"))
    shut = float(np.quantile(gaps[closed], _SHUT_QUANTILE)) if floor <= _OPEN else _USUALLY_CLOSED
    face = _jaw_closed(np.median(faces - leaked(poses, slopes), axis=0), shut)
    prior = _jaw_closed(mean - leaked(mean_pose[None], slopes)[0], shut)
    seen = float(closed.sum() / (closed.sum() + _PRIOR_CLOSURES)) if floor <= _OPEN else 0.0
    return TalkerNeutral(seen * face + (1 - seen) * prior, len(rests), int(closed.sum()), seen, slopes)


def _of_one_person(rests: Sequence[ClipRest]) -> Sequence[ClipRest]:
    """Those whose face has the shape that most have; all, if there is no such shape."""
    middle = np.median([rest.mean for rest in rests], axis=0)
    near = [rest for rest in rests if _apart(rest.mean, middle) <= _OTHER]
    return near or rests


def _apart(one: Points, other: Points) -> float:
    """How differently the upper faces of two meshes (468, 3) are shaped, face units RMS; sides are averaged."""
    upper = canonical_face()[:, 1] < _UPPER_FACE_Y
    return float(np.sqrt((symmetric(one - other)[upper] ** 2).sum(1).mean()))


def _jaw_closed(face: Points, shut: float) -> Points:
    """A face (468, 3) whose jaw is moved as in speech until its lips are as close, face units, as closed lips look."""
    basis = MotionBasis.load(LipSyncSpec.motion_basis)
    jaw = basis.displacement(np.arange(N_MESH))[0]
    closed: Points = face - (aperture(face) - shut) / lip_gap(basis)[0] * jaw
    return closed
