"""Any file with a sound track, as the two signals the rest works on.

    clip = read_audio(Path("speech.mp3"))
    engine.push(clip.pcm_16k)        # what drives the face
    writer.write_audio(clip.pcm_48k)  # what the listener hears

The file's first decoded sample is time 0: containers' start offsets, codec delay and padding are
taken off by the decoder, so the two signals and the picture drawn from them share one origin. What a
film shows to its own sound needs the moment of that sample on the film's axis, `starts_s`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from s2v.errors import AudioError
from s2v.media.container import MediaFile, UnreadableError, opened
from s2v.media.samples import mono_resampler, turned_down
from s2v.media.sound_choice import SoundChoice, best_reading
from s2v.media.sound_track import SoundTrack
from s2v.spec import LipSyncSpec

PLAYBACK_HZ = 48_000
ENGINE_HZ = LipSyncSpec.sample_rate_hz  # what every source delivers
MAX_AUDIO_S = 3600
_CHUNK_SAMPLES = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudioClip:
    """One voice at both rates: sample i of `pcm_16k` and sample 3 i of `pcm_48k` are the same moment.

    Both are mono float32 in [-1, 1]; `len(pcm_48k) == 3 * len(pcm_16k)`.
    """

    pcm_48k: NDArray[np.float32]
    pcm_16k: NDArray[np.float32]
    starts_s: float = 0.0  # when the first sample is heard, on the axis that sound and pictures of its file share

    def __post_init__(self) -> None:
        assert len(self.pcm_48k) == 3 * len(self.pcm_16k), (len(self.pcm_48k), len(self.pcm_16k))

    @property
    def seconds(self) -> float:
        """Duration: at most 42 microseconds over the file's own, to end on a whole 16 kHz sample."""
        return len(self.pcm_16k) / ENGINE_HZ


def fitted(pcm: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """The first `length` samples, followed by silence if there are fewer; shape (length,)."""
    return np.pad(pcm[:length], (0, max(length - len(pcm), 0)))


def read_audio(path: Path, max_s: float = MAX_AUDIO_S) -> AudioClip:
    """Decode the best sound track of any audio or video file, mixed to mono.

    Where nobody speaks on it and somebody does on another, that one is taken; of two channels that cancel each other
    out the louder one.
    Duration is exact to the sample. Sound over full scale is turned down as a whole, but for spikes, which are cut off;
    NaN counts as silence. Damaged packets are left out. A warning is logged of what was cut off or left out.

    Raises: AudioError, no such file, no plain file, not a media file, no sound track, no decoder for it, nothing in it,
        mostly damaged, longer than `max_s`, or the disk does not answer.
    """
    try:
        pcm_48k, starts_s = _decoded(path, max_s)
    except UnreadableError as error:
        raise AudioError(f"{path} {error}: give an audio or video file, for example wav, mp3, m4a or mp4") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"cannot read sound from {path} ({error}): convert it, for example to wav") from error
    turned_down(pcm_48k)
    return AudioClip(pcm_48k, _to_16k(pcm_48k), starts_s)


def _decoded(path: Path, max_s: float) -> tuple[NDArray[np.float32], float]:
    """(n,) float32 at 48 kHz, and when it starts.

    A track with spikes is decoded twice: they must not reach the resampler's filter.
    """

    def read(choice: SoundChoice) -> _Decoding:
        with opened(path) as media:
            decoding = _Decoding(path, media, max_s, choice)
            decoding.run()
        return decoding

    decoding, choice = best_reading(read, PLAYBACK_HZ)
    decoding.warn_of_losses()
    if choice.ceiling is not None:
        log.warning("%s: a few samples are far louder than all others and were cut off", path)
    if choice.note:
        log.warning("%s: %s", path, choice.note)
    return decoding.pcm, decoding.starts_s or 0.0


