"""Videos and recordings, read without ever holding more than one picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from s2v.errors import DataError
from s2v.media.pictures.orientation import FilmMatrix, as_shown, pixel_elongation
from s2v.media.pictures.picture_clock import PictureClock
from s2v.spec import LipSyncSpec

if TYPE_CHECKING:
    import av

    from s2v.media.container import MediaFile
    from s2v.media.sound_choice import SoundChoice
    from s2v.media.sound_track import SoundTrack

MAX_SIDE_PX = 1280  # larger frames are scaled down: a face needs no more
_MIN_HOLE_S = 0.04  # time stamps of whole sound are off by less
_MAX_S = 7200  # its sound is held in memory
_MAX_HOLE_S = 600.0  # nothing that was lost on the way is longer


@dataclass(frozen=True)
class Video:
    """A video whose sound is in memory and whose pictures are decoded as they are asked for."""

    path: Path
    pcm: NDArray[np.int16]  # mono at the spec's rate, from the moment of the first picture
    spec: LipSyncSpec
    picture_s: float  # from one picture to the next where none was dropped
    sound_note: str = ""  # what of its sound was taken, if that is not what a player would take

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The picture shown at the middle of each frame of the spec's rate, (h, w, 3) BGR, at most MAX_SIDE_PX.

        Ends with the picture or the sound, whichever is first. Every call decodes anew and gives the same frames.
        Raises: DataError, cannot be decoded.
        """
        return (picture for picture, _ in self.timed_frames())

    def timed_frames(self) -> Iterator[tuple[NDArray[np.uint8], float]]:
        """The same, each with the moment in s on the sound's axis that it shows: the middle of its own exposure.

        A picture that stays on the screen because the next one was dropped is given several times, with one moment:
        the same array.
        """
        wanted = self.spec.frame_count(len(self.pcm))
        given, shown_s = 0, 0.0
        shown: Any = None
        picture: NDArray[np.uint8] | None = None  # `shown`, once it is asked for: most frames of fast films are not
        with _opened(self.path) as media:
            track, film = media.track("video"), FilmMatrix()
            elongation, clock = pixel_elongation(track), PictureClock(track, self.picture_s)
            for frame in _pictures(media):
                time_s = clock.shown_s(frame)
                # What is shown stays on the screen until this one comes.
                while shown is not None and given < wanted and (given + 0.5) / self.spec.fps < time_s:
                    picture = as_shown(shown, elongation, MAX_SIDE_PX, film) if picture is None else picture
                    yield picture, shown_s + self.picture_s / 2
                    given += 1
                if given == wanted:
                    return
                shown, shown_s, picture = frame, time_s, None
            wanted = min(wanted, max(given + 1, round((shown_s + self.picture_s) * self.spec.fps)))
            while shown is not None and given < wanted:
                picture = as_shown(shown, elongation, MAX_SIDE_PX, film) if picture is None else picture
                yield picture, shown_s + self.picture_s / 2
                given += 1


def read_video(path: Path, spec: LipSyncSpec | None = None) -> Video:
    """Open a video and read its sound.

    Raises: DataError, cannot be decoded, no picture or no sound.
    """
    spec = spec or LipSyncSpec()
    with _opened(path) as media:
        if media.track("video") is None or media.track("audio") is None:
            raise DataError("needs both a picture and a sound track")
        starts_s = picture_starts_s(media)
    with _opened(path) as media:
        picture_s = _picture_interval_s(media, spec.fps)
    sound, sound_from_s, sound_note = _sound(path, spec.sample_rate_hz)
    if starts_s is None or not len(sound):
        raise DataError("holds no picture or no sound")
    # The two may start at different times, as recordings made in browsers and by phones do.
    late = round((sound_from_s - starts_s) * spec.sample_rate_hz)
    pcm = np.concatenate([np.zeros(max(0, late), np.int16), sound])[max(0, -late) :]
    if not len(pcm):
        raise DataError("its sound ends before the picture begins")
    return Video(path, pcm, spec, picture_s, sound_note)


def read_sound(path: Path, rate_hz: int = 16_000) -> NDArray[np.int16]:
    """A recording as mono int16. Raises: DataError, cannot be decoded or no sound."""
    try:
        sound = _sound(path, rate_hz)[0]
    except DataError as error:
        raise DataError(f"{path} {error}") from None
    if not len(sound):
        raise DataError(f"{path} holds no sound")
    return sound


