"""What a viewer sees: a frame of the clip itself as the photo, driven by the clip's sound, against the film.

Any network, any backend: frames come from the same `LipSyncEngine` that users run, landmarks from the
same detector, every frame by itself. In the film the head moves and in ours it does not, so both are
compared in crops that the head's pose has been taken out of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.base import Backend
from s2v.engine.face.enrolment import MIN_EYE_DISTANCE_PX, EnrolledFace, enrol
from s2v.engine.face.geometry import Points, Pose
from s2v.engine.face.motion_basis import aperture
from s2v.engine.face.mouth_look import MouthLook
from s2v.engine.face.photo import Image
from s2v.engine.lipsync import LipSyncEngine
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.clips import HeldClip
from s2v.training.evaluation.crops import Comparison
from s2v.training.evaluation.measures.head.mouth_drag import StillHead, still_head
from s2v.training.evaluation.measures.interior import OPEN_MOUTH, InteriorFigures, interior_figures, look_inside
from s2v.training.evaluation.measures.metrics import (
    best_offset,
    correlation,
    landmark_distance,
    lip_speed,
    offset_sweep,
    pauses,
)
from s2v.training.evaluation.measures.shapes import LipShapes, canonical_of, shape_figures, shapes_seen
from s2v.training.extract.face_landmarks import detect_landmarks, with_landmarks, without_gaps

N_TILES = 10
_CLOSED_SHARE = 0.15  # of a clip's frames may become its photo


@dataclass(frozen=True)
class DrawnClip:
    """What drawing a clip gave."""

    figures: dict[str, float]
    opened: NDArray[np.float32]  # (n,) drawn opening of the lips over the still's, face units
    tiles: list[tuple[int, Image, Image]]  # frame, film, ours: aligned face crops
    mouth: tuple[slice, slice]  # where the mouth is on the tiles
    shapes: LipShapes  # what the drawn mouth does
    head: StillHead  # what the detector makes of its head, which does not move


def photo_frame(clip: HeldClip) -> int:
    """Which frame of a clip is its photo: of the 15 % with the most closed lips, the one most frontal."""
    closed = np.flatnonzero(clip.aperture <= np.quantile(clip.aperture, _CLOSED_SHARE))
    turned = [abs(clip.poses[i].yaw_degrees) + abs(clip.poses[i].pitch_degrees) for i in closed]
    return int(closed[int(np.argmin(turned))])


def enrol_from(clip: HeldClip, spec: LipSyncSpec) -> EnrolledFace:
    """The clip's own photo, enrolled; one too small for the engine is enlarged first.

    Raises: FaceError, refused as any photo would be.
    """
    index = photo_frame(clip)
    photo, unit_px = clip.frame(index), clip.poses[index].unit_px
    if unit_px < MIN_EYE_DISTANCE_PX:
        scale = 2 * MIN_EYE_DISTANCE_PX / unit_px
        photo = np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    return enrol(photo, spec)


def draw_clip(
    clip: HeldClip,
    backend: Backend,
    n_tiles: int = N_TILES,
    watch: Callable[[Image, Pose, Image, Pose], None] | None = None,
    mouth: MouthLook | None = None,
) -> DrawnClip:
    """Drive the clip's own photo with its sound and hold every frame against the film.

    Args:
        watch: is shown every frame as drawn and as filmed, with the head's pose in each.
        mouth: of the model's person, if it was made for one.
    Raises: FaceError, its photo is refused. DataError, no face is found in what was drawn.
    """
    face = replace(enrol_from(clip, backend.spec), mouth=mouth)
    tile_frames = set(np.linspace(1, clip.n_frames - 2, n_tiles).round().astype(int).tolist())
    engine = LipSyncEngine(face, backend)
    try:
        enlarged = clip.poses[photo_frame(clip)].unit_px < MIN_EYE_DISTANCE_PX
        comparison = Comparison(face, engine.still, tile_frames, same_scale=not enlarged)

        def compared() -> Iterator[Image]:
            for index, frame in zip(range(clip.n_frames), drawn_frames(engine, clip.pcm), strict=False):
                film = clip.frame(index)
                comparison.add(frame, film, clip.poses[index])
                if watch:
                    watch(frame, face.pose, film, clip.poses[index])
                yield frame

        still = canonical_of(detect_landmarks([engine.still]))[0]
        ours = OpenMouths(still)
        landmarks = without_gaps([ours.add(*seen) for seen in with_landmarks(compared())])
    finally:
        engine.close()
    drawn = canonical_of(landmarks)
    shapes = shapes_seen(drawn, still)
    opened = shapes.opening.astype(np.float32)
    figures = _lip_figures(clip, drawn, still, opened, backend.spec) | comparison.figures()
    compared_shapes = shape_figures(shapes, clip.shapes, ~pauses(clip.pcm, len(drawn), backend.spec), backend.spec.fps)
    figures |= {f"drawn_{key}": value for key, value in compared_shapes.items()}
    film = OpenMouths(clip.neutral)
    for index in range(clip.n_frames):
        film.add(clip.frame(index), clip.features.landmarks[index])
    figures |= ours.figures() | {f"{key}_film": value for key, value in film.figures().items()}
    return DrawnClip(figures, opened, comparison.tiles, comparison.mouth, shapes, still_head(landmarks))


def drawn_opening(clip: HeldClip, backend: Backend, pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) opening of the clip's own photo when it is driven with another sound."""
    engine = LipSyncEngine(enrol_from(clip, backend.spec), backend)
    try:
        return aperture(canonical_of(detect_landmarks(drawn_frames(engine, pcm)))).astype(np.float32)
    finally:
        engine.close()


