"""One shot of a film: where its face is on every picture, and on which pictures its mouth can be replaced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.covered_mouth import is_mouth_covered
from s2v.engine.face.geometry import N_MESH, Points, head_pose
from s2v.engine.face.photo import Image
from s2v.media.dub.alignment import Aligner, Patch, patch_of
from s2v.media.dub.placement import DepthMap, FaceModel
from s2v.media.dub.reference import Candidate, candidate, cut_to_face, reference_face
from s2v.media.dub.shot_painter import MouthState
from s2v.media.dub.shots import jumps
from s2v.media.dub.smoothing import smoothed
from s2v.spec import LipSyncSpec

MIN_UNIT_PX = 20.0  # eye distance: a smaller mouth is a few pixels
MAX_TURNED_DEGREES = 36.0
_SHORT_GAP_S = 0.2  # that the face may be missed for
_LEAST_RUN_S = 0.12  # that it is worth being dubbed for
_RAMP = (0.25, 0.5, 0.75)  # of the new mouth, where it comes or goes within a shot
_VOTES = 2  # neighbours to each side that say with a picture whether its mouth is covered


@dataclass(frozen=True)
class Dubbing:
    """What is to be done with one picture."""

    state: MouthState
    share: float  # of the new mouth


class ShotTrack:
    """Takes in the pictures of one shot in order, then says what to do with each."""

    def __init__(self, first: int) -> None:
        """Args: first: number of its first picture in the film."""
        self.first = first
        self.reference: Candidate | None = None
        self._faces: list[NDArray[np.float32] | None] = []  # (468, 2)
        self._patches: list[Patch | None] = []
        self._usable: list[bool] = []
        self._last: Points | None = None

    def __len__(self) -> int:
        return len(self._faces)

    @property
    def faces(self) -> int:
        """Pictures on which there is a face."""
        return sum(face is not None for face in self._faces)

    def begins_anew(self, landmarks: Points | None) -> bool:
        """Whether a face is where it cannot be in the same shot."""
        return landmarks is not None and self._last is not None and jumps(self._last, landmarks)

    def add(self, picture: Image, landmarks: Points | None) -> None:
        """The next picture, (h, w, 3) BGR, and the face on it, (478, 3)."""
        self._last = landmarks
        if landmarks is None:
            self._faces.append(None)
            self._patches.append(None)
            self._usable.append(False)
            return
        self._faces.append(landmarks[:N_MESH, :2].astype(np.float32))
        self._patches.append(patch_of(picture, landmarks))
        cut, on_cut = cut_to_face(picture, landmarks)
        pose = head_pose(landmarks)
        turned = max(abs(pose.yaw_degrees), abs(pose.pitch_degrees))
        usable = pose.unit_px >= MIN_UNIT_PX and turned < MAX_TURNED_DEGREES
        usable = (
            usable and min(cut.shape[:2]) >= MIN_UNIT_PX and not is_mouth_covered(np.ascontiguousarray(cut), on_cut)
        )
        self._usable.append(usable)
        if usable:
            best = np.inf if self.reference is None else self.reference.fault
            self.reference = candidate(cut, on_cut, best) or self.reference

    def dubbings(self, spec: LipSyncSpec, fps: float) -> list[Dubbing | None]:
        """For each of its pictures; None leaves it as it is. What the pictures' landmarks took is freed."""
        found: list[Dubbing | None] = [None] * len(self)
        if self.reference is not None:
            fitter = _Fitter(self.reference, spec)
            for start, end in _runs(self._dubbed(fps)):
                if end - start >= _LEAST_RUN_S * fps:
                    found[start:end] = self._run(fitter, start, end)
        self._faces, self._patches, self._last = [None] * len(self), [], None
        if not any(found):
            self.reference = None  # nobody is drawn by it
        return found

    def _dubbed(self, fps: float) -> NDArray[np.bool_]:
        """(n,) which pictures are: single wrong answers of what looks for covered mouths are outvoted."""
        seen = np.array([face is not None for face in self._faces])
        ballots = np.where(seen, np.where(self._usable, 1, -1), 0)
        votes = np.convolve(ballots, np.ones(2 * _VOTES + 1))[_VOTES : _VOTES + len(seen)]
        dubbed: NDArray[np.bool_] = seen & (votes > 0)
        for start, end in _runs(~seen):
            within = start > 0 and end < len(seen) and dubbed[start - 1] and dubbed[end]
            if within and end - start <= _SHORT_GAP_S * fps:
                dubbed[start:end] = True
        return dubbed

    def _run(self, fitter: _Fitter, start: int, end: int) -> list[Dubbing | None]:
        known, fits = [], []
        for n, (face, patch) in enumerate(zip(self._faces[start:end], self._patches[start:end], strict=True), start):
            if face is not None and patch is not None:
                known.append(n)
                fits.append(fitter.fit(face, patch))
        times = np.arange(start, end)
        held, mouth, chin = (
            np.stack([np.interp(times, known, column) for column in np.stack(rows).reshape(len(known), -1).T], 1)
            for rows in zip(*fits, strict=True)
        )
        held, mouth = smoothed(held), smoothed(np.hstack([mouth, chin]))
        shares = np.ones(end - start)
        for k, share in enumerate(_RAMP[: (end - start) // 2]):
            if start > 0:
                shares[k] = min(shares[k], share)
            if end < len(self):
                shares[-1 - k] = min(shares[-1 - k], share)
        return [
            Dubbing(MouthState(place.reshape(4, 2), own[:-2], own[-2:]), float(share))
            for place, own, share in zip(held, mouth, shares, strict=True)
        ]


class _Fitter:
    """States of pictures by landmarks and pixels, against one reference."""

    def __init__(self, reference: Candidate, spec: LipSyncSpec) -> None:
        self._model = FaceModel(reference_face(reference, spec), spec)
        depth = DepthMap(self._model.mesh, reference.picture.shape[1::-1])
        self._aligner = Aligner(patch_of(reference.picture, reference.landmarks), depth)

    def fit(self, face: NDArray[np.float32], patch: Patch) -> tuple[Points, Points, Points]:
        """Of `FaceModel.fit`, aligned. Args: face: (468, 2) landmarks."""
        held, coefficients, chin = self._model.fit(np.asarray(face, np.float64))
        shift = self._aligner.shift(patch, self._model.placement(held))
        return (held if shift is None else held + shift), coefficients, chin


def _runs(which: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], which, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
