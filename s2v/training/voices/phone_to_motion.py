"""The phone bridge: one talker's motion, taught to other voices.

Phones -> motion is learned where both are known (a talker on video, aligned with the transcript),
then every other aligned recording is given the motion that this talker would have made. Audio ->
motion is trained on both, so it hears many voices although it has seen one mouth.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from s2v.engine.audio.mfcc import mfcc_and_mean, start_column
from s2v.engine.face.articulation import articulation_tables
from s2v.errors import DataError
from s2v.spec import LipSyncSpec
from s2v.training.train.batches import Clip
from s2v.training.train.losses import MotionLoss
from s2v.training.train.validation import correlation, gap_weights
from s2v.training.voices.phones import N_FEATURES, STEP_S, Phone, phone_features

Motion = NDArray[np.float32]

_STRETCHES, _STRETCH_FRAMES = 24, 75  # what a step of training the bridge sees
_LIPS_MEET = {"P": 0.7, "B": 0.7, "M": 0.9}  # until which part of the phone the lips stay shut
_CLOSING_S = 0.06
_LIPS_PART = ("L", "R", "TH", "DH")  # a tongue at work is seen: nobody says these with closed lips
_APART = 0.035  # face units
_LOUDNESS_STEP = 2.0  # log energy: about 9 dB to one unit of the loudness feature


class BridgeNet(nn.Module):
    """Articulation and loudness at 100 Hz -> motion at 100 Hz, seeing about 0.3 s to either side."""

    def __init__(self, n_motion: int, width: int = 96) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = N_FEATURES + 1
        for dilation in (1, 2, 4, 4):
            layers += [nn.Conv1d(channels, width, 5, padding=2 * dilation, dilation=dilation), nn.LeakyReLU(0.1),
                       nn.Dropout(0.15)]  # fmt: skip
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv1d(width, n_motion, 9, padding=4))

    def forward(self, features: Tensor) -> Tensor:
        """(b, steps, N_FEATURES + 1) -> (b, steps, n_motion)."""
        motion: Tensor = self.layers(features.transpose(1, 2)).transpose(1, 2)
        return motion


def bridge_features(pcm: NDArray[np.float32], phones: list[Phone], spec: LipSyncSpec) -> NDArray[np.float32]:
    """Articulation and how loud each step is within its recording, (steps, N_FEATURES + 1) at 100 Hz."""
    n_steps = int(len(pcm) / spec.sample_rate_hz / STEP_S)
    articulation = phone_features(phones, n_steps)
    columns, _ = mfcc_and_mean(pcm, spec)
    energy = columns[-start_column(spec) :, 0]
    energy = np.pad(energy, (1, max(0, n_steps)), mode="edge")[:n_steps]
    spoken = articulation[:, 15] == 0
    level = np.median(energy[spoken]) if spoken.any() else energy.max()
    loudness = np.clip((energy - level) / _LOUDNESS_STEP, -2, 2) * spoken
    return np.concatenate([articulation, loudness[:, None]], axis=1).astype(np.float32)


def at_frames(n_steps: int, n_frames: int, spec: LipSyncSpec) -> NDArray[np.int64]:
    """The 100 Hz step under each frame's centre, (n_frames,)."""
    centres = np.array([spec.frame_centre(frame) for frame in range(n_frames)]) / spec.sample_rate_hz
    return np.minimum((centres / STEP_S).astype(np.int64), n_steps - 1)


