"""The same clip twice: byte for byte, which needs no decoding, or encoded again, which its sound and its lips tell.

A sound's print has 32 bits for each frame: whether neighbouring bands of 300 to 2000 Hz draw apart or together.
Encoders change few of them, so copies share whole words; what shares some is then compared bit by bit.
Source: Haitsma and Kalker, "A highly robust audio fingerprinting system", ISMIR 2002 (with longer steps).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2v.spec import LipSyncSpec

_WINDOW_SAMPLES, _STEP_SAMPLES = 6144, 640  # 0.38 s, and a frame of 40 ms
_BANDS_HZ = np.geomspace(300, 2000, 34)
_MOST_S = 60  # of a clip: what is the same for a minute is the same
_MOST_OTHER_BITS = 0.25  # of a copy; between two sounds half of them differ
_LEAST_WORDS = 20  # 0.8 s
_LEAST_SHARE = 0.6  # of the shorter clip
_SAME_LIPS = 0.9  # correlation of the opening; another camera sees less
_LIPS_STEP = 0.004  # face units
_END_BYTES = 16_384


class Prints(NamedTuple):
    """What tells a clip from others: a value for each frame of the first minute."""

    sound: NDArray[np.uint32]  # (n,)
    lips: NDArray[np.uint8]  # (m,) how far they are open


def equal_files(paths: Iterable[Path], new: Container[Path] | None = None) -> dict[Path, Path]:
    """Each file that has the bytes of one before it -> that one.

    Only files of one length are read, their ends first, and the whole of those whose ends are equal.

    Args: new: files of one length are left unread unless one of them is among these; None: all are new.
    """
    groups = _grouped(paths, lambda path: path.stat().st_size)
    groups = [some for some in groups if new is None or any(path in new for path in some)]
    for key in (_digest_of_ends, _digest):
        groups = [smaller for some in groups for smaller in _grouped(some, key)]
    return {path: some[0] for some in groups for path in some[1:]}


def _grouped(paths: Iterable[Path], key: Callable[[Path], Hashable]) -> list[list[Path]]:
    """Those that are alike in something, where there are several; in their order."""
    groups: dict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        with suppress(OSError):  # whoever opens it will say so
            groups[key(path)].append(path)
    return [some for some in groups.values() if len(some) > 1]


def _digest_of_ends(path: Path) -> bytes:
    with path.open("rb") as file:
        first = file.read(_END_BYTES)
        file.seek(max(0, path.stat().st_size - _END_BYTES))
        return hashlib.sha256(first + file.read(_END_BYTES)).digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def prints_of(pcm: NDArray[np.int16], opening: NDArray[np.floating]) -> Prints:
    """Args: pcm: (k,) mono at the spec's rate. opening: (n,) of the lips in face units, frame by frame."""
    lips = np.clip(np.rint((opening[: _MOST_S * LipSyncSpec.fps] + 0.1) / _LIPS_STEP), 0, 255).astype(np.uint8)
    return Prints(_sound_words(pcm[: _MOST_S * LipSyncSpec.sample_rate_hz]), lips)


def encoded_again(prints: Mapping[str, Prints]) -> dict[str, str]:
    """Each clip with the sound and the lips of one before it -> that one, in the order given."""
    names = list(prints)
    copies: dict[int, tuple[int, int]] = {}  # later -> its original, and at which frame of that it begins
    for first, later, shift in _likely_pairs([one.sound for one in prints.values()]):
        original, at = copies.get(first, (first, 0))
        if later in copies or original == later:
            continue
        if _same(prints[names[original]], prints[names[later]], at + shift):
            copies[later] = original, at + shift
    return {names[later]: names[original] for later, (original, _) in copies.items()}


def _likely_pairs(sounds: Sequence[NDArray[np.uint32]]) -> list[tuple[int, int, int]]:
    """(first, later, shift): clips that share words, and at which frame of the first the later one begins.

    Of many that share a word each is paired with the next: a chain of pairs, not their square.
    """
    owners = np.repeat(np.arange(len(sounds)), [len(words) for words in sounds])
    places = np.concatenate([np.arange(len(words)) for words in sounds]) if len(sounds) else np.zeros(0, int)
    words = np.concatenate(sounds) if len(sounds) else np.zeros(0, np.uint32)
    order = np.argsort(words, kind="stable")  # equal words stay in the order of their clips
    here, following = order[:-1], order[1:]
    shared = (words[here] == words[following]) & (words[here] != 0) & (owners[here] != owners[following])
    here, following = here[shared], following[shared]
    found = np.stack([owners[here], owners[following], places[here] - places[following]], axis=1)
    pairs, times = np.unique(found, axis=0, return_counts=True)
    return [(int(first), int(later), int(shift)) for first, later, shift in pairs[times > 1]]


def _same(one: Prints, other: Prints, shift: int) -> bool:
    """Whether `other` is a part of `one`, or the other way round, with its frame 0 at frame `shift` of `one`."""
    a, b = one.sound[max(0, shift) :], other.sound[max(0, -shift) :]
    n = min(len(a), len(b))
    if n < max(_LEAST_WORDS, _LEAST_SHARE * min(len(one.sound), len(other.sound))):
        return False
    if np.bitwise_count(a[:n] ^ b[:n]).mean() > 32 * _MOST_OTHER_BITS:
        return False
    lips_a, lips_b = one.lips[max(0, shift) :].astype(float), other.lips[max(0, -shift) :].astype(float)
    m = min(len(lips_a), len(lips_b))
    lips_a, lips_b = lips_a[:m] - lips_a[:m].mean(), lips_b[:m] - lips_b[:m].mean()
    scale = float(np.sqrt((lips_a**2).sum() * (lips_b**2).sum()))
    return scale == 0 or float((lips_a * lips_b).sum()) >= _SAME_LIPS * scale


def _sound_words(pcm: NDArray[np.int16]) -> NDArray[np.uint32]:
    """(n,) 32 bits for each step but the first."""
    n = (len(pcm) - _WINDOW_SAMPLES) // _STEP_SAMPLES + 1
    if n < 2:
        return np.zeros(0, np.uint32)
    window = np.hanning(_WINDOW_SAMPLES).astype(np.float32)
    edges = np.rint(_BANDS_HZ * _WINDOW_SAMPLES / LipSyncSpec.sample_rate_hz).astype(int)
    energies = np.empty((n, len(edges) - 1))
    for index in range(n):
        part = pcm[index * _STEP_SAMPLES : index * _STEP_SAMPLES + _WINDOW_SAMPLES]
        power = np.abs(np.fft.rfft(part * window)) ** 2
        energies[index] = np.add.reduceat(power, edges)[:-1]
    apart = np.diff(np.diff(energies, axis=1), axis=0) > 0  # (n - 1, 32)
    words = np.packbits(apart, axis=1).view(">u4")[:, 0].astype(np.uint32)
    return words
