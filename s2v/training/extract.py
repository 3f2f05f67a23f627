"""Talking videos and photos -> landmarks, face pixels and audio, one feature file per clip.

A feature file (.npz) holds `landmarks` (n, 478, 3) in pixels of the stored frames, `jpeg` and
`jpeg_ends` (the n frames, one after the other), `pcm` int16 at 16 kHz (empty for a photo)
and `person`. Frames are resampled to the spec's rate by picking the frame shown at each
frame's middle. The tree of the data folder is kept; the first folder names the speaker.
"""

from __future__ import annotations

import logging
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError, S2vError
from s2v.spec import LipSyncSpec
from s2v.training.files import written_whole

VIDEO_SUFFIXES = {".mp4", ".mpg", ".mpeg", ".mov", ".mkv", ".webm", ".avi"}
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_MAX_LOST_SHARE = 0.2  # of frames without a face; more makes the clip useless
_MARGIN = 0.35  # of the face's size, kept around it
_log = logging.getLogger("s2v")


@dataclass(frozen=True)
class ExtractReport:
    """What `extract_features` did."""

    done: int
    kept_from_before: int
    failed: dict[str, str]  # clip -> reason


def extract_features(data: Path, out: Path, workers: int = 1, progress: bool = True) -> ExtractReport:
    """Extract every video and photo below `data`; what is there already is kept.

    A bad clip is reported and skipped; Ctrl-C ends after the clips at hand. Raises: DataError, nothing to extract,
    nothing usable, or a worker was killed.
    """
    from tqdm import tqdm

    clips = sorted(p for p in data.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES | PHOTO_SUFFIXES)
    if not clips:
        raise DataError(f"no videos or photos below {data}: -d takes a folder of talking videos (mp4, mpg, mov, ...)")
    jobs = [(clip, feature_path(clip, data, out)) for clip in clips]
    todo = [(clip, target) for clip, target in jobs if not target.exists()]
    failed: dict[str, str] = {}
    # Ctrl-C reaches the workers too: they leave it to this process, or each would end with a traceback.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    spawn = get_context("spawn")
    with ProcessPoolExecutor(max(1, workers), spawn, initializer=signal.signal, initargs=ignore) as pool:
        running = {pool.submit(_extract_one, clip, target): clip for clip, target in todo}
        try:
            for job in tqdm(as_completed(running), total=len(running), unit="clip", disable=not progress):
                reason = job.result()
                if reason:
                    failed[str(running[job])] = reason
                    _log.warning("skipped %s: %s", running[job], reason)
        except BrokenProcessPool:
            raise DataError("a worker was killed, mostly for want of memory: take fewer, or cut the clips") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if failed and len(failed) == len(jobs):
        raise DataError(f"none of {len(jobs)} clips below {data} can be used: the lines above say why")
    return ExtractReport(len(todo) - len(failed), len(jobs) - len(todo), failed)


def feature_path(clip: Path, data: Path, out: Path) -> Path:
    """Where the features of a clip go: speaker/…/name.npz, the speaker being `data`'s name for a flat folder."""
    inside = clip.relative_to(data)
    speaker = Path(data.resolve().name) if len(inside.parts) == 1 else Path()
    return out / speaker / inside.with_suffix(".npz")


def _extract_one(clip: Path, target: Path) -> str | None:
    """Extract one clip; the reason why not, or None."""
    import cv2

    try:
        frames, pcm = read_photo(clip) if clip.suffix.lower() in PHOTO_SUFFIXES else read_video(clip)
        landmarks = detect_landmarks(frames)
        save_features(target, frames, landmarks, pcm, person=clip.stem.split("_")[0])
    except (S2vError, OSError, ValueError, cv2.error, MemoryError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def read_photo(path: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.int16]]:
    """A photo as a clip of one frame without sound."""
    from s2v.engine.face import load_photo

    return [load_photo(path)], np.zeros(0, np.int16)