def train_bridge(
    clips: Iterable[Clip], phones: dict[str, list[Phone]], spec: LipSyncSpec, steps: int = 1500, seed: int = 0
) -> BridgeNet:
    """Learn phones -> motion from clips whose phones are known.

    Args: clips: gone through once; their sound is not held.
    Raises: DataError, none of the clips is aligned.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    known = [(clip.motion, bridge_features(clip.pcm, phones[clip.name], spec)) for clip in clips if clip.name in phones]
    if not known:
        raise DataError("none of the talking clips is aligned: give their transcripts")
    motions, features = zip(*known, strict=True)
    n_frames = min(_STRETCH_FRAMES, *map(len, motions))
    at = at_frames(round(n_frames / spec.fps / STEP_S), n_frames, spec)
    rows = [np.pad(row, ((0, max(0, at[-1] + 1 - len(row))), (0, 0)), mode="edge") for row in features]
    network, wanted = BridgeNet(spec.n_motion), MotionLoss(spec)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    follows = torch.ones(_STRETCHES, n_frames, dtype=torch.bool)
    steps_per_frame = 1 / spec.fps / STEP_S
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 2e-3 * 0.5 * (1 + np.cos(np.pi * step / steps)) + 1e-5
        heard, target = [], []
        for index in rng.integers(len(known), size=_STRETCHES):
            motion, row = motions[index], rows[index]
            first = int(rng.integers(len(motion) - n_frames + 1))
            begin = min(round(first * steps_per_frame), len(row) - at[-1] - 1)
            heard.append(row[begin : begin + at[-1] + 1])
            target.append(motion[first : first + n_frames])
        prediction = network(torch.from_numpy(np.stack(heard)))[:, at]
        loss = wanted(prediction, torch.from_numpy(np.stack(target)), follows)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return network.eval()


def bridge_motion(network: BridgeNet, pcm: NDArray[np.float32], phones: list[Phone], spec: LipSyncSpec) -> Motion:
    """The motion that the bridge's talker would have made for a recording, (n_frames, n_motion)."""
    features = bridge_features(pcm, phones, spec)
    n_frames = int(len(features) * STEP_S * spec.fps)
    with torch.no_grad():
        steps = network(torch.from_numpy(features)[None])[0].numpy()
    return np.asarray(steps[at_frames(len(features), n_frames, spec)], np.float32)


def close_lips(motion: Motion, phones: list[Phone], spec: LipSyncSpec) -> Motion:
    """Motion (n_frames, n_motion) with the lips together wherever a p, b or m is spoken.

    A regression opens them a little even there, because its talker was sometimes late; a viewer sees that first.
    The lips are brought together by the least movement of the face that does it.
    """
    shut = _held({name: (0.1, until) for name, until in _LIPS_MEET.items()}, phones, len(motion), spec)
    opened = np.maximum(motion @ gap_weights(spec), 0) * shut
    return np.asarray(motion - opened[:, None] * articulation_tables(spec).closing, np.float32)


def part_lips(motion: Motion, phones: list[Phone], spec: LipSyncSpec) -> Motion:
    """Motion (n_frames, n_motion) with the lips apart at least a little in the middle of l, r and th.

    The bridge's talker says them beside p and b more often than people do, and with his lips nearly closed.
    """
    apart = _held(dict.fromkeys(_LIPS_PART, (0.4, 0.6)), phones, len(motion), spec)
    missing = np.maximum(_APART - motion @ gap_weights(spec), 0) * apart
    return np.asarray(motion + missing[:, None] * articulation_tables(spec).closing, np.float32)


def _held(parts: dict[str, tuple[float, float]], phones: list[Phone], n_frames: int, spec: LipSyncSpec) -> Motion:
    """(n_frames,): 1 within these parts of these phones, down to 0 within _CLOSING_S on either side."""
    centres_s = np.array([spec.frame_centre(frame) for frame in range(n_frames)]) / spec.sample_rate_hz
    held = np.zeros(n_frames)
    for phone in phones:
        if phone.name in parts:
            first_s, last_s = (phone.start_s + share * (phone.end_s - phone.start_s) for share in parts[phone.name])
            away_s = np.maximum(first_s - centres_s, centres_s - last_s)
            held = np.maximum(held, 0.5 + 0.5 * np.cos(np.pi * np.clip(away_s / _CLOSING_S, 0, 1)))
    return np.asarray(held, np.float32)


def bridge_correlation(
    network: BridgeNet, clips: Iterable[Clip], phones: dict[str, list[Phone]], spec: LipSyncSpec
) -> list[float]:
    """Median correlation of the first three components on aligned clips not trained on; [] if none is aligned."""
    rows = []
    for clip in clips:
        if clip.name in phones:
            prediction = bridge_motion(network, clip.pcm, phones[clip.name], spec)
            n = min(len(prediction), len(clip.motion))
            seen = np.isfinite(clip.motion[:n]).all(1)
            rows.append([correlation(prediction[:n, k][seen], clip.motion[:n, k][seen]) for k in range(3)])
    if not rows:
        return []
    medians: list[float] = np.median(np.array(rows), axis=0).round(3).tolist()
    return medians
