"""Any file with a sound track, as the two signals the rest works on.

    clip = read_audio(Path("speech.mp3"))
    engine.push(clip.pcm_16k)        # what drives the face
    writer.write_audio(clip.pcm_48k)  # what the listener hears

The file's first decoded sample is time 0: containers' start offsets, codec delay and padding are
taken off by the decoder, so the two signals and the picture drawn from them share one origin.
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
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from s2v.errors import AudioError
from s2v.media.container import MediaFile, UnreadableError, opened
from s2v.media.samples import Levels, cleaned
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

    def __post_init__(self) -> None:
        assert len(self.pcm_48k) == 3 * len(self.pcm_16k), (len(self.pcm_48k), len(self.pcm_16k))

    @property
    def seconds(self) -> float:
        """Duration: at most 42 microseconds over the file's own, to end on a whole 16 kHz sample."""
        return len(self.pcm_16k) / ENGINE_HZ


def read_audio(path: Path, max_s: float = MAX_AUDIO_S) -> AudioClip:
    """Decode the best sound track of any audio or video file, mixed to mono.

    Duration is exact to the sample. Sound over full scale is turned down as a whole, but for spikes, which are cut off;
    NaN counts as silence. Damaged packets are left out. A warning is logged of what was cut off or left out.

    Raises: AudioError, no such file, no plain file, not a media file, no sound track, no decoder for it, nothing in it,
        mostly damaged, longer than `max_s`, or the disk does not answer.
    """
    try:
        pcm_48k = _decoded(path, max_s)
    except UnreadableError as error:
        raise AudioError(f"{path} {error}: give an audio or video file, for example wav, mp3, m4a or mp4") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"cannot read sound from {path} ({error}): convert it, for example to wav") from error
    peak = float(np.abs(pcm_48k).max())
    if peak > 1:
        pcm_48k /= peak
    return AudioClip(pcm_48k, _to_16k(pcm_48k))


def _decoded(path: Path, max_s: float) -> NDArray[np.float32]:
    """(n,) float32 at 48 kHz; a track with spikes is decoded twice: they must not reach the resampler's filter."""
    with opened(path) as media:
        first = _Decoding(path, media, max_s)
        pcm_48k = first.run()
    ceiling = first.levels.ceiling()
    if ceiling is None:
        return pcm_48k
    log.warning("%s: a few samples are far louder than all others and were cut off", path)
    with opened(path) as media:
        return _Decoding(path, media, max_s, ceiling).run()


class _Decoding:
    """One pass over a file: packets in, 48 kHz mono out, with the count of what was lost."""

    def __init__(self, path: Path, media: MediaFile, max_s: float, ceiling: float | None = None) -> None:
        stream: AudioStream | None = media.track("audio")
        if stream is None:
            raise AudioError(f"{path} has no sound track: give a file with speech in it")
        self.levels = Levels()
        self._path = path
        self._media = media
        self._max_s = max_s
        self._stream = stream
        self._ceiling = ceiling
        self._packets = 0
        self._damaged = 0
        self._length_48k = Fraction(0)  # exact, whatever the resampler's own rounding

    def run(self) -> NDArray[np.float32]:
        """All of the track, (n,) float32 at 48 kHz, n a multiple of 3.

        Raises: AudioError, nothing could be decoded, most is damaged, too long.
        """
        chunks = list(self._resampled())
        self._cut_padding()
        length = -(-self._length_48k // 3) * 3
        if length == 0 and self._damaged == 0:
            raise AudioError(f"the sound track of {self._path} is empty: give a file with speech in it")
        if length == 0 or 2 * self._damaged > self._packets:
            raise AudioError(
                f"{self._path} is damaged: {self._damaged} of {self._packets} packets of its sound, in codec "
                f"{self._stream.codec_context.name}, cannot be decoded: convert or record it again"
            )
        self._warn_of_losses()
        pcm = np.zeros(length, np.float32)
        at = 0
        for chunk in chunks:
            part = chunk[: length - at]
            pcm[at : at + len(part)] = part
            at += len(part)
        return pcm

    def _resampled(self) -> Iterator[NDArray[np.float32]]:
        resampler, shape = _resampler(PLAYBACK_HZ), None
        for frame in self._media.each(self._frames()):
            if shape not in (None, (frame.sample_rate, frame.layout.name, frame.format.name)):
                yield from _samples(resampler, None)  # the track changes its form half-way
                resampler = _resampler(PLAYBACK_HZ)
            shape = (frame.sample_rate, frame.layout.name, frame.format.name)
            self._length_48k += Fraction(frame.samples * PLAYBACK_HZ, frame.sample_rate)
            if self._length_48k > self._max_s * PLAYBACK_HZ:
                raise AudioError(
                    f"{self._path} is longer than {self._max_s:g} s, the most this reads: cut it in pieces"
                )
            yield from _samples(resampler, frame)
        if shape is not None:
            yield from _samples(resampler, None)

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Decoded frames, clean; a packet that cannot be decoded is counted and passed over."""
        packets = self._media.container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.ExitError:  # out of time
                raise
            except (av.error.FFmpegError, OSError):
                self._packets += 1
                self._damaged += 1
                return  # the container itself ends here
            self._packets += packet.size > 0
            try:
                frames = self._stream.decode(packet)
            except av.error.EOFError:
                continue
            except (av.error.FFmpegError, OSError, ValueError):
                self._damaged += packet.size > 0  # the last one is empty: it asks the decoder for what it still holds
                continue
            for frame in frames:
                if frame.samples > 0 and frame.sample_rate > 0:
                    yield cleaned(frame, self.levels, self._ceiling)

    def _cut_padding(self) -> None:
        """An mp4 says where the sound ends inside its last AAC frame; the decoder gives all of it."""
        stream = self._stream
        if "mp4" in self._media.container.format.name and stream.duration and stream.time_base:
            promised = Fraction(stream.duration * stream.time_base) * PLAYBACK_HZ
            frame = Fraction((stream.codec_context.frame_size or 1024) * PLAYBACK_HZ, stream.codec_context.sample_rate)
            if 0 < self._length_48k - promised < frame:
                self._length_48k = promised

    def _warn_of_losses(self) -> None:
        if self._damaged:
            log.warning("%s: %d of %d packets are damaged and were left out", self._path, self._damaged, self._packets)
        if self._stream.duration and self._stream.time_base:
            promised_s = float(self._stream.duration * self._stream.time_base)
            found_s = float(self._length_48k / PLAYBACK_HZ)
            if found_s < promised_s - max(1.0, 0.05 * promised_s):
                log.warning("%s: only %.1f s of the promised %.1f s could be read", self._path, found_s, promised_s)


def _resampler(rate_hz: int) -> AudioResampler:
    # rematrix_maxval: the mix to mono may not be louder than its loudest channel
    return AudioResampler(format="fltp", layout="mono", rate=rate_hz, options={"rematrix_maxval": "1.0"})


def _samples(resampler: AudioResampler, frame: av.AudioFrame | None) -> Iterator[NDArray[np.float32]]:
    """What `frame` releases from the resampler, each (n,) float32; None lets go of the tail."""
    if frame is not None:
        frame.pts = None  # stamps with gaps must not make the resampler insert or drop samples
    for out in resampler.resample(frame):
        yield out.to_ndarray()[0]


def _to_16k(pcm_48k: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3 n,) at 48 kHz to (n,) at 16 kHz, without delay."""
    resampler = _resampler(ENGINE_HZ)
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
