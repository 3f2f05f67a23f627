"""Gates that look at the picture: each takes what was seen and gives a reason against the clip, or None."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2v.spec import LipSyncSpec
from s2v.training.quality.findings import Head, Refusal
from s2v.training.quality.thresholds import Thresholds

TURNED_QUANTILE = 0.75


def too_short(length_s: float, limits: Thresholds) -> Refusal | None:
    """Too little to learn from."""
    if length_s >= limits.min_clip_s:
        return None
    return Refusal("too-short", f"only {length_s:.1f} s long", length_s, limits.min_clip_s)


def no_face(found: NDArray[np.bool_], limits: Thresholds) -> Refusal | None:
    """Args: found: (n,) which frames show a face."""
    share = float((~found).mean()) if len(found) else 1.0
    if share <= limits.max_lost_share and found.any():
        return None
    return Refusal("no-face", f"no face in {(~found).sum()} of {len(found)} frames", share, limits.max_lost_share)


def small_face(head: Head, limits: Thresholds) -> Refusal | None:
    """So small that the lips' own motion is lost among pixels."""
    eyes_px = float(np.median(head.eye_distances_px))
    if eyes_px >= limits.min_eye_distance_px:
        return None
    reason = f"its face is too small: {eyes_px:.0f} px between the outer corners of the eyes"
    return Refusal("small-face", reason, eyes_px, limits.min_eye_distance_px)


def turned_away(head: Head, limits: Thresholds) -> Refusal | None:
    """So far that one half of the mouth is not seen."""
    turned = float(np.quantile(head.turns_degrees, TURNED_QUANTILE))
    if turned <= limits.max_turn_degrees:
        return None
    reason = f"the head is turned too far: by {turned:.0f} degrees"
    return Refusal("turned-away", reason, turned, limits.max_turn_degrees)


def several_faces(other_faces: NDArray[np.float64], limits: Thresholds) -> Refusal | None:
    """Who of two speaks, nobody knows.

    Args: other_faces: (n,) size of the second largest face over the largest, of each look at the picture.
    """
    share = float((other_faces > limits.max_other_face).mean()) if len(other_faces) else 0.0
    if share <= limits.max_other_share:
        return None
    shown = f"{share:.0%} of the time" if share < 1 else "all the time"
    return Refusal("several-faces", f"it shows several faces {shown}: cut it to one", share, limits.max_other_share)


def frozen(still_s: float, limits: Thresholds) -> Refusal | None:
    """The sound goes on while the picture stands still. Args: still_s: see `longest_still_s`."""
    if still_s <= limits.max_still_s:
        return None
    return Refusal("frozen", f"its picture stands still for {still_s:.1f} s", still_s, limits.max_still_s)


def longest_still_s(
    landmarks: NDArray[np.floating], times_s: NDArray[np.float64], eye_distance_px: float, limits: Thresholds
) -> float:
    """The longest time for which no landmark moved by more than what an encoder makes of a standing picture.

    Args: landmarks: (n, 478, 3) in pixels, all found. times_s: (n,) the moment that each frame's picture shows.
    """
    moved = np.linalg.norm(np.diff(landmarks[..., :2], axis=0), axis=-1).mean(1) / eye_distance_px
    still = (moved < limits.still_units) | (np.diff(times_s) <= 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return float(runs.max()) / LipSyncSpec.fps if len(runs) else 0.0


def only_cuts(kept_s: float, n_people: int, limits: Thresholds) -> Refusal | None:
    """Nobody is seen for long. Args: kept_s: the longest that one of the people is."""
    if kept_s >= limits.min_clip_s:
        return None
    reason = f"it cuts between {n_people} faces, none of which is seen for long"
    return Refusal("cut", reason, kept_s, limits.min_clip_s)


def voice_over(correlation: float, length_s: float, limits: Thresholds) -> Refusal | None:
    """Somebody else is heard. Args: correlation: of heard and seen lips at the best offset."""
    if length_s < limits.followed_s or correlation >= limits.min_followed_correlation:
        return None
    reason = f"the lips do not follow the sound (r {correlation:.2f}): somebody else is heard, or it was cut otherwise"
    return Refusal("voice-over", reason, correlation, limits.min_followed_correlation)


def out_of_step(offset_s: float, limits: Thresholds) -> Refusal:
    """The sound is of something else."""
    reason = f"the sound comes {abs(offset_s):.2f} s {'after' if offset_s > 0 else 'before'} the lips"
    return Refusal("out-of-step", reason, offset_s, limits.max_offset_s)
