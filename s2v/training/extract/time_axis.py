"""What was filmed, at the times at which frames are due: films drop frames, and have another rate than we draw at.

A picture that stays on the screen is no mouth that stands still. So landmarks are taken from the distinct pictures,
each at its own moment, and drawn through in straight lines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def frame_middles_s(n_frames: int, fps: int) -> NDArray[np.float64]:
    """(n_frames,) the moments of frames at a steady rate, on the axis of the sound."""
    return (np.arange(n_frames) + 0.5) / fps


def distinct_pictures(landmarks: NDArray[np.floating[Any]], times_s: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Indices of the frames that show a picture not shown before.

    Args: landmarks: (n, points, 3) in pixels. times_s: (n,) the moment that each frame's picture shows.
    A film whose own maker repeated pictures gives other moments for them and the same landmarks.
    """
    moved = (np.diff(landmarks, axis=0) != 0).any((1, 2)) & (np.diff(times_s) > 0)
    return np.flatnonzero(np.concatenate([[True], moved]))


def on_frames(
    values: NDArray[np.float64], landmarks: NDArray[np.floating[Any]], times_s: NDArray[np.floating[Any]], fps: int
) -> NDArray[np.float64]:
    """Something known of every frame's picture (n, ...), as it was in the middle of each frame instead.

    Args: landmarks, times_s: as for `distinct_pictures`; times from the first frame's beginning.
    Before the first picture and after the last one it is as there.
    """
    shown = distinct_pictures(landmarks, times_s)
    at_s = np.clip(frame_middles_s(len(values), fps), times_s[shown[0]], times_s[shown[-1]])
    after = np.clip(np.searchsorted(times_s[shown], at_s), min(1, len(shown) - 1), len(shown) - 1)
    before = np.maximum(after - 1, 0)
    between = np.maximum(times_s[shown[after]] - times_s[shown[before]], 1e-9)
    share = ((at_s - times_s[shown[before]]) / between).reshape(-1, *[1] * (values.ndim - 1))
    resampled: NDArray[np.float64] = (1 - share) * values[shown[before]] + share * values[shown[after]]
    return resampled
