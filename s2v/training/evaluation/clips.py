"""Held-out clips in sets: from folders of videos (features are kept in a cache) or of feature files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.geometry import N_MESH, Points, Pose, head_pose
from s2v.engine.face.motion_basis import MotionBasis, aperture, neutral_face
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.dataset.sources import VIDEO_SUFFIXES, clip_id_of, feature_path
from s2v.training.evaluation.clip_phones import text_of
from s2v.training.evaluation.measures.motion_level import Spoken
from s2v.training.evaluation.measures.shapes import LipShapes, shapes_seen
from s2v.training.evenly import evenly
from s2v.training.extract.extract_features import extract_features
from s2v.training.extract.feature_file import ClipFeatures, has_sound, is_current, load_features
from s2v.training.voices.phones import Phone, align

MIN_FRAMES = 20  # shorter clips have no rest of their own to measure from


@dataclass(frozen=True)
class ClipFile:
    """Where a held-out clip's features are."""

    set_name: str
    path: Path
    features: Path  # the folder it was found below
    refused: str = ""  # why there are none
    text: str = ""  # what is said in it, as far as anybody says


@dataclass(frozen=True)
class HeldClip:
    """A clip that training did not see, in memory."""

    set_name: str
    features: ClipFeatures
    first_frame: int = 0  # of the stored frames, where landmarks and sound begin
    recording: NDArray[np.int16] | None = None  # all of its sound, 16 kHz, where `features` have only a part

    @property
    def name(self) -> str:
        clip_id = self.features.clip_id
        return clip_id if "/" in clip_id else f"{self.set_name}/{clip_id}"

    @property
    def n_frames(self) -> int:
        return len(self.features.landmarks)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame `index`, BGR. Raises: DataError, damaged."""
        return self.features.frame(self.first_frame + index)

    @cached_property
    def pcm(self) -> NDArray[np.float32]:
        """16 kHz mono in [-1, 1]."""
        return (self.features.pcm / 32768).astype(np.float32)

    @cached_property
    def poses(self) -> list[Pose]:
        """Of the head on each frame's picture."""
        return [head_pose(points.astype(np.float64)) for points in self.features.landmarks]

    @cached_property
    def canonical(self) -> Points:
        """(n, 468, 3) face units, in the middle of each frame even where the film dropped pictures."""
        landmarks = self.features.landmarks.astype(np.float64)
        seen = np.stack(
            [pose.to_canonical(points)[:N_MESH] for pose, points in zip(self.poses, landmarks, strict=True)]
        )
        return self.features.on_frames(seen)

    @cached_property
    def neutral(self) -> Points:
        """(468, 3), the talker with closed lips."""
        return neutral_face(self.canonical)

    @cached_property
    def aperture(self) -> NDArray[np.float32]:
        """(n,) opening of the lips over the talker's closed ones."""
        return (aperture(self.canonical) - aperture(self.neutral)).astype(np.float32)

    def phones(self, text: str) -> list[Phone]:
        """Which phone of what is said in the whole recording is spoken when, from the first frame on.

        Raises: DataError, the text does not fit, or has a word nobody can say.
        """
        whole = self.features.pcm if self.recording is None else self.recording
        late_s = self.first_frame / LipSyncSpec.fps
        return [Phone(phone.name, phone.start_s - late_s, phone.end_s - late_s) for phone in align(whole, text)]

    @cached_property
    def shapes(self) -> LipShapes:
        """What the talker's mouth does."""
        return shapes_seen(self.canonical, self.neutral)

    def spoken(self, spec: LipSyncSpec) -> Spoken:
        """Its sound and true motion in the spec's basis."""
        coefficients = MotionBasis.load(spec.motion_basis).coefficients(self.canonical, self.neutral)
        return Spoken(self.name, self.pcm, coefficients[:, : spec.n_motion].astype(np.float32), self.aperture)


