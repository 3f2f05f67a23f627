"""Labels of the phone bridge, corrected until each class of phones has the shape that people give it.

The bridge speaks as its one talker does, who hardly rounds his lips, and as a regression does: half-heartedly. Each
class of phones gets an offset of width and of opening, blended with its neighbours', fitted until the classes' means
over all recordings are what `LIP_AIMS` ask for; the face is moved no more than that takes. Then the motion is
stretched about its own slow mean, because a regression's is too smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2v.engine.face.motion_basis import MotionBasis
from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.motion_level import gap_weights, width_weights
from s2v.training.voices.articulation import (
    LIP_AIMS,
    OPENING_DECAY_S,
    WIDTH_DECAY_S,
    Aim,
    class_of,
    dominance,
    frame_times_s,
    lip_aims,
)
from s2v.training.voices.phones import SILENCE, Phone

Motion = NDArray[np.float32]
Float64 = NDArray[np.float64]

SHARPER = 1.5  # times as far from the slow mean
SLOW_FRAMES = 1.5  # standard deviation of the Gaussian that gives it: what is quicker than syllables is stretched most
_ROUNDS = 6
_FITTED_CLIPS = 400  # enough for means; spread over all
_MIN_PHONES = 8  # a class met less often keeps what the bridge says
_LONGEST_S = 0.5  # a longer "phone" is misaligned
_MOST = 0.12  # face units: no offset is larger
_SILENCE_AIM = Aim(0.0, 0.5)
_OTHER_AIM = Aim(0.0, 0.2)


@dataclass(frozen=True)
class Offsets:
    """Of each class, in face units."""

    width: dict[str, float]
    opening: dict[str, float]


def least_change(spec: LipSyncSpec) -> Float64:
    """(2, n_motion): the smallest movement of the face that widens the mouth by one unit, and that opens it by one."""
    asked = np.stack([width_weights(spec), gap_weights(spec)])
    size = (MotionBasis.load(spec.motion_basis).components ** 2).sum((1, 2))[: spec.n_motion]
    change: Float64 = np.linalg.solve(asked / size @ asked.T, asked / size)
    return change


def fit_offsets(clips: Sequence[tuple[Motion, list[Phone]]], spec: LipSyncSpec) -> Offsets:
    """Offsets that bring the classes' means, at the phones' middles, to `LIP_AIMS`, when `shaped` has used them."""
    clips = clips[:: max(1, len(clips) // _FITTED_CLIPS)]
    # Of the labels as they were: against a median that moves along, all offsets could drift together.
    usual = [float(np.median(motion @ width_weights(spec))) for motion, _ in clips]
    names = sorted({class_of(phone) for phone in LIP_AIMS})
    offsets = Offsets(dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0))
    for _ in range(_ROUNDS):
        found = class_means([(shaped(motion, phones, offsets, spec), phones) for motion, phones in clips], usual, spec)
        for name, (width, opening) in found.items():
            aims = LIP_AIMS[name]
            for part, missing in (
                (offsets.width, aims.width.value / 100 - width),
                (offsets.opening, aims.opening.value / 100 - opening),
            ):
                part[name] = float(np.clip(part[name] + missing, -_MOST, _MOST))
    return offsets


def class_means(
    clips: Sequence[tuple[Motion, list[Phone]]], usual: Sequence[float], spec: LipSyncSpec
) -> dict[str, tuple[float, float]]:
    """Mean width over each clip's usual one and mean opening at the aims' middles, face units, of classes met often."""
    wide, gap = width_weights(spec), gap_weights(spec)
    met: dict[str, list[tuple[float, float]]] = {}
    for (motion, phones), usual_width in zip(clips, usual, strict=True):
        width, opening = motion @ wide - usual_width, motion @ gap
        for phone in phones:
            aims = lip_aims(phone.name)
            if aims and phone.end_s - phone.start_s <= _LONGEST_S:
                aim = aims.width
                middle_s = phone.start_s + (phone.end_s - phone.start_s) * (aim.begins + aim.ends) / 2
                frame = int(middle_s * spec.fps)
                if frame < len(motion):
                    met.setdefault(class_of(phone.name), []).append((float(width[frame]), float(opening[frame])))
    means = {name: np.mean(rows, axis=0) for name, rows in met.items() if len(rows) >= _MIN_PHONES}
    return {name: (float(mean[0]), float(mean[1])) for name, mean in means.items()}


def shaped(motion: Motion, phones: list[Phone], offsets: Offsets, spec: LipSyncSpec) -> Motion:
    """Motion (n, n_motion) with the offsets of its phones, none of which presses lips past shut; then `sharpened`."""
    times_s = frame_times_s(len(motion), spec)
    opening = motion @ gap_weights(spec)
    width_added = _blended(times_s, phones, [_offset(p, offsets.width, "width") for p in phones], WIDTH_DECAY_S)
    aims = [_offset(phone, offsets.opening, "opening") for phone in phones]
    opening_added = _blended(times_s, phones, aims, OPENING_DECAY_S)
    drawn, values = dominance(times_s, phones, [[_fixed_aim(phone)] for phone in phones], OPENING_DECAY_S)
    total = np.maximum(1.0, drawn.sum(1))
    opening_added += (drawn * (values - opening[:, None])).sum(1) / total
    opening_added = np.maximum(opening_added, np.minimum(0.0, -opening))
    return sharpened(motion + np.stack([width_added, opening_added], axis=1) @ least_change(spec))


def sharpened(motion: NDArray[np.floating]) -> Motion:
    """Motion (n, n_motion) stretched about its slow mean."""
    reach = int(4 * SLOW_FRAMES)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SLOW_FRAMES) ** 2)
    weight = np.convolve(np.ones(len(motion)), kernel)[reach : reach + len(motion)]
    slow = np.stack([np.convolve(c, kernel)[reach : reach + len(motion)] / weight for c in motion.T], axis=1)
    return np.asarray(slow + SHARPER * (motion - slow), np.float32)


def _offset(phone: Phone, offsets: dict[str, float], which: str) -> list[Aim]:
    aims = lip_aims(phone.name)
    if aims is None:
        return [_SILENCE_AIM if phone.name == SILENCE else _OTHER_AIM]
    aim = aims.width if which == "width" else aims.opening
    return [Aim(offsets[class_of(phone.name)], aim.insists, aim.begins, aim.ends)]


def _fixed_aim(phone: Phone) -> Aim:
    aims = lip_aims(phone.name)
    if aims is None:
        return Aim(0.0, 0.0)
    return Aim(aims.opening.value / 100, aims.fixed, aims.opening.begins, aims.opening.ends)


def _blended(times_s: Float64, phones: list[Phone], aims: list[list[Aim]], decay_s: float) -> Float64:
    weight, values = dominance(times_s, phones, aims, decay_s)
    # Within an aim that fully insists the sum is 1 or more; far from all of them nothing is added.
    blended: Float64 = (weight @ values) / np.maximum(1.0, weight.sum(1))
    return blended
