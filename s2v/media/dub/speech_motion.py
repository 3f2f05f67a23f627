"""What a whole recording says, as motion of the lips at any moment: the network heard it frame by frame, and a film
may have another rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.audio.effort import efforts
from s2v.engine.audio.windows import mfcc_windows
from s2v.engine.backends.base import Backend, Tensors
from s2v.spec import LipSyncSpec

_BATCH = 8


@dataclass(frozen=True)
class SpeechMotion:
    """Curves over the frames of the spec's rate."""

    spec: LipSyncSpec
    motion: NDArray[np.float32]  # (n, n_motion)
    tract: NDArray[np.float32]  # (n, 5)
    efforts: NDArray[np.float32]  # (n,) how far the lips go, times usual

    def at(self, time_s: float) -> tuple[Tensors, float]:
        """What a network puts out for a moment, a batch of one, and the effort then; before and after the recording
        as at its ends.

        Source: Catmull and Rom, "A class of local interpolating splines" (1974).
        """
        place = min(max(time_s * self.spec.fps - 0.5, 0.0), len(self.motion) - 1.0)
        first = int(place)
        t = place - first
        shares = np.array(
            [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], np.float32
        )
        rows = np.clip(np.arange(first - 1, first + 3), 0, len(self.motion) - 1)
        shares *= np.float32(0.5)
        motion, tract = (np.asarray(shares[None] @ curve[rows], np.float32) for curve in (self.motion, self.tract))
        return {"motion": motion, "tract": tract}, float(self.efforts[round(place)])


def speech_motion(pcm: NDArray[np.float32], backend: Backend, network_input: NDArray[np.float32]) -> SpeechMotion:
    """Hear all of a recording.

    Args:
        pcm: (n,) mono in [-1, 1] at the spec's rate. network_input: of `EnrolledFace`.
    Raises: what the backend raises.
    """
    spec: LipSyncSpec = backend.spec
    windows = mfcc_windows(pcm, spec)
    identity = {name: row.copy() for name, row in backend.encode_face(network_input).items()}
    motion, tract = [], []
    for start in range(0, len(windows), _BATCH):
        some = windows[start : start + _BATCH, None]
        rows = {name: np.broadcast_to(row, (len(some), *row.shape[1:])) for name, row in identity.items()}
        outputs = backend.infer(some, rows)
        motion.append(np.array(outputs["motion"], np.float32))
        tract.append(np.array(outputs["tract"], np.float32))
    return SpeechMotion(spec, np.concatenate(motion), np.concatenate(tract), efforts(pcm, spec))
