"""Talking videos and photos -> landmarks, face pixels and audio, one feature file per clip.

A feature file (.npz) holds `landmarks` (n, 478, 3) in pixels of the stored frames, `jpeg` and
`jpeg_ends` (the n frames, one after the other), `times_s` (n,) the moment that each of them shows,
`pcm` int16 at 16 kHz (empty for a photo) and `person`. Frames are resampled to the spec's rate by
picking the frame shown at each frame's middle (`time_axis` says how landmarks are brought to it);
large ones are scaled down (see `media`). The tree of the data folder is kept; the first folder names
the speaker.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.photo import PHOTO_SUFFIXES
from s2v.errors import BackendError, DataError, S2vError, SeveralFacesError
from s2v.files import remove_leftovers, written_whole
from s2v.media.video_file import read_video
from s2v.spec import LipSyncSpec
from s2v.training.arrays import Wanted, check_ends, read_arrays
from s2v.training.extract.time_axis import frame_middles_s, on_frames
from s2v.training.workers import worker_pool

VIDEO_SUFFIXES = {".mp4", ".mpg", ".mpeg", ".mov", ".mkv", ".webm", ".avi"}
_MAX_LOST_SHARE = 0.2  # of frames without a face; more makes the clip useless
_MARGIN = 0.35  # of the face's size, kept around it
_ARRAYS = {
    "landmarks": Wanted("f", (None, 478, 3), finite=True),
    "pcm": Wanted("i", (None,)),
    "jpeg": Wanted("u", (None,)),
    "jpeg_ends": Wanted("iu", (None,)),
    "times_s": Wanted("f", (None,), optional=True, finite=True),
    "person": Wanted("U", ()),
}
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class ExtractReport:
    """What `extract_features` did."""

    done: int
    kept_from_before: int
    failed: dict[str, str]  # clip -> reason


def extract_features(
    data: Path, out: Path, workers: int = 1, progress: bool = True, only: Sequence[Path] | None = None
) -> ExtractReport:
    """Extract every video and photo below `data`, or `only` these of them; what is there already is kept.

    A bad clip is reported and skipped; Ctrl-C ends after the clips at hand. Raises: DataError, nothing to extract,
    nothing usable, or a worker was killed.
    """
    from tqdm import tqdm

    below = data.rglob("*") if only is None else only
    clips = sorted(p for p in below if p.suffix.lower() in {*VIDEO_SUFFIXES, *PHOTO_SUFFIXES})
    if not clips:
        raise DataError(f"no videos or photos below {data}: -d takes a folder of talking videos (mp4, mpg, mov, ...)")
    jobs, failed = _jobs(clips, data, out)
    for folder in {target.parent for target in jobs}:
        remove_leftovers(folder)  # of a run that was killed
    todo = {clip: target for target, clip in jobs.items() if not target.exists()}
    done = 0
    for clip, reason in failed.items():
        _log.warning("skipped %s: %s", clip, reason)
    with worker_pool(workers) as pool:
        running = {pool.submit(_extract_one, clip, target): clip for clip, target in todo.items()}
        for job in tqdm(as_completed(running), total=len(running), unit="clip", disable=not progress):
            if reason := job.result():
                failed[str(running[job])] = reason
                _log.warning("skipped %s: %s", running[job], reason)
            else:
                done += 1
    if len(failed) == len(clips):
        raise DataError(f"none of {len(clips)} clips below {data} can be used: the lines above say why")
    return ExtractReport(done, len(jobs) - len(todo), failed)


def _jobs(clips: list[Path], data: Path, out: Path) -> tuple[dict[Path, Path], dict[str, str]]:
    """Feature file -> its clip, and the clips whose feature file another one has already, with the reason."""
    jobs: dict[Path, Path] = {}
    refused: dict[str, str] = {}
    # Videos first: a picture beside a video of the same name is mostly its thumbnail.
    for clip in sorted(clips, key=lambda clip: (clip.suffix.lower() in PHOTO_SUFFIXES, clip)):
        first = jobs.setdefault(feature_path(clip, data, out), clip)
        if first is not clip:
            refused[str(clip)] = f"{first} has the same name but for the ending or folder: rename one of the two"
    return jobs, refused


def feature_path(clip: Path, data: Path, out: Path) -> Path:
    """Where the features of a clip go: speaker/…/name.npz, the speaker being `data`'s name for a flat folder."""
    inside = clip.relative_to(data)
    speaker = Path(data.resolve().name) if len(inside.parts) == 1 else Path()
    return out / speaker / inside.with_suffix(".npz")


