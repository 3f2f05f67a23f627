"""Questions that every network must answer rightly, with the thresholds in one place.

A network whose lips fit no better with their own voice than with another does not listen, whatever its loss says.
Curves are openings of the lips in face units, a value a frame: predicted by the motion net, or seen in what was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2v.spec import LipSyncSpec
from s2v.training.evaluation.measures.metrics import OFFSETS_FRAMES, loudness, offset_sweep
from s2v.training.evaluation.measures.motion_level import Speak, Talk, gap_weights, motion_lip_speed
from s2v.training.evaluation.measures.non_speech import no_speech_sounds, other_voice

MIN_OWN_VOICE_GAIN = 0.15  # correlation with the own voice over that with another
MAX_PEAK_FRAMES = 1
MIN_LOUDNESS_GAIN = 0.05  # correlation over what loudness alone reaches
MIN_SPREAD = 0.4  # deviation of the opening over the film's: a mouth that hardly moves is wrong at no time
MAX_IDLE_OPENING = 0.02  # face units, in sounds that are not speech
MAX_IDLE_SPEED = 0.06  # face units a second: the stillest pause of nine filmed talkers
MIN_FACE_FOLLOWS = 0.8  # correlation of the opening drawn on an unseen face with the one asked for
MIN_FACE_SPREAD = 0.01  # face units: lips that move at all, where the network says pixels
MIN_PIXEL_CHANGE = 1.0  # of 255: what another voice changes in the mouth
MIN_PIXEL_GAIN = 1.01  # L1 of the mouth with another voice over that with its own
OTHER_VOICE_TURNS = (0.1, 0.6)  # where in the other voice to begin

Curve = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Probe:
    """One question, its answer and the threshold."""

    name: str
    found: float
    wanted: str
    passed: bool
    where: str = ""  # the set, sound or face that decided

    def line(self) -> str:
        """PASS or FAIL, the name, what was found and wanted."""
        where = f" ({self.where})" if self.where else ""
        return f"{'PASS' if self.passed else 'FAIL'}  {self.name}: {self.found:.3g}{where}, wanted {self.wanted}"


@dataclass(frozen=True)
class Curves:
    """What is known of one clip, all of the same length."""

    prediction: Curve
    film: Curve
    loud: Curve
    others: tuple[Curve, ...]  # predicted for the same film by other voices


def at_least(name: str, found: float, limit: float, where: str = "") -> Probe:
    """A probe that passes from `limit` up; NaN fails."""
    return Probe(name, found, f"{limit:g} or more", bool(found >= limit), where)


def at_most(name: str, found: float, limit: float, where: str = "") -> Probe:
    """A probe that passes down from `limit`; NaN fails."""
    return Probe(name, found, f"{limit:g} or less", bool(found <= limit), where)


def between(name: str, found: float, low: float, high: float, where: str = "") -> Probe:
    """A probe that passes from `low` up to `high`; NaN fails."""
    return Probe(name, found, f"{low:g} to {high:g}", bool(low <= found <= high), where)


def curves_of(speak: Speak, talk: Talk, spec: LipSyncSpec, voice: NDArray[np.float32]) -> Curves:
    """Let a motion net say a clip, and other speech for the same clip."""
    n, gap = len(talk.motion), gap_weights(spec)
    pcm = talk.pcm[: round(n * spec.samples_per_frame)]
    prediction = speak(pcm)[:n] @ gap
    n = len(prediction)
    others = tuple(speak(other_voice(len(pcm), turn, voice))[:n] @ gap for turn in OTHER_VOICE_TURNS)
    return Curves(prediction, talk.aperture[:n], loudness(talk.pcm, n, spec), others)


def curve_probes(sets: Mapping[str, Sequence[Curves]]) -> list[Probe]:
    """Own voice against another, offset at the peak, better than loudness, spread: each of the set that does worst."""
    own, peak, talker, spread = [], [], [], []
    for name, clips in sets.items():
        sweeps = np.array([offset_sweep(clip.prediction, clip.film) for clip in clips])
        loud = np.array([offset_sweep(clip.loud, clip.film) for clip in clips])
        others = [np.mean([offset_sweep(other, clip.film).max() for other in clip.others]) for clip in clips]
        own.append((float(np.median(sweeps.max(1) - others)), name))
        talker.append((float(np.median(sweeps.max(1) - loud.max(1))), name))
        spread.append((float(np.median([clip.prediction.std() / max(1e-6, clip.film.std()) for clip in clips])), name))
        peak.append((_peak_off(sweeps.mean(0), loud.mean(0)), name))
    return [
        at_least("own voice against another", *_with_limit(min(own), MIN_OWN_VOICE_GAIN)),
        at_most("offset at the peak, frames", *_with_limit(max(peak), MAX_PEAK_FRAMES)),
        at_least("unseen talker: better than loudness", *_with_limit(min(talker), MIN_LOUDNESS_GAIN)),
        at_least("opening moves as far as the film's, times", *_with_limit(min(spread), MIN_SPREAD)),
    ]


def _peak_off(sweep: Curve, loud: Curve) -> float:
    """Frames from the peak of a mean sweep to 0, or to where loudness peaks: then the footage is out of sync."""
    at, of_loudness = OFFSETS_FRAMES[int(sweep.argmax())], OFFSETS_FRAMES[int(loud.argmax())]
    return float(min(abs(at), abs(at - of_loudness)))


def _with_limit(worst: tuple[float, str], limit: float) -> tuple[float, float, str]:
    return worst[0], limit, worst[1]


def idle_probes(idle: Mapping[str, tuple[float, float]]) -> list[Probe]:
    """Closed and still in sounds that are not speech. Args: idle: sound -> largest opening, RMS lip speed."""
    opening = max((figures[0], name) for name, figures in idle.items())
    speed = max((figures[1], name) for name, figures in idle.items())
    return [
        at_most("closed without speech, face units", *_with_limit(opening, MAX_IDLE_OPENING)),
        at_most("still without speech, face units a second", *_with_limit(speed, MAX_IDLE_SPEED)),
    ]


def idle_motion(
    speak: Speak, spec: LipSyncSpec, sounds: Mapping[str, NDArray[np.float32]]
) -> dict[str, tuple[float, float]]:
    """Sound that is not speech -> largest opening and RMS lip speed that a motion net asks for."""
    predictions = {name: speak(pcm) for name, pcm in sounds.items()}
    gap = gap_weights(spec)
    return {name: (float((motion @ gap).max()), motion_lip_speed(motion, spec)) for name, motion in predictions.items()}


def motion_probes(
    speak: Speak, sets: Mapping[str, Sequence[Talk]], spec: LipSyncSpec, voice: NDArray[np.float32]
) -> list[Probe]:
    """All questions that need no picture: quick enough to ask after every training.

    Args:
        sets: clips the network was not trained on, at least one in each. voice: (n,) free speech by somebody else.
    """
    curves = {name: [curves_of(speak, talk, spec, voice) for talk in talks] for name, talks in sets.items()}
    return curve_probes(curves) + idle_probes(idle_motion(speak, spec, no_speech_sounds()))


def pixel_probes(own: NDArray[np.float32], other: NDArray[np.float32], target: NDArray[np.float32]) -> list[Probe]:
    """Does the mouth that a network paints change with the voice, and for the better?

    Args: own, other: (n, 3, h, w) in [0, 1], painted to the picture's own voice and to another; target: as filmed.
    """
    change, error, error_other = mouth_l1(own, other), mouth_l1(own, target), mouth_l1(other, target)
    return [
        at_least("another voice changes the mouth, of 255", change, MIN_PIXEL_CHANGE),
        at_least("own voice against another, L1 of the mouth", error_other / max(error, 1e-9), MIN_PIXEL_GAIN),
    ]


def mouth_l1(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How far the mouths of two sets of pictures (n, 3, h, w) in [0, 1] are apart, of 255."""
    height, width = one.shape[2:]
    mouth = np.s_[:, :, height // 2 : round(0.9 * height), round(0.25 * width) : round(0.75 * width)]
    return 255 * float(np.abs(one[mouth] - other[mouth]).mean())
