"""Does the motion follow the voice? Figures and probes on clips that training did not see."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from s2v.engine.geometry import LOWER_INNER_LIP, UPPER_INNER_LIP
from s2v.engine.motion import MotionBasis
from s2v.engine.windows import mfcc_windows
from s2v.spec import LipSyncSpec
from s2v.training.data import Clip, windows_of
from s2v.training.model import MotionMouth

_MAX_OFFSET_FRAMES = 8


@dataclass(frozen=True)
class SyncReport:
    """Medians over clips; offsets in frames, positive where the video lags the voice."""

    clips: int
    first_component: float  # correlation, said against true
    second_component: float
    aperture: float
    shuffled: float  # first component with another clip's voice: near 0 if the net listens
    offset_frames: float
    silence_motion: float  # RMS of the first component's frame-to-frame step in digital silence

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def gap_weights(spec: LipSyncSpec) -> NDArray[np.float64]:
    """(n_motion,) opening at the middle of the lips, in face units, per unit of each coefficient."""
    moves = MotionBasis.load(spec.motion_basis).displacement(np.array([UPPER_INNER_LIP[5], LOWER_INNER_LIP[5]]))
    opening: NDArray[np.float64] = (moves[:, 1, 1] - moves[:, 0, 1])[: spec.n_motion]
    return opening


def predicted_motion(network: MotionMouth, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Windows (n, 1, n_cepstra, n_columns) -> motion (n, n_motion)."""
    device = next(network.parameters()).device
    with torch.no_grad():
        said = network.frame_decoder.motion_net(torch.from_numpy(windows).to(device))
    return np.asarray(said.cpu().numpy(), np.float32)


def sync_report(network: MotionMouth, clips: list[Clip]) -> SyncReport:
    """Run every clip through the network (in eval mode)."""
    network.eval()
    gap = gap_weights(network.spec)
    said = [predicted_motion(network, windows_of(clip, network.spec)) for clip in clips]
    rows = []
    for index, clip in enumerate(clips):
        other = said[(index + 1) % len(clips)]
        n = min(len(other), len(clip.motion))
        rows.append(
            (
                correlation(said[index][:, 0], clip.motion[:, 0]),
                correlation(said[index][:, 1], clip.motion[:, 1]),
                correlation(said[index] @ gap, clip.aperture),
                correlation(other[:n, 0], clip.motion[:n, 0]),
                best_offset(said[index][:, 0], clip.motion[:, 0]),
            )
        )
    first, second, aperture, shuffled, offset = np.median(np.array(rows), axis=0)
    silent = predicted_motion(network, mfcc_windows(np.zeros(48_000, np.float32), network.spec)[:, None])
    still = float(np.sqrt(np.mean(np.diff(silent[25:, 0]) ** 2)))
    return SyncReport(len(clips), float(first), float(second), float(aperture), float(shuffled), float(offset), still)


def correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Pearson's; 0 where one of them does not move."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 1e-12 else 0.0


def best_offset(said: NDArray[np.floating], true: NDArray[np.floating]) -> int:
    """Frames by which `said` must be pulled forward to fit `true` best."""
    reach = range(-_MAX_OFFSET_FRAMES, _MAX_OFFSET_FRAMES + 1)

    def at(shift: int) -> float:
        a = said[max(0, shift) : len(said) + min(0, shift)]
        b = true[max(0, -shift) : len(true) + min(0, -shift)]
        return correlation(a, b)

    return max(reach, key=at)
