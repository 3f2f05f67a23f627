"""Videos and recordings, read without ever holding more than one picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.spec import LipSyncSpec

MAX_SIDE_PX = 1280  # larger frames are scaled down: a face needs no more


@dataclass(frozen=True)
class Video:
    """A video whose sound is in memory and whose pictures are decoded as they are asked for."""

    path: Path
    pcm: NDArray[np.int16]  # mono at the spec's rate, from the moment of the first picture
    spec: LipSyncSpec

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The picture shown at the middle of each frame of the spec's rate, (h, w, 3) BGR, at most MAX_SIDE_PX.

        Ends with the picture or the sound, whichever is first. Every call decodes anew and gives the same frames.
        Raises: DataError, cannot be decoded.
        """
        import av

        wanted = self.spec.frame_count(len(self.pcm))
        given, starts_s, shown_s = 0, 0.0, 0.0
        shown: av.VideoFrame | None = None
        with _opened(self.path) as container:
            for frame in container.decode(container.streams.video[0]):
                time_s = float(frame.time or 0.0)
                if shown is None:
                    starts_s = time_s
                # What is shown stays on the screen until this one comes.
                while shown is not None and given < wanted and starts_s + (given + 0.5) / self.spec.fps < time_s:
                    yield _bgr(shown)
                    given += 1
                if given == wanted:
                    return
                shown, shown_s = frame, time_s
            wanted = min(wanted, round((shown_s - starts_s) * self.spec.fps) + 1)
            while shown is not None and given < wanted:
                yield _bgr(shown)
                given += 1


def read_video(path: Path, spec: LipSyncSpec | None = None) -> Video:
    """Open a video and read its sound.

    Raises: DataError, cannot be decoded, no picture or no sound.
    """
    spec = spec or LipSyncSpec()
    with _opened(path) as container:
        if not container.streams.video or not container.streams.audio:
            raise DataError("needs both a picture and a sound track")
        first = next(container.decode(container.streams.video[0]), None)
    with _opened(path) as container:
        sound, sound_from_s = _sound(container, spec.sample_rate_hz)
    if first is None or not len(sound):
        raise DataError("holds no picture or no sound")
    # The two may start at different times, as recordings made in browsers and by phones do.
    late = round((sound_from_s - float(first.time or 0.0)) * spec.sample_rate_hz)
    pcm = np.concatenate([np.zeros(max(0, late), np.int16), sound])[max(0, -late) :]
    if not len(pcm):
        raise DataError("its sound ends before the picture begins")
    return Video(path, pcm, spec)


def read_sound(path: Path, rate_hz: int = 16_000) -> NDArray[np.int16]:
    """A recording as mono int16. Raises: DataError, cannot be decoded or no sound."""
    try:
        with _opened(path) as container:
            sound = _sound(container, rate_hz)[0] if container.streams.audio else np.zeros(0, np.int16)
    except DataError as error:
        raise DataError(f"{path} {error}") from None
    if not len(sound):
        raise DataError(f"{path} holds no sound")
    return sound


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An open container; what FFmpeg cannot do with it, now or later, is a DataError."""
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            yield container
    except FFmpegError as error:
        raise DataError(f"cannot be decoded ({error.strerror})") from None


def _sound(container: Any, rate_hz: int) -> tuple[NDArray[np.int16], float]:
    """All of the first sound track, mono, and the time of its first sample in seconds."""
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
    parts: list[NDArray[np.int16]] = [np.zeros(0, np.int16)]
    from_s: float | None = None
    for frame in container.decode(container.streams.audio[0]):
        if from_s is None:
            from_s = float(frame.time or 0.0)
        parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    if from_s is not None:
        parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.concatenate(parts), from_s or 0.0


def _bgr(frame: Any) -> NDArray[np.uint8]:
    import cv2

    picture = frame.to_ndarray(format="bgr24")
    scale = MAX_SIDE_PX / max(picture.shape[:2])
    if scale < 1:
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)
