"""What training asks of its own network: figures after every epoch, probes at the end.

`s2v evaluate` (see `s2v.training.evaluation`) goes further: it draws, and looks at what was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from s2v.engine.audio.windows import mfcc_windows
from s2v.training.evaluation.metrics import best_offset, correlation
from s2v.training.evaluation.motion_level import gap_weights
from s2v.training.evaluation.non_speech import bundled_voice, other_voice
from s2v.training.evaluation.probes import Probe, motion_probes, pixel_probes
from s2v.training.networks.model import MotionTract, Speech2Vid, TalkingNet
from s2v.training.train.batches import Clip, windows_of
from s2v.training.train.picture_batches import Pictures, face_input, picture_batch

__all__ = ["SyncReport", "best_offset", "correlation", "gap_weights", "predicted_motion", "run_probes", "sync_report"]

_PROBE_CLIPS = 40  # of each set: enough for a median
_PROBE_PICTURES = 64


@dataclass(frozen=True)
class SyncReport:
    """Medians over clips; offsets in frames, positive where the video lags the voice."""

    clips: int
    first_component: float  # correlation, prediction against target
    second_component: float
    aperture: float
    shuffled: float  # first component with another clip's voice: near 0 if the net listens
    offset_frames: float
    silence_motion: float  # RMS of the first component's frame-to-frame step in digital silence

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def predicted_motion(network: MotionTract, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Windows (n, 1, n_cepstra, n_columns) -> motion (n, n_motion)."""
    device = next(network.parameters()).device
    with torch.no_grad():
        prediction, _ = network.frame_decoder(torch.from_numpy(windows).to(device))
    return np.asarray(prediction.cpu().numpy(), np.float32)


def sync_report(network: MotionTract, clips: list[Clip]) -> SyncReport:
    """Run every clip through the network (in eval mode)."""
    network.eval()
    gap = gap_weights(network.spec)
    predictions = [predicted_motion(network, windows_of(clip, network.spec)) for clip in clips]
    rows = []
    for index, clip in enumerate(clips):
        other = predictions[(index + 1) % len(clips)]
        n = min(len(other), len(clip.motion))
        rows.append(
            (
                correlation(predictions[index][:, 0], clip.motion[:, 0]),
                correlation(predictions[index][:, 1], clip.motion[:, 1]),
                correlation(predictions[index] @ gap, clip.aperture),
                correlation(other[:n, 0], clip.motion[:n, 0]),
                best_offset(predictions[index][:, 0], clip.motion[:, 0]),
            )
        )
    first, second, aperture, shuffled, offset = np.median(np.array(rows), axis=0)
    silent = predicted_motion(network, mfcc_windows(np.zeros(48_000, np.float32), network.spec)[:, None])
    still = float(np.sqrt(np.mean(np.diff(silent[25:, 0]) ** 2)))
    return SyncReport(len(clips), float(first), float(second), float(aperture), float(shuffled), float(offset), still)


def run_probes(network: TalkingNet, sets: Mapping[str, Sequence[Clip]], pictures: Pictures) -> list[Probe]:
    """The probes of `evaluation.probes` that need no drawing; the network is put into eval mode.

    Args:
        sets: clips kept back from training; empty sets are passed over.
        pictures: of those clips; only a network that says pixels needs them.
    Returns: nothing where nothing was kept back.
    """
    network.eval()
    known = {name: _spread(clips) for name, clips in sets.items() if clips}
    if isinstance(network, MotionTract):

        def speak(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
            return predicted_motion(network, mfcc_windows(pcm, network.spec)[:, None])

        return motion_probes(speak, known, network.spec, bundled_voice()) if known else []
    assert isinstance(network, Speech2Vid)
    clips = {clip.name: clip for members in sets.values() for clip in members}
    spoken = np.array([i for i, (name, _) in enumerate(pictures.where) if name in clips], np.int64)
    if not len(spoken):
        return []
    chosen = spoken[np.linspace(0, len(spoken) - 1, min(_PROBE_PICTURES, len(spoken))).round().astype(int)]
    own, other = _windows_of_pictures(network, clips, [pictures.where[i] for i in chosen])
    batch = picture_batch(pictures, chosen, None)
    face = face_input(batch["target"], batch["reference"])
    return pixel_probes(_pixels(network, own, face), _pixels(network, other, face), batch["target"].numpy())


def _windows_of_pictures(
    network: Speech2Vid, clips: Mapping[str, Clip], where: Sequence[tuple[str, int]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The window of each picture's own sound, and one of the bundled voice instead, (n, 1, n_cepstra, n_columns)."""
    voice = bundled_voice()
    own: list[NDArray[np.float32]] = []
    other: list[NDArray[np.float32]] = []
    for index, (name, frame) in enumerate(where):
        pcm = clips[name].pcm
        stranger = other_voice(len(pcm), index / len(where), voice)
        for sound, windows in ((pcm, own), (stranger, other)):
            of_sound = mfcc_windows(sound, network.spec)
            windows.append(of_sound[min(frame, len(of_sound) - 1)])
    return np.stack(own)[:, None], np.stack(other)[:, None]


def _pixels(network: Speech2Vid, windows: NDArray[np.float32], face: torch.Tensor) -> NDArray[np.float32]:
    """(n, 3, face_px, face_px) in [0, 1]."""
    device = next(network.parameters()).device
    drawn = []
    with torch.no_grad():
        for first in range(0, len(windows), 8):
            part = slice(first, first + 8)
            pixels = network(torch.from_numpy(windows[part]).to(device), face[part].to(device))
            drawn.append(pixels.cpu().numpy())
    return np.concatenate(drawn)


def _spread(clips: Sequence[Clip]) -> list[Clip]:
    picks = np.linspace(0, len(clips) - 1, min(_PROBE_CLIPS, len(clips))).round().astype(int)
    return [clips[i] for i in picks]
