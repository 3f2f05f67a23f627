"""Small media files for tests, made by PyAV on the spot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def chirp(seconds: float, rate_hz: int, level: float = 0.5) -> NDArray[np.float32]:
    """300 to 3000 Hz, never the same twice, so that any shift shows; (n,) float32."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * (300 * time_s + 0.5 * (2700 / max(seconds, 1e-9)) * time_s**2)
    return (level * np.sin(phase)).astype(np.float32)


def write_sound(path: Path, pcm: NDArray[np.float32], rate_hz: int, codec: str = "pcm_s16le", **options: str) -> Path:
    """Encode (n,) or (channels, n) float samples; the container follows from the suffix."""
    planes = np.atleast_2d(pcm)
    layout = LAYOUTS[len(planes)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout, options=options)
        assert isinstance(stream, av.AudioStream)
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate_hz)
        for start in range(0, planes.shape[1], 4096):
            block = np.ascontiguousarray(planes[:, start : start + 4096], np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        for converted in resampler.resample(None):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def shift_samples(heard: NDArray[np.float32], meant: NDArray[np.float32], most: int = 3000) -> int:
    """By how many samples `heard` is late against `meant`, -most..most, where they agree best."""
    length = min(len(heard), len(meant))
    size = 1 << (2 * length - 1).bit_length()
    product = np.fft.rfft(heard[:length], size) * np.conj(np.fft.rfft(meant[:length], size))
    likeness = np.fft.irfft(product, size)
    around = np.concatenate([likeness[-most:], likeness[: most + 1]])
    return int(np.argmax(around)) - most
