"""What the level of a voice does to the lips: a quiet microphone must not mumble, and who shouts opens wider."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.metrics import closures, correlation
from s2v.training.evaluation.measures.motion_level import Speak, gap_weights

QUIET_DB = -30.0  # a laptop's microphone across a room
LOUDER_DB = 10.0  # a raised voice over the same one talking
NOISE_DB = -10.0  # white noise under the voice
_PEAK = 0.98


def level_figures(
    speak: Speak, pcm: NDArray[np.float32], film: NDArray[np.floating], spoken: NDArray[np.bool_], spec: LipSyncSpec
) -> dict[str, float]:
    """Of one clip (n,) float32: how far the lips move when it is quieter, when it grows louder, and in noise.

    Args: film: (n_frames,) opening in the film. spoken: (n_frames,) where somebody speaks.
    Returns: `quiet_spread` and `quiet_same`, deviation of the opening over that at the clip's own level, and their
    correlation; `louder`, opening while speaking when the voice is raised over that when it is not, both heard after
    the same voice at the lower level; `closures_noise`, as `closures`, with white noise.
    """
    gap = gap_weights(spec)
    normal = speak(pcm) @ gap
    quiet = speak(as_recorded(pcm * 10 ** (QUIET_DB / 20))) @ gap
    lowered = as_recorded(pcm * (_PEAK * 10 ** (-LOUDER_DB / 20) / max(1e-9, float(np.abs(pcm).max()))))
    raised = as_recorded(lowered * 10 ** (LOUDER_DB / 20))
    before = round(len(film) * spec.samples_per_frame)
    first = np.resize(lowered, before)
    same, louder = ((speak(np.concatenate([first, then])) @ gap)[len(film) :] for then in (lowered, raised))
    noise = np.random.default_rng(0).standard_normal(len(pcm)) * np.sqrt(np.mean(pcm**2)) * 10 ** (NOISE_DB / 20)
    noisy = speak(as_recorded(pcm + noise)) @ gap
    n = min(len(normal), len(film), len(same), len(spoken))
    spoken, film = spoken[:n], film[:n]
    opened = float(np.maximum(same[:n][spoken], 0).mean()) if spoken.any() else 0.0
    return {
        "quiet_spread": float(quiet.std() / max(1e-6, float(normal.std()))),
        "quiet_same": correlation(quiet, normal),
        "louder": float(np.maximum(louder[:n][spoken], 0).mean()) / opened if opened > 1e-6 else float("nan"),
        "closures_noise": closures(noisy[:n], film, spoken),
    }


def as_recorded(pcm: NDArray[np.floating]) -> NDArray[np.float32]:
    """As 16 bits keep it: what is quiet loses its finest steps, what is too loud is cut off."""
    return (np.round(pcm * 32768).clip(-32768, 32767) / 32768).astype(np.float32)