def read_video(path: Path, spec: LipSyncSpec | None = None) -> tuple[list[NDArray[np.uint8]], NDArray[np.int16]]:
    """Frames (BGR) at the spec's rate and 16 kHz mono sound of a video.

    Raises: DataError, cannot be decoded, no picture or no sound.
    """
    import av
    from av.error import FFmpegError

    spec = spec or LipSyncSpec()
    shown: list[tuple[float, NDArray[np.uint8]]] = []
    sound: list[NDArray[np.int16]] = []
    sound_from_s: float | None = None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video or not container.streams.audio:
                raise DataError("needs both a picture and a sound track")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=spec.sample_rate_hz)
            for frame in container.decode(container.streams.video[0], container.streams.audio[0]):
                if isinstance(frame, av.AudioFrame):
                    if sound_from_s is None:
                        sound_from_s = float(frame.time or 0.0)
                    sound += [part.to_ndarray()[0] for part in resampler.resample(frame)]
                elif isinstance(frame, av.VideoFrame):
                    picture = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                    shown.append((float(frame.time or 0.0), picture))
            sound += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except FFmpegError as error:
        raise DataError(f"cannot be decoded ({error.strerror})") from None
    if not shown or not sound or sound_from_s is None:
        raise DataError("holds no picture or no sound")
    starts = np.array([time for time, _ in shown])
    # The two may start at different times, as recordings made in browsers and by phones do.
    late = round((sound_from_s - starts[0]) * spec.sample_rate_hz)
    pcm = np.concatenate([np.zeros(max(0, late), np.int16), *sound])[max(0, -late) :]
    n_frames = min(spec.frame_count(len(pcm)), round((starts[-1] - starts[0]) * spec.fps) + 1)
    middles = starts[0] + (np.arange(n_frames) + 0.5) / spec.fps
    picked = np.searchsorted(starts, middles, side="right") - 1
    return [shown[i][1] for i in picked], pcm


def read_sound(path: Path, rate_hz: int = 16_000) -> NDArray[np.int16]:
    """A recording as mono int16. Raises: DataError, cannot be decoded."""
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
            parts = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
            parts += resampler.resample(None)
    except (FFmpegError, IndexError) as error:
        raise DataError(f"{path} cannot be decoded ({error})") from None
    if not parts:
        raise DataError(f"{path} holds no sound")
    return np.concatenate([part.to_ndarray()[0] for part in parts])


def detect_landmarks(frames: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Landmarks (n, 478, 3) in pixels; gaps of a few frames are filled in a straight line.

    Raises: DataError, no face in too many frames.
    """
    from s2v.engine.face import face_detector

    nobody = np.full((478, 3), np.nan)
    # Every frame by itself: a video mode's smoothing lags by half a frame and slows the lips (docs/LOG.md).
    with face_detector(max_faces=1) as find:
        found = np.array([next(iter(find(frame)), nobody) for frame in frames], np.float32)
    lost = np.isnan(found[:, 0, 0])
    if lost.mean() > _MAX_LOST_SHARE:
        raise DataError(f"no face in {lost.sum()} of {len(frames)} frames")
    seen = np.flatnonzero(~lost)
    flat = found.reshape(len(found), -1)
    for column in flat.T if lost.any() else ():
        column[lost] = np.interp(np.flatnonzero(lost), seen, column[seen])
    return found


def save_features(
    target: Path, frames: list[NDArray[np.uint8]], landmarks: NDArray[np.float32], pcm: NDArray[np.int16], person: str
) -> None:
    """Cut the frames to the face, pack and write a feature file, whole or not at all."""
    import cv2

    height, width = frames[0].shape[:2]
    low, high = landmarks[..., :2].min((0, 1)), landmarks[..., :2].max((0, 1))
    margin = _MARGIN * (high - low).max()
    left, top = np.floor(np.clip(low - margin, 0, None)).astype(int)
    right, bottom = np.ceil(np.minimum(high + margin, [width, height])).astype(int)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    packed = [cv2.imencode(".jpg", frame[top:bottom, left:right], quality)[1] for frame in frames]
    moved = landmarks - np.array([left, top, 0], np.float32)
    target.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"landmarks": moved, "jpeg": np.concatenate(packed), "pcm": pcm}
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

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame `index`, BGR."""
        import cv2

        start = self.jpeg_ends[index - 1] if index else 0
        image = cv2.imdecode(self.jpeg[start : self.jpeg_ends[index]], cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"frame {index} of {self.name} is damaged: delete its feature file and extract again")
        return np.asarray(image, np.uint8)


def load_features(path: Path, features: Path) -> ClipFeatures:
    """Read a feature file. Raises: DataError, damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            speaker = path.relative_to(features).parts[0]
            arrays = {key: stored[key] for key in ("landmarks", "pcm", "jpeg", "jpeg_ends")}
            return ClipFeatures(speaker, path.stem, str(stored["person"]), **arrays)
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} is not a feature file ({error}): delete it and run extract-features again") from None
