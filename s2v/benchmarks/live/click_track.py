"""Clicks that survive a phone call, and a code in the picture that says which moment a frame was drawn for.

A click is a pip of 5 kHz, far above most of speech, spread over speech so that everything else works as in a
conversation. The picture's code is a few black and white squares in a corner: they carry how far the frame's own
audio lies from the click, so that a picture's age is known to the half millisecond, not to the frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIP_HZ = 5000
PIP_S = 0.04
PIP_LEVEL = 0.5
QUIET_S = 0.08  # no speech this close to a pip
GAP_S = (1.0, 1.3)  # between clicks, drawn anew each time: every phase of packets and frames comes up
SMOOTH_S = 0.004  # the envelope's moving mean
THRESHOLD = 0.2  # of full scale, 0.4 of the pip's level
HELD_S = 0.02  # a pip is loud for at least this long; an s of speech at 5 kHz is not

BITS = 10
UNIT_SAMPLES = 8  # half a millisecond at 16 kHz: the code reaches 256 ms to either side
COLUMNS, ROWS = 6, 2  # a flag that is white, ten bits, a parity bit

Pcm = NDArray[np.float32]
Image = NDArray[np.uint8]


def click_track(speech: Pcm, seconds: float, rate_hz: int, seed: int = 0) -> tuple[Pcm, list[int]]:
    """`speech`, over and over, with clicks in it.

    Args:
        speech: mono float32 in [-1, 1], at least one sample.
    Returns: (round(seconds * rate_hz),) float32, and the sample at which each click begins.
    """
    random = np.random.default_rng(seed)
    track = 0.5 * np.resize(speech, round(seconds * rate_hz)).astype(np.float32)
    length, quiet = round(PIP_S * rate_hz), round(QUIET_S * rate_hz)
    pip = (PIP_LEVEL * np.sin(2 * np.pi * PIP_HZ * np.arange(length) / rate_hz)).astype(np.float32)
    onsets: list[int] = []
    at = round(random.uniform(*GAP_S) * rate_hz)
    while at + length + quiet <= len(track):
        track[at - quiet : at + length + quiet] = 0.0
        track[at : at + length] = pip
        onsets.append(at)
        at += round(random.uniform(*GAP_S) * rate_hz)
    return track, onsets


class ClickFinder:
    """Finds the clicks in sound that comes in pieces, to about a millisecond."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._smooth = round(SMOOTH_S * rate_hz)
        self._held = round(HELD_S * rate_hz)
        self._pcm = np.zeros(self._smooth, np.float32)  # the envelope's past, then what is not yet searched
        self._start = -self._smooth  # absolute index of its first sample
        self._deaf_until = 0  # one click is found once

    def push(self, pcm: Pcm) -> list[int]:
        """Append mono float32, shape (n,); returns the absolute samples at which clicks began."""
        self._pcm = np.concatenate([self._pcm, pcm])
        searched = len(self._pcm) - self._smooth - self._held
        if searched <= 0:
            return []
        loud = self._envelope() > THRESHOLD  # of samples `_smooth` and following
        found: list[int] = []
        for index in np.flatnonzero(loud[:searched] & ~np.concatenate([[False], loud[: searched - 1]])):
            at = self._start + self._smooth + int(index)
            if at >= self._deaf_until and loud[index : index + self._held].all():
                found.append(at - round(THRESHOLD / PIP_LEVEL * self._smooth))
                self._deaf_until = at + round(GAP_S[0] / 2 * self._rate_hz)
        keep = searched - 1  # the last one searched comes again, to tell an edge from a plateau
        self._pcm, self._start = self._pcm[keep:], self._start + keep
        return found

    def _envelope(self) -> NDArray[np.float64]:
        """Level at PIP_HZ, the mean over the `_smooth` samples up to each one but the first `_smooth`."""
        index = self._start + np.arange(len(self._pcm))
        turned = self._pcm * np.exp(-2j * np.pi * PIP_HZ / self._rate_hz * index)
        total = np.concatenate([[0.0], np.cumsum(turned)])
        level: NDArray[np.float64] = 2 * np.abs(total[self._smooth + 1 :] - total[1 : -self._smooth]) / self._smooth
        return level


def square_px(picture: Image) -> int:
    """Side of one square of the code in a picture, (h, w, 3) or I420."""
    return max(int(picture.shape[1]) // 16, 8)


def write_code(picture: Image, offset_samples: int | None) -> None:
    """Paint the code into the upper left corner; None paints it black: no click.

    Args:
        picture: (h, w, 3) BGR or (h * 3/2, w) I420; written to.
        offset_samples: how many 16 kHz samples after the click's begin the frame's centre lies; within +-4096.
    """
    side = square_px(picture)
    value = -1 if offset_samples is None else round(offset_samples / UNIT_SAMPLES) + (1 << BITS - 1)
    bits = [value >> bit & 1 for bit in range(BITS)] if 0 <= value < 1 << BITS else None
    cells = [0] * (COLUMNS * ROWS) if bits is None else [1, *bits, sum(bits) % 2]
    for cell, white in enumerate(cells):
        y, x = cell // COLUMNS * side, cell % COLUMNS * side
        picture[y : y + side, x : x + side] = 255 * white
    if picture.ndim == 2:
        _without_colours(picture, ROWS * side, COLUMNS * side)


def _without_colours(i420: Image, height_px: int, width_px: int) -> None:
    """Make the upper left corner grey; both numbers of pixels may be odd."""
    rows, width = i420.shape
    colours = i420[rows * 2 // 3 :].reshape(2, rows // 3, width // 2)
    colours[:, : (height_px + 1) // 2, : (width_px + 1) // 2] = 128


def read_code(picture: Image) -> int | None:
    """The offset in samples that `write_code` wrote, to `UNIT_SAMPLES`; None when there is none or it is damaged."""
    side = square_px(picture)
    inner = slice(side // 4, side - side // 4)
    cells = [
        int(picture[row * side : (row + 1) * side, column * side : (column + 1) * side][inner, inner].mean() > 127)
        for row in range(ROWS)
        for column in range(COLUMNS)
    ]
    flag, bits, parity = cells[0], cells[1 : 1 + BITS], cells[-1]
    if not flag or sum(bits) % 2 != parity:
        return None
    return (sum(bit << place for place, bit in enumerate(bits)) - (1 << BITS - 1)) * UNIT_SAMPLES
