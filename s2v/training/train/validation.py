"""What training asks of its own network: figures after every epoch, probes at the end.

`s2v evaluate` (see `s2v.training.evaluation`) goes further: it draws, and looks at what was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from s2v.engine.audio.windows import mfcc_windows
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.metrics import (
    DRAWN_CLOSED,
    FILM_CLOSED,
    best_offset,
    closures,
    correlation,
    offset_sweep,
    pauses,
    runs,
)
from s2v.training.evaluation.measures.motion_level import as_spoken, gap_weights, motion_lip_speed, width_weights
from s2v.training.evaluation.measures.non_speech import bundled_voice, other_voice
from s2v.training.evaluation.measures.probes import Probe, motion_probes, pixel_probes
from s2v.training.evenly import evenly
from s2v.training.networks.model import MotionTract, Speech2Vid, TalkingNet
from s2v.training.train.batches import Clip, windows_of
from s2v.training.train.picture_batches import Pictures, face_input, picture_batch

__all__ = ["SyncReport", "best_offset", "correlation", "gap_weights", "predicted_motion", "run_probes", "sync_report"]

_PROBE_CLIPS = 40  # of each set: enough for a median
_PROBE_PICTURES = 64


@dataclass(frozen=True)
class SyncReport:
    """Medians over clips, but for means where told; offsets in frames, positive where the video lags the voice."""

    clips: int
    first_component: float  # correlation, prediction against target
    second_component: float
    aperture: float
    aperture_best: float  # at each clip's best offset: footage may be out of step with its sound
    width: float
    shuffled: float  # first component with another clip's voice: near 0 if the net listens
    offset_frames: float
    silence_motion: float  # RMS of the first component's frame-to-frame step in digital silence
    aperture_sd: float  # deviation over the film's
    width_sd: float
    speed: float  # of the lips while somebody speaks, over the film's
    closed: float  # share of the film's closed frames, while somebody speaks, in which ours are closed too; mean
    shut: float  # closed frames while somebody speaks, ours less the film's, of all; mean

    @property
    def score(self) -> float:
        """What the best checkpoint is chosen by: in step, closed when the film is, and as lively as the film.

        A mouth that moves half or twice as far, or as fast, loses as much as 0.17 of correlation, each; one that is
        closed in a tenth more of the frames than the film is loses 0.05.
        """
        lively = sum(abs(float(np.log(max(ratio, 0.05)))) for ratio in (self.aperture_sd, self.width_sd, self.speed))
        in_step = self.aperture_best + 0.5 * self.width + 0.5 * self.closed
        return in_step - 0.25 * lively - 0.5 * abs(self.shut)

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def predicted_motion(network: MotionTract, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Windows (n, 1, n_cepstra, n_columns) -> motion (n, n_motion)."""
    device = next(network.parameters()).device
    with torch.no_grad():
        prediction, _ = network.frame_decoder(torch.from_numpy(windows).to(device))
    return np.asarray(prediction.cpu().numpy(), np.float32)


