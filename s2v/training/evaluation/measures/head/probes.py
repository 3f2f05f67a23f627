"""Questions about a head that talks, with the thresholds in one place: is it as alive as people who talk freely?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from s2v.training.evaluation.measures.probes import Probe, at_least, at_most, between

# People who talk freely, their own way of sitting still included: x, y, yaw, pitch and roll are medians of nine talkers
# kept back (their yaw and pitch from how far the nose goes, 0.0096 and 0.0105 face units a degree); brows, lids and the
# speeds of yaw and pitch are those of three recorded addresses, the median 3 s (docs/LOG.md). Talkers who read six
# words into a booth's camera, as in GRID, move a tenth as far and are no measure.
FREE_SD = {"x": 0.064, "y": 0.071, "yaw": 3.3, "pitch": 2.0, "roll": 3.1, "brow": 0.009, "lid": 0.011}
FREE_SPEED = {"x": 0.24, "y": 0.28, "yaw": 9.9, "pitch": 6.5, "roll": 7.3, "brow": 0.036, "lid": 0.068}
# Shown beside ours, asked nowhere: of the three addresses, 51 s with 29 holds and 12 blinks, all together.
FREE_HABITS = {
    "hold_share": 0.31, "hold_s": 0.32, "step_amplitude": 0.21, "step_s": 0.86,
    "blinks_a_minute": 14, "closing_s": 0.03, "shut_s": 0.065, "opening_s": 0.14,
}  # fmt: skip
MIN_SD, MIN_SPEED = 0.5, 0.6  # times theirs
MIN_COUPLING = 0.15  # correlation with loudness over that with another part of the sound
ROLL_SD = (1.5, 3.0)  # degrees
MAX_BACKGROUND = 1.0  # grey levels: rounding
SHARPNESS = (0.95, 1.05)
# Correlation of the mouth's opening, each frame in its own head's pose, with that of the same face with a still head.
# The detector does not repeat itself better than that: a still face's frames against the same frames shifted by up to
# 6 px had 0.987 and 0.993 on two faces that had 0.987 and 0.993 with moving heads too (docs/LOG.md).
MIN_SAME_OPENING = 0.99
MIN_TALK_S = 6.0  # shorter sounds say nothing about how a head moves

Figures = Mapping[str, float]


def over_free(figures: Figures, amount: str) -> dict[str, float]:
    """Quantity -> how many times as much as people who talk freely. Args: amount: "sd" or "speed"."""
    reference = FREE_SD if amount == "sd" else FREE_SPEED
    return {key: figures[f"{key}_{amount}"] / value for key, value in reference.items() if f"{key}_{amount}" in figures}


def head_medians(heads: Sequence[Figures]) -> dict[str, float]:
    """Each figure's median over those heads that have it."""
    keys = dict.fromkeys(key for figures in heads for key in figures)
    known = {key: [f[key] for f in heads if key in f and not np.isnan(f[key])] for key in keys}
    return {key: float(np.median(values)) for key, values in known.items() if values}


def head_probes(heads: Mapping[str, Figures], seconds: float) -> list[Probe]:
    """Args: heads: face -> figures of it talking with its head moving. seconds: how long each talked at least.

    The median head decides how it moves, the worst one what becomes of the picture.
    """
    if not heads:
        return []
    middle = head_medians(list(heads.values()))
    probes = [*_moves_probes(middle), *_coupling_probes(heads)] if seconds >= MIN_TALK_S else []
    background = [(f["background_largest"], name) for name, f in heads.items() if "background_largest" in f]
    if background:
        worst, name = max(background)
        probes.append(at_most("background beside the head stays, of 255", worst, MAX_BACKGROUND, name))
    sharp = [(f["face_sharpness"], name) for name, f in heads.items() if "face_sharpness" in f]
    if sharp:
        worst, name = max(sharp, key=lambda found: abs(np.log(max(found[0], 1e-6))))
        probes.append(between("face as sharp as its photo, times", worst, *SHARPNESS, name))
    if "same_opening" in middle:
        name = "mouth opens as with a still head, correlation"
        probes.append(at_least(name, middle["same_opening"], MIN_SAME_OPENING))
    return probes


def _moves_probes(middle: Figures) -> list[Probe]:
    probes = []
    for amount, title, limit in (("sd", "far", MIN_SD), ("speed", "fast", MIN_SPEED)):
        least, key = min((times, key) for key, times in over_free(middle, amount).items())
        probes.append(at_least(f"head moves as {title} as free talkers', times", least, limit, key))
    return [*probes, between("head tilts, deviation in degrees", middle["roll_sd"], *ROLL_SD)]


def _coupling_probes(heads: Mapping[str, Figures]) -> list[Probe]:
    probes = []
    for key, title in (("y", "height of the head"), ("brow", "brows")):
        over = [f[f"{key}_follows"] - f[f"{key}_chance"] for f in heads.values() if f"{key}_follows" in f]
        known = [gain for gain in over if not np.isnan(gain)]
        if known:
            name = f"{title} with loudness, correlation over chance"
            probes.append(at_least(name, float(np.median(known)), MIN_COUPLING))
    return probes
