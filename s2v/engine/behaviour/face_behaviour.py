"""What a face does besides its lips while it speaks, listens or is silent: a pose for each frame, from the sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.engine.behaviour.idle_motion import IdleMotion
from s2v.engine.behaviour.pose import FacePose
from s2v.spec import LipSyncSpec

Pcm = NDArray[np.float32]


class FaceBehaviour:
    """The poses of one face in one stream. Used by one thread; frames are asked for in order, each once.

    Args:
        seed: 0 to 2**63 - 1; the same seed and sound move the same, another seed differently.
        spec: whose frames and samples are meant.
    """

    def __init__(self, seed: int, spec: LipSyncSpec) -> None:
        self._idle = IdleMotion(seed, spec.fps)

    def hear(self, voice: Pcm, heard: Pcm | None = None) -> None:
        """Append sound, mono float32 in [-1, 1] at `spec.sample_rate_hz`.

        Args:
            voice: (n,) what the face says. heard: (n,) what is said to it; None: nobody speaks to it.
        """

    def pose(self, frame: int) -> FacePose:
        """What is to be seen in video frame `frame`, 0 or later; frame 0 is the photo at rest."""
        return self._idle.at(frame)
