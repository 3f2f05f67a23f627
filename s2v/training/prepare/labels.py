"""From a talker's clips to the labels of training: which motion each frame shows, and in which frames nobody knows.

In three steps, so that a talker's clips need not be in memory together:

    rests = [clip_rest(clip, facing(clip)) for clip in clips]      # `prepare.neutral`; small, can be made anywhere
    neutral = talker_neutral(rests)
    labels = [clip_labels(clip, neutral, spec) for clip in clips]  # DataError: this clip cannot be used

`talker_neutrals` also asks whether the basis fits a talker at all. Motion and opening of a frame that nobody knows are
NaN, all of its coefficients: shards keep them so, rows carry them so, and in `train.losses` they and the steps into and
out of them cost nothing. Resampling in straight lines (`batches.at_speed`) leaves NaN where a neighbour is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.motion_basis import MotionBasis, aperture
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.prepare.basis_fit import residual
from s2v.training.prepare.canonical import CanonicalClip
from s2v.training.prepare.neutral import TalkerNeutral, clip_rest, talker_neutral


@dataclass(frozen=True)
class LabelLimits:
    """What a label may be; where they come from is in docs/LOG.md, "Labels of many talkers"."""

    yaw_degrees: float = 30.0  # heads turned further are not read
    pitch_degrees: float = 20.0  # nor heads tipped further
    coefficient: float = 8.0  # standard deviations: what a mouth does; more is cut down to it
    astray: float = 12.0  # standard deviations: landmarks that are off the mouth
    residual: float = 0.03  # face units RMS that the basis leaves: landmarks of no mouth
    known_share: float = 0.5  # of a clip's frames; with less it is not used


LIMITS = LabelLimits()
UNSEEN, TURNED, TIPPED, ASTRAY = "no face found", "head turned too far", "head tipped too far", "landmarks astray"


@dataclass(frozen=True)
class ClipLabels:
    """What one clip teaches; NaN in frames that nobody knows."""

    motion: NDArray[np.float32]  # (n, n_motion) standard deviations of the basis talker; zeros are the talker's rest
    aperture: NDArray[np.float32]  # (n,) face units above the talker's closed lips
    unknown: dict[str, int]  # reason -> frames
    n_cut: int  # frames with a coefficient that was cut down to the limit
    other_person: bool  # than the talker's other clips: labelled from a neutral of its own

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) whether a frame's label is known."""
        return np.isfinite(self.aperture)

    def line(self) -> str | None:
        """What was dropped and why, and whose face it is, in one line; None if there is nothing to tell."""
        parts = [f"{count} of {len(self.motion)} frames: {reason}" for reason, count in self.unknown.items()]
        parts += ["not its talker's face: labelled from its own"] if self.other_person else []
        return "; ".join(parts) or None


def facing(clip: CanonicalClip, limits: LabelLimits = LIMITS) -> NDArray[np.bool_]:
    """(n,) whether a face was found and is turned and tipped so little that its mouth can be read."""
    straight: NDArray[np.bool_] = (np.abs(clip.yaw_degrees) <= limits.yaw_degrees) & (
        np.abs(clip.pitch_degrees) <= limits.pitch_degrees
    )
    return clip.seen & straight


def clip_labels(
    clip: CanonicalClip, neutral: TalkerNeutral, spec: LipSyncSpec, limits: LabelLimits = LIMITS
) -> ClipLabels:
    """Motion of every frame that can be read; from its own neutral where a clip shows somebody else than its talker.

    Raises: DataError, too few frames can: with how many and why.
    """
    basis, usable = MotionBasis.load(spec.motion_basis), facing(clip, limits)
    if other := not neutral.is_of(clip, usable):
        neutral = talker_neutral([clip_rest(clip, usable)])
    points = neutral.straight(clip)
    motion = basis.coefficients(points, neutral.face)[:, : spec.n_motion]
    left = residual(points, neutral.face, basis)
    reasons = {
        UNSEEN: ~clip.seen,
        TURNED: np.abs(clip.yaw_degrees) > limits.yaw_degrees,
        TIPPED: np.abs(clip.pitch_degrees) > limits.pitch_degrees,
        ASTRAY: (np.abs(motion) > limits.astray).any(1) | (left > limits.residual),
    }
    unknown, counts = np.zeros(len(clip), bool), {}
    for reason, where in reasons.items():
        if new := int((where & ~unknown).sum()):
            counts[reason] = new
        unknown |= where
    if (~unknown).mean() < limits.known_share:
        found = "; ".join(f"{count} of {len(clip)} frames: {reason}" for reason, count in counts.items())
        raise DataError(f"too little of it can be read ({found})")
    cut = (np.abs(motion) > limits.coefficient).any(1) & ~unknown
    motion = np.clip(motion, -limits.coefficient, limits.coefficient)
    opening = aperture(points) - aperture(neutral.face)
    motion[unknown], opening[unknown] = np.nan, np.nan
    return ClipLabels(
        motion.astype(np.float32),
        opening.astype(np.float32),
        counts,
        int(cut.sum()),
        other,
    )
