"""Sound on its way from who hands it over to who takes it in, in pieces of other sizes."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.float32]
Pair = tuple[Pcm, Pcm | None]


class SoundQueue:
    """Two voices side by side; what is taken before it was put counts as silence, and is not taken again."""

    def __init__(self) -> None:
        self._chunks: deque[Pair] = deque()
        self._owed = 0  # samples taken before they came

    def put(self, voice: Pcm, heard: Pcm | None) -> None:
        """Append a copy of (n,) samples of each voice; None: silence.

        Raises: ValueError, two lengths.
        """
        if heard is not None and len(heard) != len(voice):
            raise ValueError(f"{len(voice)} samples of the voice, {len(heard)} of what is heard: wanted as many")
        late = min(self._owed, len(voice))
        self._owed -= late
        if late < len(voice):
            self._chunks.append((voice[late:].copy(), None if heard is None else heard[late:].copy()))

    def take(self, n: int) -> Pair:
        """The next n samples of both; the second is None if nothing of it was put."""
        voice, heard = np.zeros(n, np.float32), None
        at = 0
        while at < n and self._chunks:
            own, other = self._chunks.popleft()
            size = min(n - at, len(own))
            voice[at : at + size] = own[:size]
            if other is not None:
                heard = np.zeros(n, np.float32) if heard is None else heard
                heard[at : at + size] = other[:size]
            if size < len(own):
                self._chunks.appendleft((own[size:], None if other is None else other[size:]))
            at += size
        self._owed += n - at
        return voice, heard