class _Decoding:
    """One pass over a file: packets in, 48 kHz mono out, with the count of what was lost. Fills `Reading`."""

    def __init__(self, path: Path, media: MediaFile, max_s: float, choice: SoundChoice) -> None:
        self.track = SoundTrack(media, choice)
        self.n_tracks = self.track.n_tracks
        self.better_choice = self.track.better_choice
        self.pcm = np.zeros(0, np.float32)
        self.starts_s: float | None = None  # None, the file does not say, or nothing was decoded
        self._path = path
        self._is_mp4 = "mp4" in media.container.format.name
        self._max_s = max_s
        self._length_48k = Fraction(0)  # exact, whatever the resampler's own rounding

    def run(self) -> None:
        """Read all of the track into `pcm`, (n,) float32 at 48 kHz, n a multiple of 3.

        Raises: AudioError, nothing could be decoded, most is damaged, too long.
        """
        chunks = list(self._resampled())
        self._cut_padding()
        length = -(-self._length_48k // 3) * 3
        if length == 0:
            raise AudioError(f"the sound track of {self._path} is empty: give a file with speech in it")
        self.pcm = np.zeros(length, np.float32)
        at = 0
        for chunk in chunks:
            part = chunk[: length - at]
            self.pcm[at : at + len(part)] = part
            at += len(part)

    def _resampled(self) -> Iterator[NDArray[np.float32]]:
        resampler, shape = mono_resampler(PLAYBACK_HZ), None
        for frame in self.track.frames():
            if shape not in (None, (frame.sample_rate, frame.layout.name, frame.format.name)):
                yield from _samples(resampler, None)  # the track changes its form half-way
                resampler = mono_resampler(PLAYBACK_HZ)
            if shape is None:  # not the track's own start: that may count what the decoder takes off
                self.starts_s = frame.time
            shape = (frame.sample_rate, frame.layout.name, frame.format.name)
            self._length_48k += Fraction(frame.samples * PLAYBACK_HZ, frame.sample_rate)
            if self._length_48k > self._max_s * PLAYBACK_HZ:
                raise AudioError(
                    f"{self._path} is longer than {self._max_s:g} s, the most this reads: cut it in pieces"
                )
            yield from _samples(resampler, frame)
        if shape is not None:
            yield from _samples(resampler, None)

    def _cut_padding(self) -> None:
        """An mp4 says where the sound ends inside its last AAC frame; the decoder gives all of it."""
        stream = self.track.stream
        if self._is_mp4 and stream.duration and stream.time_base:
            promised = Fraction(stream.duration * stream.time_base) * PLAYBACK_HZ
            frame = Fraction((stream.codec_context.frame_size or 1024) * PLAYBACK_HZ, stream.codec_context.sample_rate)
            if 0 < self._length_48k - promised < frame:
                self._length_48k = promised

    def warn_of_losses(self) -> None:
        """Log what of the track could not be read."""
        track, stream = self.track, self.track.stream
        if track.damaged:
            log.warning("%s: %d of %d packets are damaged and were left out", self._path, track.damaged, track.packets)
        if stream.duration and stream.time_base:
            promised_s = float(stream.duration * stream.time_base)
            found_s = float(self._length_48k / PLAYBACK_HZ)
            if found_s < promised_s - max(1.0, 0.05 * promised_s):
                log.warning("%s: only %.1f s of the promised %.1f s could be read", self._path, found_s, promised_s)


def _samples(resampler: AudioResampler, frame: av.AudioFrame | None) -> Iterator[NDArray[np.float32]]:
    """What `frame` releases from the resampler, each (n,) float32; None lets go of the tail."""
    if frame is not None:
        frame.pts = None  # stamps with gaps must not make the resampler insert or drop samples
    for out in resampler.resample(frame):
        yield out.to_ndarray()[0]


def _to_16k(pcm_48k: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3 n,) at 48 kHz to (n,) at 16 kHz, without delay."""
    resampler = mono_resampler(ENGINE_HZ)
    pcm_16k = np.zeros(len(pcm_48k) // 3, np.float32)
    at = 0
    for start in range(0, len(pcm_48k) + _CHUNK_SAMPLES, _CHUNK_SAMPLES):
        frame = None
        if start < len(pcm_48k):
            block = pcm_48k[None, start : start + _CHUNK_SAMPLES]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="mono")
            frame.sample_rate = PLAYBACK_HZ
        for part in _samples(resampler, frame):
            part = part[: len(pcm_16k) - at]
            pcm_16k[at : at + len(part)] = part
            at += len(part)
        if frame is None:
            break
    return np.clip(pcm_16k, -1, 1, out=pcm_16k)