def find_clips(
    folders: Sequence[Path],
    cache: Path,
    max_clips: int | None = None,
    workers: int = 1,
    progress: bool = True,
    words: Path | None = None,
) -> list[ClipFile]:
    """The clips below some folders, videos extracted into `cache` unless they are there already.

    Args:
        max_clips: of each set, spread evenly over its sorted names; None takes all.
        words: table of what is said in them; transcripts beside the clips are found by themselves.
    Raises: DataError, no such table, a folder that is missing or holds neither videos nor features, or no usable clip.
    """
    found: list[ClipFile] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder: give one of talking videos or of feature files")
        videos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        features = [] if videos else sorted(path for path in folder.rglob("*.npz") if has_sound(path))
        if not videos and not features:
            raise DataError(f"no talking videos and no feature files below {folder}: give a folder that has some")
        chosen = _spread(videos or features, folder, max_clips)
        if videos:
            found += _extracted(chosen, folder, cache, workers, progress, words)
        else:
            found += [
                ClipFile(_set_name(path, folder), path, folder, text=text_of(path, folder, words)) for path in chosen
            ]
    return found


def features_folder(folder: Path, cache: Path) -> Path:
    """Where the features of a folder of videos are kept; folders of the same name do not share it."""
    mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return cache / f"{folder.resolve().name}-{mark}"


def load_clip(file: ClipFile, max_frames: int | None = None) -> HeldClip:
    """Read a clip's features, its first `max_frames`. Raises: DataError, none, damaged or too short."""
    if file.refused:
        raise DataError(file.refused)
    clip = load_features(file.path, file.features)
    first, last = _seen(clip.landmarks)
    last = min(last, first + (max_frames or last))
    if last - first < MIN_FRAMES:
        raise DataError(f"{file.path.stem} has {last - first} frames; at least {MIN_FRAMES} are needed")
    start, end = (round(frame * LipSyncSpec().samples_per_frame) for frame in (first, last))
    times_s = clip.times_s[first:last] - first / LipSyncSpec.fps
    kept = replace(clip, landmarks=clip.landmarks[first:last], pcm=clip.pcm[start:end], times_s=times_s)
    return HeldClip(file.set_name, kept, first, clip.pcm)


def _seen(landmarks: NDArray[np.float32]) -> tuple[int, int]:
    """First frame with a face, and one past the last: before and after, extraction repeats the nearest landmarks."""
    moved = np.flatnonzero((np.diff(landmarks, axis=0) != 0).any((1, 2)))
    return (int(moved[0]), int(moved[-1]) + 2) if len(moved) else (0, len(landmarks))


def _set_name(path: Path, folder: Path) -> str:
    """The first folder below `folder`; of a flat folder its own name."""
    inside = path.relative_to(folder)
    return inside.parts[0] if len(inside.parts) > 1 else folder.resolve().name


def _spread(paths: list[Path], folder: Path, max_clips: int | None) -> list[Path]:
    if max_clips is None:
        return paths
    sets: dict[str, list[Path]] = {}
    for path in paths:
        sets.setdefault(_set_name(path, folder), []).append(path)
    chosen = []
    for members in sets.values():
        chosen += evenly(members, max_clips)
    return chosen


def _extracted(
    videos: list[Path], folder: Path, cache: Path, workers: int, progress: bool, words: Path | None
) -> list[ClipFile]:
    out = features_folder(folder, cache)
    targets = {feature_path(clip_id_of(video, folder), out): video for video in videos}
    for target, video in targets.items():
        if target.exists() and (target.stat().st_mtime < video.stat().st_mtime or not is_current(target)):
            target.unlink()  # the video is newer, or landmarks were found otherwise
    failed = extract_features(folder, out, workers, progress, videos, limits=None).failed  # also poor ones are judged
    return [
        ClipFile(_set_name(video, folder), path, out, failed.get(str(video), ""), text_of(video, folder, words))
        for path, video in targets.items()
        if path.exists() or str(video) in failed
    ]
