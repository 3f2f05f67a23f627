"""Decoded sound made fit for use: every value a number, no spikes, no more channels than can be mixed."""

from __future__ import annotations

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from s2v.media.planes import channels, planes

SPIKE = 2.0  # so many times louder than nearly all of the rest, and than full scale
_SPIKES_S, _SPIKES_SHARE, _MOST_SPIKES = 0.001, 1e-4, 4096  # no more of them: then it is simply loud
_LOUDEST = 1e10  # whole numbers of 32 bits, written as floats, are below it: what is above is no sound
_MOST_MIXED = 8  # channels that libswresample knows places for
_CANCELLED = 0.03  # of a channel's power is left in the mix: -15 dB; two unlike channels leave a half


class Levels:
    """The loudest samples of a track, to tell a few spikes from a track that is too loud altogether."""

    def __init__(self) -> None:
        self._over = np.zeros(0, np.float32)  # magnitudes over full scale, the loudest of them
        self._heard = 0.0
        self._rate_hz = 0

    def hear(self, samples: NDArray[np.floating], rate_hz: int) -> None:
        """Take in more of the track, all channels alike."""
        self._heard += len(samples)
        self._rate_hz = rate_hz
        if len(samples) and max(float(samples.max()), -float(samples.min())) > 1:
            loud = np.abs(samples)
            over = np.concatenate([self._over, loud[loud > 1].astype(np.float32)])
            surplus = len(over) - _MOST_SPIKES - 1
            self._over = np.partition(over, surplus)[surplus:] if surplus > 0 else over

    def ceiling(self) -> float | None:
        """At which to cut the track, 1 or more; None if it has no spikes."""
        spikes = min(_MOST_SPIKES, int(_SPIKES_S * self._rate_hz + _SPIKES_SHARE * self._heard))
        over = np.sort(self._over)[::-1]
        ordinary = float(over[spikes]) if len(over) > spikes else 1.0
        return ordinary if len(over) and over[0] > SPIKE * ordinary else None


class Channels:
    """Of a stereo track: how much of it is left when its channels are mixed."""

    def __init__(self) -> None:
        self._power = np.zeros(2)  # summed squares of each channel
        self._mixed = 0.0  # and of their mean

    def hear(self, frame: av.AudioFrame) -> None:
        """Take in more of the track."""
        if frame.layout.nb_channels == 2:
            both = _channels(frame)
            self._power += (both**2).sum(1)
            self._mixed += float((both.mean(0) ** 2).sum())

    def instead_of_mix(self) -> int | None:
        """The louder channel, 0 or 1, where the two cancel each other out; None where they can be mixed."""
        if self._mixed < _CANCELLED * float(self._power.mean()):
            return int(self._power.argmax())
        return None


def one_channel(frame: av.AudioFrame, channel: int) -> av.AudioFrame:
    """One channel as a mono frame; a frame that has no such channel stays as it is."""
    return _mono(frame, _channels(frame)[channel]) if frame.layout.nb_channels > channel else frame


def mono_resampler(rate_hz: int) -> AudioResampler:
    """To mono float32 at a rate; the mix is no louder than its loudest channel."""
    return AudioResampler(format="fltp", layout="mono", rate=rate_hz, options={"rematrix_maxval": "1.0"})


def turned_down(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sound, (n,), over full scale is turned down as a whole, in its own memory."""
    peak = max(float(pcm.max()), -float(pcm.min())) if len(pcm) else 0.0
    if peak > 1:
        pcm /= peak
    return pcm


def cleaned(frame: av.AudioFrame, levels: Levels | None = None, ceiling: float | None = None) -> av.AudioFrame:
    """The frame with NaN and infinities as silence and, beyond `ceiling`, cut off; of many channels their mean.

    Integer formats hold no such values. Changes the frame's own memory.
    """
    floating = frame.format.name.startswith(("flt", "dbl"))
    for samples in planes(frame) if floating else ():
        samples[~(np.abs(samples) <= _LOUDEST)] = 0  # NaN is not, either
    if len(frame.layout.channels) > _MOST_MIXED or frame.layout.name.startswith("ambisonic"):
        frame = _mean(frame)
    if floating:
        for samples in planes(frame):
            if levels is not None:
                levels.hear(samples, frame.sample_rate)
            if ceiling is not None:
                np.clip(samples, -ceiling, ceiling, out=samples)
    return frame


def _mean(frame: av.AudioFrame) -> av.AudioFrame:
    """The mean of all channels as a mono frame."""
    return _mono(frame, _channels(frame).mean(axis=0))


def _channels(frame: av.AudioFrame) -> NDArray[np.float64]:
    """(n_channels, n); full scale is 1."""
    values = channels(frame)
    samples = values.astype(np.float64)
    if values.dtype == np.uint8:
        return (samples - 128) / 128
    return samples / 2.0 ** (8 * values.itemsize - 1) if np.issubdtype(values.dtype, np.integer) else samples


def _mono(frame: av.AudioFrame, samples: NDArray[np.float64]) -> av.AudioFrame:
    """A frame of the same moment with these samples (n,)."""
    with np.errstate(over="ignore"):  # becomes infinity, and so silence
        mono = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
    mono.sample_rate, mono.pts = frame.sample_rate, frame.pts
    if frame.time_base is not None:
        mono.time_base = frame.time_base
    return mono
