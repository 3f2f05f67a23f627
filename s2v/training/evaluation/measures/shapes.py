"""Opening, width and speed of a mouth over time, filmed, drawn or asked for, and how ours compare with the film's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import MOUTH_CORNERS, N_MESH, Points, canonical_face, head_pose
from s2v.engine.face.motion_basis import MotionBasis, aperture
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.metrics import LIPS, closures, correlation, offset_sweep, root_mean_square_speed

MIN_SPREAD = 1e-4  # face units: below it a mouth of the film counts as one that does not move


@dataclass(frozen=True)
class LipShapes:
    """A mouth over time, in face units; all of one length."""

    opening: NDArray[np.float64]  # (n,) at the middle of the lips, over the face's own closed ones
    width: NDArray[np.float64]  # (n,) from corner to corner
    lips: NDArray[np.float64]  # (n, len(LIPS), 2) the mouth's landmarks seen from the front

    def __len__(self) -> int:
        return len(self.opening)

    def first(self, n_frames: int) -> LipShapes:
        """The first frames of it."""
        return LipShapes(self.opening[:n_frames], self.width[:n_frames], self.lips[:n_frames])

    @property
    def width_off_median(self) -> NDArray[np.float64]:
        """(n,) wider or narrower than this mouth mostly is."""
        return self.width - float(np.median(self.width))


def canonical_of(landmarks: NDArray[np.floating[Any]]) -> Points:
    """Landmarks (n, 478, 3) in pixels -> (n, 468, 3) face units, each in its own head's pose."""
    return np.stack([head_pose(points).to_canonical(points)[:N_MESH] for points in landmarks.astype(np.float64)])


def shapes_seen(canonical: Points, closed: Points) -> LipShapes:
    """Of landmarks (n, 468, 3) in face units. Args: closed: (468, 3), the same face with its lips closed."""
    left, right = MOUTH_CORNERS
    return LipShapes(
        aperture(canonical) - aperture(closed),
        canonical[:, right, 0] - canonical[:, left, 0],
        canonical[:, list(LIPS), :2],
    )


def shapes_asked(motion: NDArray[np.floating], spec: LipSyncSpec) -> LipShapes:
    """Of a motion (n, n_motion), on the canonical face. No film is needed for it."""
    basis = MotionBasis.load(spec.motion_basis)
    moved = np.tensordot(motion, basis.displacement(np.arange(len(canonical_face())))[: spec.n_motion], axes=1)
    return shapes_seen(canonical_face() + moved, canonical_face())


def shape_figures(ours: LipShapes, film: LipShapes, spoken: NDArray[np.bool_], fps: int) -> dict[str, float]:
    """How ours compare, over the frames that both have; NaN where the film has nothing to compare with.

    Args: spoken: (n,) the frames in which somebody speaks.
    """
    n = min(len(ours), len(film), len(spoken))
    ours, film, spoken = ours.first(n), film.first(n), spoken[:n]
    theirs = root_mean_square_speed(film.lips, spoken, fps)
    moves = float(film.width.std()) > MIN_SPREAD
    return {
        "width": correlation(ours.width, film.width),
        "width_best": float(offset_sweep(ours.width, film.width).max()),
        "width_spread": float(ours.width.std() / film.width.std()) if moves else float("nan"),
        "speed": root_mean_square_speed(ours.lips, spoken, fps) / theirs if theirs else float("nan"),
        "closures": closures(ours.opening, film.opening, spoken),
    }