def drawn_frames(engine: LipSyncEngine, pcm: NDArray[np.float32]) -> Iterator[Image]:
    """All frames of a sound, (h, w, 3) BGR each; those of one second are held at a time."""
    rate_hz = engine.spec.sample_rate_hz
    for start in range(0, len(pcm), rate_hz):
        yield from (frame.pixels for frame in engine.push(pcm[start : start + rate_hz]))
    yield from (frame.pixels for frame in engine.flush())


class OpenMouths:
    """What lies between the lips of a face's pictures, shown one by one: of those whose mouth is open."""

    def __init__(self, closed: Points) -> None:
        """Args: closed: (468, 3), the face with its lips closed, face units."""
        self._closed = float(aperture(closed))
        self._looks: list[InteriorFigures | None] = []

    def add(self, picture: Image, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The next picture with its landmarks (478, 3), NaN where no face is seen; gives the landmarks back."""
        if not np.isnan(landmarks[0, 0]) and aperture(canonical_of(landmarks[None])[0]) - self._closed > OPEN_MOUTH:
            self._looks.append(look_inside(picture, landmarks))
        return landmarks

    def figures(self) -> dict[str, float]:
        """See `interior_figures`."""
        return interior_figures(self._looks)


def _lip_figures(
    clip: HeldClip, drawn: Points, still: Points, opened: NDArray[np.float32], spec: LipSyncSpec
) -> dict[str, float]:
    n = len(drawn)
    film, gap = clip.canonical[:n], clip.aperture[:n]
    paused = pauses(clip.pcm, n, spec)
    ours, theirs = lip_speed(drawn, paused, spec.fps), lip_speed(film, paused, spec.fps)
    return {
        "drawn_aperture": correlation(opened, gap),
        "drawn_aperture_best": float(offset_sweep(opened, gap).max()),
        "drawn_offset": float(best_offset(opened, gap)),
        "drawn_aperture_spoken": correlation(opened[~paused], gap[~paused]) if not paused.all() else float("nan"),
        "drawn_spread": float(opened.std()) / max(1e-6, float(gap.std())),
        "lmd": landmark_distance(drawn, film),
        "lmd_still": landmark_distance(np.broadcast_to(still, drawn.shape), film),
        "silence_speed": ours,
        "silence_motion": ours / theirs if theirs else float("nan"),
    }