def sync_report(network: MotionTract, clips: Sequence[Clip]) -> SyncReport:
    """Run every clip through the network (in eval mode)."""
    network.eval()
    clips = [without_gaps(clip) for clip in clips]
    gap, wide = gap_weights(network.spec), width_weights(network.spec)
    predictions = [
        as_spoken(predicted_motion(network, windows_of(clip, network.spec)), clip.pcm, network.spec) for clip in clips
    ]
    rows = []
    for index, clip in enumerate(clips):
        other = predictions[(index + 1) % len(clips)]
        n = min(len(other), len(clip.motion))
        own, film = predictions[index], clip.motion[: len(predictions[index])]
        opened, spoken = own @ gap, ~pauses(clip.pcm, len(own), network.spec)
        shut = (opened < DRAWN_CLOSED)[spoken], (clip.aperture[: len(own)] < FILM_CLOSED)[spoken]
        rows.append(
            {
                "first_component": correlation(own[:, 0], film[:, 0]),
                "second_component": correlation(own[:, 1], film[:, 1]),
                "aperture": correlation(opened, clip.aperture[: len(own)]),
                "aperture_best": float(offset_sweep(opened, clip.aperture[: len(own)]).max()),
                "width": correlation(own @ wide, film @ wide),
                "shuffled": correlation(other[:n, 0], clip.motion[:n, 0]),
                "offset_frames": float(best_offset(own[:, 0], film[:, 0])),
                "aperture_sd": _ratio(float(opened.std()), float(clip.aperture[: len(own)].std())),
                "width_sd": _ratio(float((own @ wide).std()), float((film @ wide).std())),
                "speed": _ratio(_lip_speed(own, spoken, network.spec), _lip_speed(film, spoken, network.spec)),
                "closed": closures(opened, clip.aperture[: len(own)], spoken),
                "shut": float(shut[0].mean() - shut[1].mean()) if spoken.any() else 0.0,
            }
        )
    figures = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
    closed = [row["closed"] for row in rows if np.isfinite(row["closed"])]  # NaN: the film never closes
    figures |= {"closed": float(np.mean(closed or [0.0])), "shut": float(np.mean([row["shut"] for row in rows]))}
    silent = predicted_motion(network, mfcc_windows(np.zeros(48_000, np.float32), network.spec)[:, None])
    still = float(np.sqrt(np.mean(np.diff(silent[25:, 0]) ** 2)))
    return SyncReport(clips=len(clips), silence_motion=still, **figures)


def without_gaps(clip: Clip) -> Clip:
    """The clip with the motion that nobody knows drawn through in straight lines, so that figures are numbers."""
    known = np.isfinite(clip.aperture) & np.isfinite(clip.motion).all(1)
    if known.all() or not known.any():
        return clip
    frames = np.arange(len(known))
    motion = [np.interp(frames, frames[known], values[known]) for values in clip.motion.T]
    aperture = np.interp(frames, frames[known], clip.aperture[known])
    return replace(clip, motion=np.stack(motion, 1).astype(np.float32), aperture=aperture.astype(np.float32))


def _ratio(ours: float, film: float) -> float:
    return ours / max(film, 1e-6)


def _lip_speed(motion: NDArray[np.float32], spoken: NDArray[np.bool_], spec: LipSyncSpec) -> float:
    """RMS speed of the lips in the frames where somebody speaks, face units a second; 0 if nobody does."""
    parts = [motion[first:last] for first, last in runs(spoken) if last - first > 1]
    weights = [len(part) - 1 for part in parts]
    squares = [motion_lip_speed(part, spec) ** 2 for part in parts]
    return float(np.sqrt(np.average(squares, weights=weights))) if parts else 0.0


def run_probes(network: TalkingNet, sets: Mapping[str, Sequence[Clip]], pictures: Pictures) -> list[Probe]:
    """The probes of `evaluation.measures.probes` that need no drawing; the network is put into eval mode.

    Args:
        sets: clips kept back from training; empty sets are passed over.
        pictures: of those clips; only a network that says pixels needs them.
    Returns: nothing where nothing was kept back.
    """
    network.eval()
    known = {
        name: [without_gaps(clip) for clip in evenly(clips, _PROBE_CLIPS)] for name, clips in sets.items() if clips
    }
    if isinstance(network, MotionTract):

        def speak(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
            return as_spoken(predicted_motion(network, mfcc_windows(pcm, network.spec)[:, None]), pcm, network.spec)

        return motion_probes(speak, known, network.spec, bundled_voice()) if known else []
    assert isinstance(network, Speech2Vid)
    clips = {clip.name: clip for members in sets.values() for clip in members}
    spoken = [i for i, (name, _) in enumerate(pictures.where) if name in clips]
    if not spoken:
        return []
    chosen = np.array(evenly(spoken, _PROBE_PICTURES))
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
