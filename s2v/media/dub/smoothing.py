"""Tracks without their noise and without lag: each moment is smoothed over as long as its neighbourhood allows.

A local parabola is fitted over windows that grow; the widest is taken whose answer all narrower ones allow for, given
the noise. A head that rests is averaged over half a second, one that starts to move is followed at once.
Source: Katkovnik, "A new method for varying adaptive bandwidth selection", IEEE Trans. Signal Processing 47 (1999).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Tracks = NDArray[np.float64]

_HALF_WIDTHS = (1, 2, 3, 5, 8, 13)  # frames to each side
_SURE = 2.5  # standard deviations that answers may be apart
_EASE_FRAMES = 2.0  # standard deviation over which the choice of a window changes


def smoothed(tracks: Tracks) -> Tracks:
    """Tracks (n, k) of one shot, smoothed with windows that all k share, (n, k)."""
    if len(tracks) < 4:
        return tracks.copy()
    noise = np.maximum(noise_of(tracks), 1e-9)
    answers = [tracks]
    low, high = tracks - _SURE * noise, tracks + _SURE * noise
    widest = np.zeros(len(tracks), int)
    allowed = np.ones(len(tracks), bool)
    for step, half in enumerate(_HALF_WIDTHS, 1):
        if 2 * half + 1 > 2 * len(tracks):
            break
        kernel = _parabola(half)
        answer = _filtered(tracks, kernel)
        spread = _SURE * noise * float(np.sqrt((kernel**2).sum()))
        low, high = np.maximum(low, answer - spread), np.minimum(high, answer + spread)
        allowed &= (low <= high).all(1)
        widest[allowed] = step
        answers.append(answer)
    choice = cv2.GaussianBlur(widest.astype(np.float64).reshape(-1, 1), (0, 0), _EASE_FRAMES).ravel()
    choice = np.minimum(choice, widest + 0.5)  # never much wider than what is allowed
    below = np.clip(choice.astype(int), 0, len(answers) - 1)
    above = np.minimum(below + 1, len(answers) - 1)
    share = (choice - below)[:, None]
    stacked, at = np.stack(answers), np.arange(len(tracks))
    mixed: Tracks = (1 - share) * stacked[below, at] + share * stacked[above, at]
    return mixed


def noise_of(tracks: Tracks) -> Tracks:
    """Standard deviation of what is not smooth in tracks (n, k), (k,): of their third differences, by the median."""
    if len(tracks) < 5:
        return np.zeros(tracks.shape[1])
    third = np.diff(tracks, 3, axis=0)
    found: Tracks = 1.4826 * np.median(np.abs(third), axis=0) / np.sqrt(20.0)
    return found


@cache
def _parabola(half: int) -> Tracks:
    """Weights (2 half + 1,) of the local parabola's middle, for neighbours that count less the further they are."""
    at = np.arange(-half, half + 1) / (half + 1)
    weight = 1 - at**2
    terms = np.stack([np.ones_like(at), at, at**2], 1)
    answer: Tracks = np.linalg.solve(terms.T * weight @ terms, terms.T * weight)[0]
    return answer


def _filtered(tracks: Tracks, kernel: Tracks) -> Tracks:
    """At the ends tracks go on as their mirror image through the end, which keeps their slope."""
    half = len(kernel) // 2
    n = len(tracks)
    before = 2 * tracks[0] - tracks[np.minimum(np.arange(half, 0, -1), n - 1)]
    after = 2 * tracks[-1] - tracks[np.maximum(n - 2 - np.arange(half), 0)]
    whole = np.concatenate([before, tracks, after])
    columns = [np.convolve(column, kernel[::-1], "valid") for column in whole.T]
    return np.stack(columns, 1)
