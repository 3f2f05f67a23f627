"""The figures of `s2v evaluate`, each a small function of curves, landmarks or pictures.

Lengths are in face units (one is the distance between the outer eye corners), taken after the head's
pose is removed. Curves have one value a frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from s2v.engine.backends.ssim import ssim
from s2v.engine.face.geometry import LOWER_INNER_LIP, OUTER_LIPS, UPPER_INNER_LIP, Points
from s2v.spec import LipSyncSpec

MAX_OFFSET_FRAMES = 8
OFFSETS_FRAMES = tuple(range(-MAX_OFFSET_FRAMES, MAX_OFFSET_FRAMES + 1))
LIPS = tuple(dict.fromkeys([*OUTER_LIPS, *UPPER_INNER_LIP, *LOWER_INNER_LIP]))
# The lips of a film count as closed below the first, ours below the second (both over the face's own closed lips):
# the detector sees 0.005 of opening on closed lips as often as not.
FILM_CLOSED, DRAWN_CLOSED = 0.010, 0.015
MIN_CLOSURE_FRAMES = 2
_MIN_PAUSE_FRAMES = 5
_PAUSE_MARGIN_FRAMES = 2  # lips move before the voice is heard and after it ends
_MIN_RANGE_DB = 12.0  # between the quietest and the loudest: with less there is no telling who speaks when


def correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Pearson's; 0 where one of them does not move."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 1e-12 else 0.0


def offset_sweep(
    prediction: NDArray[np.floating], target: NDArray[np.floating], offsets: Sequence[int] = OFFSETS_FRAMES
) -> NDArray[np.float64]:
    """Correlation when `prediction` is pulled forward by each offset in frames, (n_offsets,).

    0 where too little is left.
    """

    def at(shift: int) -> float:
        if len(prediction) - abs(shift) < 2:
            return 0.0
        a = prediction[max(0, shift) : len(prediction) + min(0, shift)]
        b = target[max(0, -shift) : len(target) + min(0, -shift)]
        return correlation(a, b)

    return np.array([at(shift) for shift in offsets])


def best_offset(prediction: NDArray[np.floating], target: NDArray[np.floating]) -> int:
    """Frames by which `prediction` must be pulled forward to fit `target` best; of equals the one nearest to 0."""
    sweep = offset_sweep(prediction, target)
    nearest_first = sorted(range(len(OFFSETS_FRAMES)), key=lambda i: abs(OFFSETS_FRAMES[i]))
    return OFFSETS_FRAMES[max(nearest_first, key=lambda i: sweep[i])]


def loudness(pcm: NDArray[np.float32], n_frames: int, spec: LipSyncSpec) -> NDArray[np.float64]:
    """Log energy of each frame's own samples, (n_frames,): what lips can be guessed from without hearing phones."""
    return np.log(_energy(pcm, n_frames, spec) + 1e-5)


def pauses(pcm: NDArray[np.float32], n_frames: int, spec: LipSyncSpec) -> NDArray[np.bool_]:
    """Frames in which nobody speaks: quiet for 0.2 s or longer, less two frames towards the speech around.

    A recording's own noise is the measure: quiet is below a third of the way, in dB, from its 5th to its 95th
    percentile of loudness. Digital silence throughout is a pause; speech that never rests has none.
    """
    level_db = 10 * np.log10(_energy(pcm, n_frames, spec) + 1e-8)
    low, high = np.percentile(level_db, [5, 95])
    if high - low < _MIN_RANGE_DB:
        return np.full(n_frames, bool(high < -60))
    paused = np.zeros(n_frames, bool)
    for start, end in runs(level_db < low + (high - low) / 3):
        if end - start >= _MIN_PAUSE_FRAMES:
            first = start + _PAUSE_MARGIN_FRAMES if start else 0
            last = end - _PAUSE_MARGIN_FRAMES if end < n_frames else n_frames
            paused[first:last] = True
    return paused


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end (one past the last) of every stretch that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def closures(drawn: NDArray[np.floating], film: NDArray[np.floating], spoken: NDArray[np.bool_]) -> float:
    """Share of the film's closed frames, while somebody speaks, in which ours are closed too; NaN if there is none.

    Args:
        drawn, film: opening over each face's own closed lips. A closure lasts at least two frames.
    """
    closed = np.zeros(len(film), bool)
    for start, end in runs(film < FILM_CLOSED):
        closed[start:end] = end - start >= MIN_CLOSURE_FRAMES
    closed &= spoken
    return float((drawn[closed] < DRAWN_CLOSED).mean()) if closed.any() else float("nan")


def lip_speed(canonical: Points, where: NDArray[np.bool_], fps: int) -> float:
    """RMS speed of the mouth's landmarks, face units a second; NaN if no two frames in a row are in `where`.

    Args:
        canonical: (n, 468, 3). where: (n,) which frames count.
    """
    return root_mean_square_speed(canonical[:, list(LIPS), :2], where, fps)


def root_mean_square_speed(points: NDArray[np.floating], where: NDArray[np.bool_], fps: int) -> float:
    """Of points (n, n_points, 2) between frames that are both in `where`, (n,); NaN if there are none."""
    both = where[1:] & where[:-1]
    if not both.any():
        return float("nan")
    step = np.diff(points, axis=0)[both] * fps
    return float(np.sqrt((step**2).sum(-1).mean()))


def landmark_distance(drawn: Points, film: Points) -> float:
    """Mean distance of the mouth's landmarks seen from the front, in hundredths of a face unit: LMD.

    Args:
        drawn, film: (n, 468, 3) canonical, frame by frame.
    """
    lips = list(LIPS)
    return 100 * float(np.linalg.norm(drawn[:, lips, :2] - film[:, lips, :2], axis=-1).mean())


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two pictures in dB; 99 for equal ones."""
    error = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))
    return 99.0 if error < 1e-6 else min(99.0, 10 * float(np.log10(255**2 / error)))


def luma_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Structural similarity of two BGR pictures, on their luma, where the window lies within."""
    luma_a, luma_b = (np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8) for picture in (a, b))
    return ssim(luma_a, luma_b, within=True)


def sharpness(picture: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a BGR picture's luma."""
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var())


def _energy(pcm: NDArray[np.float32], n_frames: int, spec: LipSyncSpec) -> NDArray[np.float64]:
    """Mean square of the samples under each frame, (n_frames,)."""
    edges = (np.arange(n_frames + 1) * spec.samples_per_frame).astype(int)
    padded = np.zeros(edges[-1], np.float64)
    padded[: min(len(pcm), edges[-1])] = pcm[: edges[-1]]
    sums = np.concatenate([[0.0], np.cumsum(padded**2)])
    energy: NDArray[np.float64] = (sums[edges[1:]] - sums[edges[:-1]]) / np.diff(edges)
    return energy
