"""The newest audio samples of one session, addressed by their absolute index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from s2v.errors import AudioError, WindowLost, WindowNotReady

Samples = npt.NDArray[np.float32]


class AudioRing:
    """The newest `capacity` samples, kept twice so that any window is one contiguous view.

    Written and read by the session's engine thread only: no lock, no allocation per chunk.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise AudioError(f"a ring of {capacity} samples holds nothing: give it at least 1")
        self.capacity = capacity
        self.end = 0  # absolute index, one past the newest sample
        self._data = np.zeros(2 * capacity, np.float32)

    @property
    def oldest(self) -> int:
        """Absolute index of the oldest sample still kept."""
        return max(0, self.end - self.capacity)

    def write(self, pcm: Samples) -> None:
        """Append mono float32 in [-1, 1], shape (n,), n <= capacity.

        Raises: AudioError, the chunk is larger than the ring: write it in pieces.
        """
        if len(pcm) > self.capacity:
            found = f"a chunk of {len(pcm)} samples does not fit a ring of {self.capacity}"
            raise AudioError(f"{found}: write it in pieces")
        at = self.end % self.capacity
        head = min(len(pcm), self.capacity - at)
        for copy in (0, self.capacity):
            self._data[copy + at : copy + at + head] = pcm[:head]
            self._data[copy : copy + len(pcm) - head] = pcm[head:]
        self.end += len(pcm)

    def window(self, start: int, length: int) -> Samples:
        """Samples [start, start + length), shape (length,): a read-only view that the next write may change.

        Raises: WindowNotReady, not written yet: wait. WindowLost, overwritten or before sample 0: skip this frame.
        """
        if start + length > self.end:
            raise WindowNotReady(f"need samples up to {start + length}, have {self.end}: wait for more audio")
        if start < self.oldest:
            raise WindowLost(f"sample {start} is gone; the oldest kept is {self.oldest}: skip this frame")
        at = start % self.capacity
        view = self._data[at : at + length]
        view.flags.writeable = False
        return view