def picture_starts_s(media: MediaFile) -> float | None:
    """When the first picture is shown, on the axis that it has in common with the sound; None, there is none."""
    track = media.track("video")
    for frame in _pictures(media):
        clock = PictureClock(track, step_s=0.0)
        clock.shown_s(frame)
        return clock.starts_s
    return None


@contextmanager
def _opened(path: Path) -> Iterator[MediaFile]:
    """An open file; what cannot be done with it, now or later, is a DataError."""
    from s2v.media.container import UnreadableError, opened

    try:
        with opened(path) as media:
            yield media
    except UnreadableError as error:
        raise DataError(str(error)) from None


def _pictures(media: MediaFile) -> Iterator[Any]:
    """All frames of the best video track; none if there is no such track. Only one is held."""
    track = media.track("video")
    return iter(()) if track is None else media.each(media.container.decode(track), batch=1)


def _picture_interval_s(media: MediaFile, fps: int) -> float:
    """Median distance of the pictures' time stamps, whatever a container says of its rate; 1 / fps of a single one."""
    stream = media.track("video")
    packets = media.each(media.container.demux(stream))
    stamps = sorted(packet.pts for packet in packets if packet.pts is not None)
    if len(stamps) > 1 and (between := float(np.median(np.diff(stamps)) * stream.time_base)) > 0:
        return between
    return 1 / fps


def _sound(path: Path, rate_hz: int) -> tuple[NDArray[np.int16], float, str]:
    """The speaking sound track, mono, the time of its first sample in seconds, and a note on what was taken."""
    from s2v.media.samples import turned_down
    from s2v.media.sound_choice import best_reading

    def read(choice: SoundChoice) -> _Heard:
        with _opened(path) as media:
            return _heard(media, rate_hz, choice)

    heard, choice = best_reading(read, rate_hz)
    pcm = np.clip(np.rint(turned_down(heard.pcm) * 32768), -32768, 32767).astype(np.int16)
    return pcm, heard.from_s, choice.note


@dataclass(frozen=True)
class _Heard:
    """One pass over a sound track. Fills `Reading`."""

    pcm: NDArray[np.float32]  # mono
    from_s: float  # the time of its first sample
    track: SoundTrack

    @property
    def n_tracks(self) -> int:
        return self.track.n_tracks

    def better_choice(self) -> SoundChoice:
        return self.track.better_choice()


def _heard(media: MediaFile, rate_hz: int, choice: SoundChoice) -> _Heard:
    """Mono float32; see `samples` for what is cut.

    What a recording lost on the way (its time stamps jump) is silence here, so that what follows keeps its time.
    """
    from s2v.media.samples import mono_resampler
    from s2v.media.sound_track import SoundTrack

    parts: list[NDArray[np.float32]] = []
    track = SoundTrack(media, choice)
    resampler: av.AudioResampler | None = None
    shape: tuple[str, str, int] | None = None
    given = 0  # samples so far
    from_s, next_s = 0.0, 0.0

    def take(frame: av.AudioFrame | None) -> None:
        nonlocal given
        assert resampler is not None
        for part in resampler.resample(frame):
            parts.append(part.to_ndarray()[0])
            given += len(parts[-1])

    for frame in track.frames():
        time_s = next_s if frame.time is None else frame.time
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None:
            from_s = time_s
        elif time_s > next_s + _MAX_HOLE_S:
            raise DataError(f"leaves out {time_s - next_s:.0f} s: its time stamps are damaged")
        elif time_s > next_s + _MIN_HOLE_S:
            take(None)
            parts.append(np.zeros(max(0, round((time_s - from_s) * rate_hz) - given), np.float32))
            given += len(parts[-1])
            resampler = None
        else:
            time_s = next_s  # stamps are rounded, often to a millisecond
        if resampler is not None and form != shape:  # the track changes its form half-way
            take(None)
            resampler = None
        if resampler is None:
            shape = form
            resampler = mono_resampler(rate_hz)
        next_s = time_s + frame.samples / frame.sample_rate
        if next_s - from_s > _MAX_S:
            raise DataError(f"is longer than {_MAX_S} s, the most this reads: cut it in pieces")
        take(frame)
    if resampler is not None:
        take(None)
    return _Heard(np.concatenate(parts) if parts else np.zeros(0, np.float32), from_s, track)
