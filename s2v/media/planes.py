"""The samples of an audio frame, however many channels it has.

PyAV counts the planes of a frame up to the first pointer that is null, and of eight planes or more none need be: it
then hands out memory that is not the frame's, which ends the process.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.audio.plane import AudioPlane
from numpy.typing import NDArray

_KINDS = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


def planes(frame: av.AudioFrame) -> list[NDArray[Any]]:
    """The frame's own memory: (samples,) of each channel of a planar frame, else one (samples * channels,).

    Raises: ValueError, samples of a format that holds no numbers.
    """
    kind = _KINDS.get(frame.format.name.removesuffix("p"))
    if kind is None:
        raise ValueError(f"no samples can be read of format {frame.format.name}")
    count, length = (1, frame.samples * frame.layout.nb_channels)
    if frame.format.is_planar:
        count, length = frame.layout.nb_channels, frame.samples
    return [np.frombuffer(memoryview(AudioPlane(frame, index)), kind, length) for index in range(count)]


def channels(frame: av.AudioFrame) -> NDArray[Any]:
    """A copy of the frame's samples, (channels, samples). Raises: as `planes`."""
    found = planes(frame)
    if frame.format.is_planar:
        return np.stack(found)
    return np.ascontiguousarray(found[0].reshape(frame.samples, -1).T)