def _extract_one(clip: Path, target: Path) -> str | None:
    """Extract one clip; the reason why not, or None."""
    import cv2

    from s2v.engine.face.enrolment import prepared_photo
    from s2v.engine.face.photo import load_picture

    try:
        person = clip.stem.split("_")[0]
        if clip.suffix.lower() in PHOTO_SUFFIXES:
            photo, mesh = prepared_photo(load_picture(clip))
            save_features(target, [photo], mesh[None].astype(np.float32), np.zeros(0, np.int16), person)
        else:
            # Decoded twice rather than kept: a minute of raw frames takes gigabytes.
            video, times_s = read_video(clip), []

            def pictures() -> Iterator[NDArray[np.uint8]]:
                for picture, time_s in video.timed_frames():
                    times_s.append(time_s)
                    yield picture

            landmarks = detect_landmarks(pictures())
            save_features(target, video.frames(), landmarks, video.pcm, person, np.array(times_s))
    except BackendError:  # this machine's, and not the clip's
        raise
    except SeveralFacesError as error:
        return f"{error.count} faces on the photo: cut it to one person"
    except (S2vError, OSError, ValueError, cv2.error, MemoryError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def detect_landmarks(frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Landmarks (n, 478, 3) in pixels; gaps of a few frames are filled in a straight line.

    Raises: DataError, no frame at all, or no face in too many of them.
    """
    return without_gaps([landmarks for _, landmarks in with_landmarks(frames)])


def with_landmarks(
    frames: Iterable[NDArray[np.uint8]],
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Each frame and its landmarks (478, 3) in pixels, NaN where no face is found."""
    from s2v.engine.face.face_search import film_detector

    nobody = np.full((478, 3), np.nan)
    # Every frame by itself: a video mode's smoothing lags by half a frame and slows the lips (docs/LOG.md).
    with film_detector() as find:
        for frame in frames:
            found = find(frame)
            yield frame, np.asarray(nobody if found is None else found, np.float32)


def without_gaps(landmarks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Landmarks of a clip's frames as one array (n, 478, 3), frames without a face filled in a straight line.

    Raises: DataError, no frame at all, or no face in too many of them.
    """
    if not len(landmarks):
        raise DataError("holds no picture")
    found = np.array(landmarks, np.float32)
    lost = np.isnan(found[:, 0, 0])
    if lost.mean() > _MAX_LOST_SHARE:
        raise DataError(f"no face in {lost.sum()} of {len(found)} frames")
    seen = np.flatnonzero(~lost)
    flat = found.reshape(len(found), -1)
    for column in flat.T if lost.any() else ():
        column[lost] = np.interp(np.flatnonzero(lost), seen, column[seen])
    return found


def save_features(
    target: Path,
    frames: Iterable[NDArray[np.uint8]],
    landmarks: NDArray[np.float32],
    pcm: NDArray[np.int16],
    person: str,
    times_s: NDArray[np.floating[Any]] | None = None,
) -> None:
    """Cut the frames to the face, pack and write a feature file, whole or not at all.

    Args: times_s: (n,) the moment that each frame shows, from the sound's beginning; None is their middles.
    Raises: DataError, not as many frames as landmarks: the video changed since they were detected.
    """
    import cv2

    low, high = landmarks[..., :2].min((0, 1)), landmarks[..., :2].max((0, 1))
    margin = _MARGIN * (high - low).max()
    left, top = np.floor(np.clip(low - margin, 0, None)).astype(int)
    right, bottom = np.ceil(high + margin).astype(int)  # past the picture's edge, slicing stops there
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    packed = [cv2.imencode(".jpg", frame[top:bottom, left:right], quality)[1] for frame in frames]
    if len(packed) != len(landmarks):
        raise DataError(f"{len(packed)} frames, and {len(landmarks)} when read before: it is being written to")
    moved = landmarks - np.array([left, top, 0], np.float32)
    target.parent.mkdir(parents=True, exist_ok=True)
    if times_s is None:
        times_s = frame_middles_s(len(moved), LipSyncSpec.fps)
    arrays: dict[str, Any] = {"landmarks": moved, "jpeg": np.concatenate(packed), "pcm": pcm, "times_s": times_s}
    ends = np.cumsum([len(p) for p in packed])
    with written_whole(target) as beside, beside.open("wb") as file:
        np.savez(file, jpeg_ends=ends, person=np.array(person), **arrays)


@dataclass(frozen=True)
class ClipFeatures:
    """One feature file in memory; frames are decoded on demand."""

    speaker: str
    name: str
    person: str
    landmarks: NDArray[np.float32]
    pcm: NDArray[np.int16]
    jpeg: NDArray[np.uint8]
    jpeg_ends: NDArray[np.int64]
    times_s: NDArray[np.float64]  # (n,) the moment that each frame's picture shows, from the sound's beginning

    def on_frames(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Something known of every frame's picture (n, ...), as it was in the middle of each frame: see `time_axis`."""
        return on_frames(values, self.landmarks, self.times_s, LipSyncSpec.fps)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame `index`, BGR."""
        import cv2

        start = self.jpeg_ends[index - 1] if index else 0
        image = None
        with suppress(cv2.error):
            image = cv2.imdecode(self.jpeg[start : self.jpeg_ends[index]], cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"frame {index} of {self.name} is damaged: delete its feature file and extract again")
        return np.asarray(image, np.uint8)


def has_sound(path: Path) -> bool:
    """Whether a feature file is of a talking clip and not of a photo, without reading its pictures.

    Raises: DataError, damaged.
    """
    try:
        return len(read_arrays(path, {"pcm": _ARRAYS["pcm"]})["pcm"]) > 0
    except ValueError as error:
        raise _damaged(path, error) from None


def has_times(path: Path) -> bool:
    """Whether a feature file says which moment each picture shows: not one of release 0.2, nor a damaged one."""
    try:
        return "times_s" in read_arrays(path, {"times_s": _ARRAYS["times_s"]})
    except ValueError:
        return False


def load_features(path: Path, features: Path) -> ClipFeatures:
    """Read a feature file. Raises: DataError, damaged."""
    try:
        arrays = read_arrays(path, _ARRAYS)
        check_ends("jpeg_ends", arrays["jpeg_ends"], len(arrays["jpeg"]))
        n_frames = len(arrays["jpeg_ends"])
        # Files of release 0.2 say no times: each picture counts as taken in the middle of its frame.
        times_s = arrays.get("times_s", frame_middles_s(n_frames, LipSyncSpec.fps))
        for what, found in (("landmarks", arrays["landmarks"]), ("moments", times_s)):
            if len(found) != n_frames:
                raise ValueError(f"{len(found)} {what} for {n_frames} frames")
        if (np.diff(times_s) < 0).any():
            raise ValueError("its moments go back in time")
    except ValueError as error:
        raise _damaged(path, error) from None
    speaker, person = path.relative_to(features).parts[0], str(arrays.pop("person"))
    return ClipFeatures(speaker, path.stem, person, **(arrays | {"times_s": times_s}))


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is not a feature file ({error}): delete it and run extract-features again")
